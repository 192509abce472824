/** Which columns that a caller gives away may become a hot batch as they are. */
import { type ColumnData, columnBytes } from '../format/column.ts'
import { foreignBytes } from '../format/foreign-bytes.ts'
import { createColumnBuilder } from '../format/column-builder.ts'
import { BATCH_ROWS_MAX } from '../format/limits.ts'
import { type Schema, STAMPED_TIME_COLUMN } from '../format/schema.ts'
import type { ColumnPlaces } from './column-places.ts'
import { type ColumnInput, assertColumnBytes } from './row-appender.ts'

/** Smaller ones are copied: a batch of its own would cost more than the copy. */
const ADOPTED_BYTES_MIN = 64 * 1024
/** What keeps more memory alive than it uses, by this factor, is copied. */
const WASTE_FACTOR = 1.25

/**
 * The columns of a batch of `schema`, in its order, over the caller's buffers; null where a copy is needed or wiser: a
 * column is absent, of another type or has nulls that the schema forbids, or the buffers are parts of much bigger ones.
 */
export function adoptableColumns(
  schema: Schema,
  input: ColumnInput,
  places: ColumnPlaces,
  appendTime: number,
): readonly ColumnData[] | null {
  const bytes = bytesOf(input.columns)
  if (input.length > BATCH_ROWS_MAX || bytes < ADOPTED_BYTES_MIN) return null
  assertColumnBytes(input.columns)
  const columns: ColumnData[] = []
  for (const [position, field] of schema.fields.entries()) {
    const column = input.columns[places[position] ?? -1]
    if (column === undefined) {
      if (field.name !== STAMPED_TIME_COLUMN) return null
      columns.push(timesOf(field.type, input.length, appendTime))
    } else {
      if (column.type !== field.type || (column.nullCount > 0 && !field.nullable)) return null
      columns.push(column)
    }
  }
  return foreignBytes(columns) > bytesOf(columns) * WASTE_FACTOR ? null : columns
}

function bytesOf(columns: readonly ColumnData[]): number {
  return columns.reduce((sum, column) => sum + columnBytes(column), 0)
}

/** A column of one time, over shared memory as all that a batch is made of. */
function timesOf(type: ColumnData['type'], length: number, time: number): ColumnData {
  const builder = createColumnBuilder(
    type,
    {
      acquire: (minBytes) => new Uint8Array(new SharedArrayBuffer(Math.ceil(minBytes / 8) * 8)),
      retire: () => {},
      shrink: (buffer, bytes) => buffer.subarray(0, bytes),
    },
    { rows: length, valueBytes: length * 8 },
  )
  builder.pushAll(
    Array.from({ length }, () => time),
    length,
  )
  return builder.slice(0, length)
}
