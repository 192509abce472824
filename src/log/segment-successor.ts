/**
 * What has become of a segment whose object is gone from the archive that names it no more: the archive's engine goes
 * on while a directory that was restored without its bytes, or one that reads beside the writer, still counts on it.
 *
 * Offsets keep their records for good, so the segment of the archive that has them now holds the same ones; facts of
 * both have to agree all the same. Of a log that keeps the latest it may hold fewer, which a reader may only be given
 * where the newer versions are of records that it has too.
 */
import { isStratalogError } from '../base/errors.ts'
import type { PartitionState, SegmentEntry } from '../format/manifest.ts'
import { recordsIn } from '../format/segment-entry.ts'
import type { SegmentEntries } from '../format/segment-entries.ts'
import type { SegmentSource } from './log-view.ts'

/** `gone`: the archive lacks it, and nothing says why. */
export type Succession =
  | { readonly kind: 'moved'; readonly segment: SegmentEntry }
  | { readonly kind: 'retired' }
  | { readonly kind: 'superseded' }
  | { readonly kind: 'gone' }

/** @param own all segments of the partition in the directory. */
export function successionOf(
  archive: PartitionState | undefined,
  own: SegmentEntries,
  segment: SegmentEntry,
): Succession {
  if (archive === undefined) return { kind: 'gone' }
  const by = archive.segments.at(archive.segments.indexAt(segment.baseOffset))
  if (by === undefined || !isAround(by, segment)) {
    const isRetired = segment.endOffset <= archive.startOffset
    return isRetired ? { kind: 'retired' } : { kind: 'gone' }
  }
  const isItself = by.sha256 === segment.sha256 && by.object?.object === segment.object?.object
  if (by.object === null || isItself) return { kind: 'gone' }
  if (isWhole(by, own)) return { kind: 'moved', segment: by }
  const isOlder = (by.sparse?.latestTo ?? Infinity) <= archivedEnd(own)
  return isOlder ? { kind: 'moved', segment: by } : { kind: 'superseded' }
}

/** The directory's segments that `by` stands in the place of; null where it begins before them or ends behind them. */
export function replacedBy(own: SegmentEntries, by: SegmentEntry): readonly SegmentEntry[] | null {
  const replaced: SegmentEntry[] = []
  for (const segment of own.from(by.baseOffset)) {
    if (segment.baseOffset >= by.endOffset) break
    if (segment.object === null) return null
    replaced.push(segment)
  }
  let next = by.baseOffset
  for (const { baseOffset, endOffset } of replaced) {
    if (baseOffset !== next) return null
    next = endOffset
  }
  return next === by.endOffset ? replaced : null
}

/** Where the records are by now, when an object is gone; null where nobody knows. @throws as the lookup. */
export async function successorOf(
  { successor }: SegmentSource,
  error: unknown,
): Promise<SegmentSource | null> {
  if (!isStratalogError(error) || error.code !== 'object_not_found') return null
  return (await successor?.()) ?? null
}

/** Whether it can hold all records of the other one. */
function isAround(by: SegmentEntry, segment: SegmentEntry): boolean {
  const isSame = by.schemaId === segment.schemaId && by.baseOffset <= segment.baseOffset
  if (!isSame || by.endOffset < segment.endOffset) return false
  // Of what was let go of the times are gone too.
  if (by.sparse !== undefined) return true
  return by.appendTimeMin <= segment.appendTimeMin && by.appendTimeMax >= segment.appendTimeMax
}

/** Whether it has every record that the directory knows there. */
function isWhole(by: SegmentEntry, own: SegmentEntries): boolean {
  if (by.sparse === undefined) return true
  const replaced = replacedBy(own, by)
  if (replaced === null) return false
  return replaced.reduce((sum, segment) => sum + recordsIn(segment), 0) === recordsIn(by)
}

/** Where the records end that the directory has from the archive. */
function archivedEnd(own: SegmentEntries): number {
  for (const chunk of own.chunks.toReversed()) {
    for (let index = chunk.length - 1; index >= 0; index--)
      if (chunk.hasCopy(index, 'object')) return chunk.at(index).endOffset
  }
  return 0
}
