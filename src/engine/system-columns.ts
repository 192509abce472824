/** The system columns of a batch, made from what the batch is. */
import { columnReader } from '../format/column-values.ts'
import { createColumnBuilder } from '../format/column-builder.ts'
import type { ColumnData } from '../format/column.ts'
import type { Tier } from '../format/manifest.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import { type Field, type SystemColumn, fieldIndex } from '../format/schema.ts'

/** Whose records a batch holds, and which columns of them are wanted. */
export interface BatchContext {
  readonly partition: number
  readonly tier: Tier
  readonly timeColumn: string
  readonly keyColumn: string | null
  /** Names in the order asked for; null for the default. */
  readonly columns: readonly string[] | null
}

export function systemColumn(
  name: SystemColumn,
  batch: RecordBatch,
  context: BatchContext,
): { field: Field; column: ColumnData } {
  switch (name) {
    case '_offset':
      return made(name, 'int64', batch.length, (row) => batch.baseOffset + row)
    case '_partition':
      return made(name, 'int32', batch.length, () => context.partition)
    case '_tier':
      return made(name, 'utf8', batch.length, () => context.tier)
    case '_time':
      return timeColumn(batch, context)
    case '_key':
      return keyColumn(batch, context)
  }
}

/** The record's time in the log's own time unit: the stamped column, or the user's time column under another name. */
function timeColumn(
  batch: RecordBatch,
  context: BatchContext,
): { field: Field; column: ColumnData } {
  const index = fieldIndex(batch.schema, context.timeColumn)
  const field = batch.schema.fields[index]
  const column = batch.columns[index]
  if (field === undefined || column === undefined)
    return made('_time', 'timestamp[ms]', batch.length, () => null)
  return { field: { ...field, name: '_time' }, column }
}

function keyColumn(
  batch: RecordBatch,
  context: BatchContext,
): { field: Field; column: ColumnData } {
  const index = context.keyColumn === null ? -1 : fieldIndex(batch.schema, context.keyColumn)
  const column = batch.columns[index]
  if (column === undefined) return made('_key', 'utf8', batch.length, () => null)
  const read = columnReader(column)
  return made('_key', 'utf8', batch.length, (row) => keyText(read(row)))
}

/** A key as text: what decides its partition and names it in the latest view. */
export function keyText(value: unknown): string | null {
  if (value === null || value === undefined) return null
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  if (typeof value === 'symbol' || typeof value === 'function') return null
  return typeof value === 'object'
    ? JSON.stringify(value)
    : `${value as number | bigint | boolean | string}`
}

function made(
  name: string,
  type: Field['type'],
  length: number,
  value: (row: number) => unknown,
): { field: Field; column: ColumnData } {
  const builder = createColumnBuilder(type, {
    acquire: (minBytes) => new Uint8Array(Math.ceil(minBytes / 8) * 8),
  })
  for (let row = 0; row < length; row++) builder.push(value(row))
  return { field: { name, type, nullable: name === '_key' }, column: builder.slice(0, length) }
}
