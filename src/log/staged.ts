/** What an append has put down before readers may see it, and how it is taken back. */
import type { ColumnData } from '../format/column.ts'
import { APPEND_BYTES_MAX } from '../format/limits.ts'
import type { Schema } from '../format/schema.ts'
import { appendPayloadBytes, limitedPayloadBytes } from '../format/wal-payload.ts'
import type { HotBatch } from './hot-batch.ts'
import type { Partition } from './partition.ts'
import { appendTooLarge } from './row-appender.ts'

/** Rows behind the committed ones of a batch, or a batch of their own; `isNew` when its schema is not the log's yet. */
export interface Staged {
  readonly batch: HotBatch
  readonly schema: Schema
  readonly isNew: boolean
  /** Whether the batch is the caller's columns, and not yet one of the partition's. */
  readonly isAdopted: boolean
}

export function stagedIn(batch: HotBatch, isNew: boolean): Staged {
  return { batch, schema: batch.schema, isNew, isAdopted: false }
}

export function discardStaged(partition: Partition, { batch, isAdopted }: Staged): void {
  if (isAdopted) batch.drop()
  else partition.discardStaged()
}

/** What fits no WAL frame fits no block of a segment either; a log without a WAL would not be told otherwise. */
export function assertStagedBytes(partition: Partition, staged: Staged): void {
  const { columns, start, end } = stagedColumns(staged)
  const payloadBytes = appendPayloadBytes(columns, start, end)
  const bytes = limitedPayloadBytes(columns, start, end, payloadBytes)
  if (bytes <= APPEND_BYTES_MAX) return
  discardStaged(partition, staged)
  throw appendTooLarge(bytes)
}

/** The columns of a batch with the staged rows `[start, end)`. */
export function stagedColumns({ batch, isAdopted }: Staged): {
  readonly columns: readonly ColumnData[]
  readonly start: number
  readonly end: number
} {
  if (isAdopted) {
    const { columns, length } = batch.view(batch.baseOffset, batch.endOffset)
    return { columns, start: 0, end: length }
  }
  const start = batch.length
  const end = batch.builders[0]?.length ?? start
  return { columns: batch.builders.map((builder) => builder.slice(0, end)), start, end }
}
