import type { PartitionState, SegmentEntry } from '../format/manifest.ts'
import type { SegmentEntries } from '../format/segment-entries.ts'
import { sameLocation } from '../format/segment-entry.ts'

/** One segment in the place of others that have the same records; of one, when it is written in another format. */
export interface Compacted {
  readonly segment: SegmentEntry
  readonly replaced: readonly SegmentEntry[]
}

/**
 * Compactions that an archive knows of and a data directory does not: segments of the directory that the archive has
 * retired while another one of it has exactly their offsets.
 */
export function compactedIn(
  archive: PartitionState,
  segments: SegmentEntries,
): readonly Compacted[] {
  const compacted: Compacted[] = []
  let next = 0
  for (const { segment } of archive.retired ?? []) {
    const { baseOffset, sha256 } = segment
    if (baseOffset < next || segments.startingAt(baseOffset)?.sha256 !== sha256) continue
    const by = archive.segments.at(archive.segments.indexAt(baseOffset))
    if (by === undefined || by.baseOffset !== baseOffset) continue
    const replaced: SegmentEntry[] = []
    for (const own of segments.from(baseOffset)) {
      if (own.endOffset > by.endOffset) break
      replaced.push(own)
    }
    const isItself = replaced[0]?.sha256 === by.sha256
    if (isItself || replaced.at(-1)?.endOffset !== by.endOffset) continue
    compacted.push({ segment: by, replaced })
    next = by.endOffset
  }
  return compacted
}

/**
 * Segments of a data directory, with the place that an archive has their objects in now: it moved them out of a pack.
 * @param among those of the directory that are looked at.
 */
export function movedIn(
  archive: PartitionState,
  among: Iterable<SegmentEntry>,
): readonly SegmentEntry[] {
  const moved: SegmentEntry[] = []
  for (const segment of among) {
    const there = archive.segments.startingAt(segment.baseOffset)
    if (there?.sha256 !== segment.sha256 || segment.object === null || there.object === null)
      continue
    if (!sameLocation(segment.object, there.object))
      moved.push({ ...segment, object: there.object })
  }
  return moved
}

/** Segments of a data directory whose very bytes the archive has let go of in some place. */
export function* retiredAmong(
  { retired = [] }: PartitionState,
  segments: SegmentEntries,
): Generator<SegmentEntry> {
  for (const { segment } of retired) {
    const own = segments.startingAt(segment.baseOffset)
    if (own !== undefined && own.sha256 === segment.sha256) yield own
  }
}
