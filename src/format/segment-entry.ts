/** What a manifest says of one segment. */
import type { JsonFields } from './json-fields.ts'
import type { ColumnStatistics, SegmentFormat, SparseFacts } from './segment.ts'

/** Where the bytes of a segment lie: inside a file or an object, possibly one that many segments share. */
export interface Location {
  /** A file name below the data directory, or an object key below the archive's prefix. */
  readonly object: string
  readonly position: number
  readonly length: number
}

/** One segment: a contiguous range of offsets, immutable, with one or two copies. See `recordsIn`. */
export interface SegmentEntry {
  readonly baseOffset: number
  readonly endOffset: number
  readonly schemaId: number
  readonly timeMin: number
  readonly timeMax: number
  readonly appendTimeMin: number
  readonly appendTimeMax: number
  readonly rawBytes: number
  /** Stored length in bytes and SHA-256 (hex) of the stored bytes: what every copy must match. */
  readonly length: number
  readonly sha256: string
  readonly format: SegmentFormat
  /** By position in the schema's fields. */
  readonly statistics: readonly ColumnStatistics[]
  readonly disk: Location | null
  readonly object: Location | null
  /** Left out where every offset has its record. */
  readonly sparse?: SparseFacts
}

/** How many records a segment holds. */
export function recordsIn(
  entry: Pick<SegmentEntry, 'baseOffset' | 'endOffset' | 'sparse'>,
): number {
  return entry.sparse?.records ?? entry.endOffset - entry.baseOffset
}

/** Names the place: no two segments lie in one. */
export function placeName({ object, position }: Location): string {
  return `${object}, ${position}`
}

export function sameLocation(a: Location, b: Location): boolean {
  return a.object === b.object && a.position === b.position && a.length === b.length
}

/** Of offsets `[from, to)` of a segment; of a part of a sparse one the most that it may be. */
export function recordsWithin(entry: SegmentEntry, from: number, to: number): number {
  return Math.min(to - from, recordsIn(entry))
}

/** Whether a segment that is called sparse has fewer records than offsets, but some. */
export function isSparseSound({ baseOffset, endOffset, sparse }: SegmentEntry): boolean {
  return sparse === undefined || (sparse.records >= 1 && sparse.records < endOffset - baseOffset)
}

export function sparseOf(fields: JsonFields): SparseFacts {
  const sparse = { records: fields.integer('records', 1), latestTo: fields.integer('latestTo', 1) }
  fields.end()
  return sparse
}
