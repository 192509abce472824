/**
 * Whether a state of a log that keeps the latest can still be told. Compaction lets a record go once a newer one of its
 * key lies below `latestTo`. A state that ends before that would be without the key, and nothing would show it. Where a
 * snapshot ends nothing is missing: compaction keeps what it has (tiering/keep-latest.ts).
 */
import { StratalogError } from '../base/errors.ts'
import type { SegmentEntry } from '../format/manifest.ts'

export interface StateEnd {
  readonly log: string
  readonly partition: number
  readonly endOffset: number
}

/** The first segment from which records are gone that were newest when the partition ended at `endOffset`. */
export function lackingAt(
  segments: Iterable<SegmentEntry>,
  endOffset: number,
): SegmentEntry | null {
  for (const segment of segments) {
    if (segment.baseOffset >= endOffset) return null
    if (segment.sparse !== undefined && segment.sparse.latestTo > endOffset) return segment
  }
  return null
}

export function momentCompacted(
  { log, partition, endOffset }: StateEnd,
  { baseOffset: from, endOffset: to, sparse }: SegmentEntry,
): StratalogError {
  const latestTo = sparse?.latestTo ?? to
  return new StratalogError(
    'moment_compacted',
    `Log '${log}', partition ${partition}, is not there any more as it was at offset ${endOffset}: it keeps the latest version of each key, and versions of offsets ${from} to ${to} went for newer ones before offset ${latestTo}. Ask for a snapshot, or for a moment from offset ${latestTo} on.`,
    { details: { log, partition, endOffset, from, to, latestTo } },
  )
}
