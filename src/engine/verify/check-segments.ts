/**
 * The bytes of every segment that a manifest names: length, SHA-256, footer, every block's checksum, row counts, and a
 * decode of every column. Each copy is read whole, one at a time.
 */
import { type Range, mergeRanges } from '../../base/range.ts'
import { isStratalogError, throwIfAborted } from '../../base/errors.ts'
import type {
  Location,
  LogState,
  ManifestState,
  SegmentEntry,
  Snapshot,
} from '../../format/manifest.ts'
import { pinnedObjects, unheld } from '../../log/held-segments.ts'
import { type SegmentDamage, damageOf } from '../../log/segment-damage.ts'
import { segmentDamages } from '../../log/segment-damages.ts'
import type { SegmentOwner } from '../../log/segment-reading.ts'
import { type Findings, NO_RECORDS, type OtherCopy } from './verify-report.ts'
import { ownerOf } from '../../log/segment-origin.ts'

export type CopyTier = 'disk' | 'object'

/** What is known of the copies of segments, by SHA-256. */
export class CheckedCopies {
  readonly #damages = new Map<string, Map<CopyTier, readonly SegmentDamage[]>>()

  add(sha256: string, tier: CopyTier, damages: readonly SegmentDamage[]): void {
    const known = this.#damages.get(sha256) ?? new Map<CopyTier, readonly SegmentDamage[]>()
    this.#damages.set(sha256, known.set(tier, damages))
  }

  /** Whether offsets `[from, to)` can be read from that copy; null when it was not looked at. */
  isSound(sha256: string, tier: CopyTier, from: number, to: number): boolean | null {
    const damages = this.#damages.get(sha256)?.get(tier)
    if (damages === undefined) return null
    return !damages.some((damage) => damage.from < to && from < damage.to)
  }

  /** Offsets of that copy that cannot be read. */
  damaged(sha256: string, tier: CopyTier): readonly Range[] {
    const damages = this.#damages.get(sha256)?.get(tier) ?? []
    return mergeRanges(damages.map(({ from, to }) => ({ start: from, end: to })))
  }

  /** So that it is looked at again. */
  forget(sha256: string, tier: CopyTier): void {
    this.#damages.get(sha256)?.delete(tier)
  }

  has(sha256: string, tier: CopyTier): boolean {
    return this.#damages.get(sha256)?.has(tier) ?? false
  }
}

export interface NamedSegment {
  readonly log: LogState
  readonly partition: number
  readonly segment: SegmentEntry
}

/** Every segment of a state, by log, partition and offset; then those that only snapshots name. */
export function* namedSegments(state: ManifestState): Generator<NamedSegment> {
  const pinned = pinnedObjects(state)
  for (const log of state.logs.values()) {
    for (const [partition, { segments, retired = [] }] of log.partitions.entries()) {
      for (const segment of segments) yield { log, partition, segment }
      for (const { segment } of retired)
        if (pinned.has(segment.object?.object ?? '')) yield { log, partition, segment }
    }
  }
}

export interface CopyReading {
  readonly tier: CopyTier
  /** A segment's whole copy. @throws StratalogError that `damageOf` understands, or else ends it all. */
  readonly read: (location: Location) => Promise<Uint8Array>
  /** The whole file or object of that name. */
  readonly readAll: (object: string) => Promise<Uint8Array>
  readonly whereIs: (object: string) => string
  readonly onBytes: (bytes: number) => void
  readonly signal: AbortSignal | undefined
}

/** Checks the copy of one tier of one segment. */
export async function checkCopy(
  { log, partition, segment }: NamedSegment,
  reading: CopyReading,
  findings: Findings,
  copies: CheckedCopies,
): Promise<void> {
  throwIfAborted(reading.signal)
  const { tier } = reading
  const location = segment[tier]
  if (location === null || copies.has(segment.sha256, tier)) return
  const owner = ownerOf(log.definition, partition, segment)
  const damages = await damagesOf(location, segment, owner, reading, findings)
  copies.add(segment.sha256, tier, damages)
  reading.onBytes(segment.length)
  // An archive's manifest does not know what lies on disk; a directory's knows what lies in the archive.
  const other: OtherCopy =
    tier === 'disk' && segment.object === null
      ? { kind: 'archive', logId: log.definition.id }
      : { kind: 'segment', sha256: segment.sha256, tier: tier === 'disk' ? 'object' : 'disk' }
  for (const { kind, from, to, position, reason } of damages) {
    const records = { log: log.definition.name, partition, from, to }
    const where = reading.whereIs(location.object)
    findings.problems.push({ where, position, kind, ...records, reason, other })
  }
}

async function damagesOf(
  location: Location,
  segment: SegmentEntry,
  owner: SegmentOwner,
  reading: CopyReading,
  findings: Findings,
): Promise<readonly SegmentDamage[]> {
  const { baseOffset: from, endOffset: to } = segment
  try {
    const bytes = await reading.read(location)
    findings.looked(bytes.length)
    return await segmentDamages(bytes, segment, owner)
  } catch (error) {
    const damage = damageOf(error, from, to)
    if (damage !== null) return [damage]
    if (!isStratalogError(error) || error.code !== 'file_system_failed') throw error
    return [{ kind: 'unreadable', from, to, position: null, reason: error.message }]
  }
}

/**
 * Offsets between a partition's start and its last segment that no segment holds. Logs in RAM may have evicted them,
 * and what was such a log once may lack them below `denseFrom`.
 */
export function checkContinuity(state: ManifestState, where: string, findings: Findings): void {
  for (const { definition, partitions } of state.logs.values()) {
    if (definition.policy.mode === 'memory') continue
    for (const [partition, { startOffset, denseFrom = 0, segments }] of partitions.entries()) {
      let next = Math.max(startOffset, denseFrom)
      for (const { baseOffset, endOffset } of segments) {
        if (baseOffset > next) {
          const range = { log: definition.name, partition, from: next, to: baseOffset }
          const other: OtherCopy = { kind: 'archive', logId: definition.id }
          const reason = 'No segment holds these offsets.'
          findings.problems.push({ where, position: null, kind: 'gap', ...range, reason, other })
        }
        next = Math.max(next, endOffset)
      }
    }
  }
}

/** Snapshots that name offsets which no segment holds. */
export function checkSnapshots(
  state: ManifestState,
  snapshots: Iterable<Snapshot>,
  url: string,
  findings: Findings,
): void {
  for (const snapshot of snapshots) {
    const where = `${url}, snapshot ${snapshot.name}`
    for (const { logId, name, partitions } of snapshot.logs) {
      const log = state.logs.get(logId)
      const other: OtherCopy = { kind: 'none', readable: false }
      if (log === undefined) {
        const reason = `It holds log '${name}', which the manifest no longer names.`
        const records = { ...NO_RECORDS, log: name }
        findings.problems.push({ where, position: null, kind: 'gap', ...records, reason, other })
        continue
      }
      if (log.definition.policy.mode === 'memory') continue
      for (const { partition, startOffset, endOffset } of partitions) {
        const part = log.partitions[partition]
        const [gap] = part === undefined ? [] : unheld(part, startOffset, endOffset)
        if (gap === undefined) continue
        const records = { log: name, partition, from: gap.start, to: gap.end }
        const reason = 'It names offsets that no object holds.'
        findings.problems.push({ where, position: null, kind: 'gap', ...records, reason, other })
      }
    }
  }
}
