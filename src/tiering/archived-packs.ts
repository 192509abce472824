/** What the packs of an archive hold, by its manifest: live, dead, or kept for snapshots. */
import type { Clock } from '../base/clock.ts'
import type { Location, ManifestState, SegmentEntry } from '../format/manifest.ts'
import { PACK_FIRST_POSITION, PACK_INDEX_STEP } from '../format/pack.ts'
import { isPackPath } from '../format/paths.ts'
import { placeName } from '../format/segment-entry.ts'
import { pinnedSegments } from '../log/held-segments.ts'
import { hasForks } from '../log/segment-origin.ts'
import type { PackFacts } from './pack-plan.ts'

/** A segment of a log in the archive, or one that was retired and that a snapshot needs. */
export interface HeldSegment {
  readonly logId: number
  readonly partition: number
  readonly segment: SegmentEntry
  readonly location: Location
  readonly isRetired: boolean
}

interface MutableFacts {
  liveBytes: number
  deadBytes: number
  deadSince: number
  /** Distinct places that are known, and the first of them. */
  count: number
  firstPosition: number
}

/** States do not change, and each is looked at often. */
const known = new WeakMap<ManifestState, readonly PackFacts[]>()

const SEGMENTS_PER_TURN = 4_096

/** The packs of which something is dead. */
export async function packsWithDead(
  clock: Clock,
  state: ManifestState,
): Promise<readonly PackFacts[]> {
  const found = known.get(state) ?? (await lookFor(clock, state))
  known.set(state, found)
  return found
}

async function lookFor(clock: Clock, state: ManifestState): Promise<readonly PackFacts[]> {
  const packs = new Map<string, MutableFacts>()
  // What forks share lies there once, and what one let go of another may have.
  const seen = hasForks(state) ? new Set<string>() : null
  const add = (location: Location, retiredAt: number | null): void => {
    if (!isPackPath(location.object) || seen?.has(placeName(location)) === true) return
    seen?.add(placeName(location))
    const facts = packs.get(location.object) ?? nothing()
    packs.set(location.object, facts)
    facts.count++
    facts.firstPosition = Math.min(facts.firstPosition, location.position)
    if (retiredAt === null) facts.liveBytes += location.length
    else {
      facts.deadBytes += location.length
      facts.deadSince = Math.min(facts.deadSince, retiredAt)
    }
  }
  let count = 0
  for (const { location } of heldSegments(state)) {
    add(location, null)
    if (++count % SEGMENTS_PER_TURN === 0) await clock.yield()
  }
  const pinned = pinnedSegments(state)
  for (const { partitions } of state.logs.values())
    for (const { retired = [] } of partitions)
      for (const { segment, retiredAt } of retired)
        if (segment.object !== null && !pinned.has(segment)) add(segment.object, retiredAt)
  return [...packs].flatMap(([path, facts]) => {
    const { count: places, firstPosition } = facts
    // Its index has more entries than places are known: what was put there and never named.
    const hasUnknown = firstPosition > PACK_FIRST_POSITION + PACK_INDEX_STEP * (places - 1)
    if (hasUnknown)
      return [{ path, ...facts, deadBytes: facts.deadBytes + 1, deadSince: -Infinity }]
    return facts.deadBytes === 0 ? [] : [{ path, ...facts }]
  })
}

function nothing(): MutableFacts {
  return { liveBytes: 0, deadBytes: 0, deadSince: Infinity, count: 0, firstPosition: Infinity }
}

/** All that something names of an archive, and what snapshots need of what was retired. */
export function* heldSegments(state: ManifestState): Generator<HeldSegment> {
  for (const [logId, { partitions }] of state.logs)
    for (const [partition, { segments }] of partitions.entries())
      for (const segment of segments.having('object'))
        if (segment.object !== null)
          yield { logId, partition, segment, location: segment.object, isRetired: false }
  const pinned = pinnedSegments(state)
  for (const [logId, { partitions }] of state.logs)
    for (const [partition, { retired = [] }] of partitions.entries())
      for (const { segment } of retired)
        if (segment.object !== null && pinned.has(segment))
          yield { logId, partition, segment, location: segment.object, isRetired: true }
}

/** Bytes of the objects that hold segments of an archive, each once: those of a pack whatever it holds. */
export function storedBytesOf(state: ManifestState): number {
  const before = stored.get(state)
  if (before !== undefined) return before
  const ends = new Map<string, number>()
  const add = ({ object, position, length }: Location): void => {
    ends.set(object, Math.max(ends.get(object) ?? 0, position + length))
  }
  for (const { partitions } of state.logs.values()) {
    for (const { segments, retired = [] } of partitions) {
      for (const { object } of segments.having('object')) if (object !== null) add(object)
      for (const { segment } of retired) if (segment.object !== null) add(segment.object)
    }
  }
  let bytes = 0
  for (const end of ends.values()) bytes += end
  stored.set(state, bytes)
  return bytes
}

const stored = new WeakMap<ManifestState, number>()
