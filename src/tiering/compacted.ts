import type { PartitionState, SegmentEntry } from '../format/manifest.ts'
import type { SegmentEntries } from '../format/segment-entries.ts'

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
