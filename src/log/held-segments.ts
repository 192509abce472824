/**
 * Which segments hold a range of a partition's offsets: those that it is made of, and where these do not reach, those
 * that were retired and not collected yet. Snapshots name offsets, so they still find what a log let go of.
 */
import { type Range, intersectRanges } from '../base/range.ts'
import type { ManifestState, PartitionState, SegmentEntry } from '../format/manifest.ts'

/** In offset order; they never overlap, and each holds some offset of `[startOffset, endOffset)`. */
export function segmentsHolding(
  state: PartitionState,
  startOffset: number,
  endOffset: number,
): readonly SegmentEntry[] {
  const wanted = { start: startOffset, end: endOffset }
  const holds = ({ baseOffset, endOffset: end }: SegmentEntry): boolean =>
    intersectRanges({ start: baseOffset, end }, wanted) !== null
  const held: SegmentEntry[] = []
  for (const segment of state.segments.from(startOffset)) {
    if (segment.baseOffset >= endOffset) break
    held.push(segment)
  }
  const { retired } = state
  if (retired === undefined) return held
  // The newest first: it may stand in the place of several that were retired before it.
  for (const { segment } of retired.toReversed()) {
    if (!holds(segment)) continue
    const place = placeFor(held, segment)
    const isFree =
      (held[place - 1]?.endOffset ?? 0) <= segment.baseOffset &&
      (held[place]?.baseOffset ?? Infinity) >= segment.endOffset
    if (isFree) held.splice(place, 0, segment)
  }
  return held
}

/** How many of `held`, which lie in offset order, begin before the segment. */
function placeFor(held: readonly SegmentEntry[], { baseOffset }: SegmentEntry): number {
  let [low, high] = [0, held.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((held[middle]?.baseOffset ?? Infinity) < baseOffset) low = middle + 1
    else high = middle
  }
  return low
}

/** What of `[startOffset, endOffset)` no segment holds, from `denseFrom` on. */
export function unheld(
  state: PartitionState,
  startOffset: number,
  endOffset: number,
): readonly Range[] {
  const gaps: Range[] = []
  let next = Math.max(startOffset, state.denseFrom ?? 0)
  for (const segment of segmentsHolding(state, startOffset, endOffset)) {
    if (segment.baseOffset > next) gaps.push({ start: next, end: segment.baseOffset })
    next = Math.max(next, segment.endOffset)
  }
  if (next < endOffset) gaps.push({ start: next, end: endOffset })
  return gaps
}

/** Retired segments that some snapshot needs. */
export function pinnedSegments(state: ManifestState): ReadonlySet<SegmentEntry> {
  const pinned = new Set<SegmentEntry>()
  for (const { logs } of state.snapshots.values()) {
    for (const { logId, partitions } of logs) {
      for (const { partition, startOffset, endOffset } of partitions) {
        const held = state.logs.get(logId)?.partitions[partition]
        if (held?.retired === undefined) continue
        const retired = new Set(held.retired.map(({ segment }) => segment))
        for (const segment of segmentsHolding(held, startOffset, endOffset))
          if (retired.has(segment) && segment.object !== null) pinned.add(segment)
      }
    }
  }
  return pinned
}

/** Their object keys. */
export function pinnedObjects(state: ManifestState): ReadonlySet<string> {
  return objectKeys(pinnedSegments(state))
}

export function objectKeys(segments: Iterable<SegmentEntry>): ReadonlySet<string> {
  const keys = new Set<string>()
  for (const { object } of segments) if (object !== null) keys.add(object.object)
  return keys
}
