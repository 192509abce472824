import { type ColumnData, columnBytes, sliceColumn } from './column.ts'
import type { Schema } from './schema.ts'

/**
 * A run of records with consecutive offsets: the unit of RAM, of eviction, and of a block in a segment.
 * `columns[i]` belongs to `schema.fields[i]` and has `length` rows; row r has offset `baseOffset + r`.
 * Times are of the engine's clock at the append, in ms; they decide tier moves, never order.
 */
export interface RecordBatch {
  readonly schema: Schema
  readonly baseOffset: number
  readonly length: number
  readonly columns: readonly ColumnData[]
  readonly appendTimeMin: number
  readonly appendTimeMax: number
}

/** The offset after the batch's last record. */
export function endOffset(batch: RecordBatch): number {
  return batch.baseOffset + batch.length
}

export function recordBatchBytes(batch: RecordBatch): number {
  return batch.columns.reduce((sum, column) => sum + columnBytes(column), 0)
}

/** The records of `batch` with offsets in `[from, to)`, which must lie inside it. */
export function sliceRecordBatch(batch: RecordBatch, from: number, to: number): RecordBatch {
  if (from === batch.baseOffset && to === endOffset(batch)) return batch
  const start = from - batch.baseOffset
  const end = to - batch.baseOffset
  return {
    ...batch,
    baseOffset: from,
    length: end - start,
    columns: batch.columns.map((column) => sliceColumn(column, start, end)),
  }
}
