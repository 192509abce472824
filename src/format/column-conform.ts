/**
 * Bringing data of an older schema to a newer one: added columns are null, widened ones are cast.
 */
import { assert, present } from '../base/assert.ts'
import { type ColumnData, bitmapBytes, float64View, int32View, isValidAt } from './column.ts'
import type { RecordBatch } from './record-batch.ts'
import { type ColumnType, type Schema, columnLayout, isWidening } from './schema.ts'

/** A column of nothing but nulls. */
export function nullColumn(type: ColumnType, length: number): ColumnData {
  const layout = columnLayout(type)
  const byteCount =
    layout.kind === 'bits'
      ? bitmapBytes(length)
      : layout.kind === 'fixed'
        ? length * layout.byteWidth
        : 0
  const hasOffsets = layout.kind === 'variable' || layout.kind === 'list'
  const column: ColumnData = {
    type,
    length,
    nullCount: length,
    validity: length === 0 ? null : new Uint8Array(bitmapBytes(length)),
    offsets: hasOffsets ? new Int32Array(length + 1) : null,
    values: new Uint8Array(byteCount),
    dictionary: null,
  }
  if (layout.kind === 'list') return { ...column, children: [nullColumn(layout.item, 0)] }
  if (layout.kind !== 'struct') return column
  return { ...column, children: layout.fields.map((field) => nullColumn(field.type, length)) }
}

/**
 * The same values in a wider type (see `isWidening`); what lies under a null is 0. The same type
 * gives the same column.
 */
export function castColumn(column: ColumnData, type: ColumnType): ColumnData {
  if (column.type === type) return column
  assert(isWidening(column.type, type), `${column.type} widens to ${type}`)
  const values = new Uint8Array(column.length * 8)
  const target = type === 'int64' ? int32View(values) : float64View(values)
  const source =
    column.type === 'float32'
      ? new Float32Array(column.values.buffer, column.values.byteOffset, column.length)
      : int32View(column.values)
  for (let row = 0; row < column.length; row++) {
    if (!isValidAt(column, row)) continue
    const value = source[row] ?? 0
    if (type === 'int64') {
      target[row * 2] = value
      target[row * 2 + 1] = value < 0 ? -1 : 0
    } else {
      target[row] = value
    }
  }
  return { ...column, type, values }
}

/** `batch` as a batch of `schema`, which grew from its own: columns by name, missing ones null. */
export function conformBatch(batch: RecordBatch, schema: Schema): RecordBatch {
  if (batch.schema === schema) return batch
  const positions = new Map(batch.schema.fields.map((field, position) => [field.name, position]))
  const columns = schema.fields.map((field) => {
    const position = positions.get(field.name)
    if (position === undefined) return nullColumn(field.type, batch.length)
    return castColumn(present(batch.columns[position], `column ${position}`), field.type)
  })
  return { ...batch, schema, columns }
}
