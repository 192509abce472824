/**
 * Which packs are written anew without what nothing needs of them, as a pure function. What is live in them goes into
 * others, and they go with the last of what they hold.
 *
 * A byte is copied for each byte that died, at most, and of what stays in a pack that was written anew for its age once
 * in that time: the amplification is bounded by the share and by the age.
 */

/** What a pack holds, in bytes of segments. */
export interface PackFacts {
  readonly path: string
  /** What something names, or a snapshot needs. */
  readonly liveBytes: number
  readonly deadBytes: number
  /** When the first of the dead was let go of, in ms; -Infinity where nobody knows. */
  readonly deadSince: number
}

export interface PackRule {
  /** Dead bytes of all of the pack's, at least; when the first of them is this old, in ms. */
  readonly share: number
  readonly shareAgeMs: number
  /** However few they are, in ms: records that are gone for their log do not lie there for good. */
  readonly ageMs: number
}

/** Half of it, once a pack that dies as a whole would be gone by itself; and all that died a day ago. */
export const ARCHIVE_PACK_RULE: PackRule = {
  share: 1 / 2,
  shareAgeMs: 60 * 60 * 1000,
  ageMs: 24 * 60 * 60 * 1000,
}

/** As in the archive; a file costs no request, so half of it is enough. */
export const DISK_PACK_RULE: PackRule = { ...ARCHIVE_PACK_RULE, shareAgeMs: 0 }

/** Where the disk is short: what is copied then frees a seventh of its bytes at least. */
export const SHORT_DISK_PACK_RULE: PackRule = { ...DISK_PACK_RULE, share: 1 / 8 }

/** Packs whose live segments are written anew together, those first of which the least is live. */
export function planPacks<Pack extends PackFacts>(
  packs: Iterable<Pack>,
  rule: PackRule,
  now: number,
  bytesMax: number,
): readonly (readonly Pack[])[] {
  const thin = [...packs].filter((pack) => isThin(pack, rule, now))
  const groups: Pack[][] = []
  let bytes = Infinity
  for (const pack of thin.toSorted((a, b) => liveShare(a) - liveShare(b))) {
    bytes += pack.liveBytes
    if (bytes > bytesMax) {
      groups.push([])
      bytes = pack.liveBytes
    }
    groups.at(-1)?.push(pack)
  }
  return groups
}

/** A pack without anything live goes by itself. */
function isThin(
  { liveBytes, deadBytes, deadSince }: PackFacts,
  { share, shareAgeMs, ageMs }: PackRule,
  now: number,
): boolean {
  if (liveBytes === 0 || deadBytes === 0) return false
  const isMostlyDead = deadBytes >= share * (liveBytes + deadBytes)
  return deadSince <= now - (isMostlyDead ? Math.min(shareAgeMs, ageMs) : ageMs)
}

function liveShare({ liveBytes, deadBytes }: PackFacts): number {
  return liveBytes / (liveBytes + deadBytes)
}
