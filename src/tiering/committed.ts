/**
 * What a manifest has of a partition that the partition does not know of: a commit that was answered with an error may
 * have been done. The move is then made again, of the same records, and finds its segment there.
 */
import type { ManifestState, PartitionState, SegmentEntry } from '../format/manifest.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'

/** What a manifest has of a partition; undefined for one that it does not know yet. */
export function notedIn(
  state: ManifestState,
  log: LiveLog,
  partition: number,
): PartitionState | undefined {
  return state.logs.get(log.id)?.partitions[partition]
}

/** Whether the manifest names these very bytes already. */
export function hasSegment(
  state: ManifestState,
  log: LiveLog,
  partition: number,
  segment: SegmentEntry,
): boolean {
  const known = notedIn(state, log, partition)?.segments.startingAt(segment.baseOffset)
  return known?.sha256 === segment.sha256
}

/**
 * Where segments end that one of the manifests names beyond what the partition knows. The next flush ends its segments
 * there too, so that they come to the same bytes.
 */
export function committedEnds(
  states: readonly (ManifestState | null | undefined)[],
  log: LiveLog,
  partition: Partition,
): ReadonlySet<number> {
  const ends = new Set<number>()
  for (const state of states) {
    const segments = state?.logs.get(log.id)?.partitions[partition.partition]?.segments
    for (const { baseOffset, endOffset } of segments?.from(partition.flushedEnd) ?? [])
      if (baseOffset >= partition.flushedEnd) ends.add(endOffset)
  }
  return ends
}

/**
 * A segment with the copy that the manifest names: bytes that were written again, after a commit that was answered with
 * an error, may lie in another pack than those that it named.
 */
export function asCommitted(
  state: ManifestState,
  log: LiveLog,
  partition: number,
  segment: SegmentEntry,
  tier: 'disk' | 'object',
): SegmentEntry {
  const known = notedIn(state, log, partition)?.segments.startingAt(segment.baseOffset)
  const location = known?.sha256 === segment.sha256 ? known[tier] : null
  return location === null ? segment : { ...segment, [tier]: location }
}
