/**
 * Writes lists and structs into DuckDB's vectors. A list is an entry a row, where its items begin and how many there
 * are (u64 each), and a vector of all items behind it; a struct is a vector a field.
 */
import duckdb from '@duckdb/node-bindings'
import { type ColumnData, bitmapBytes, countBits, isValidAt } from '../format/column.ts'
import { VECTOR_ROWS, type VectorWriter } from './vector-rows.ts'

type MakeWriter = (column: ColumnData) => VectorWriter

const entries = new Uint32Array(VECTOR_ROWS * 4)

/** The entries of a list, and its items by a writer that `make` gives. Nulls are told by the caller. */
export function listWriter(column: ColumnData, make: MakeWriter): VectorWriter {
  const offsets = column.offsets ?? new Int32Array(1)
  const items = (column.children ?? []).map(make)
  return (vector, start, count, arenas) => {
    const from = offsets[start] ?? 0
    const itemCount = (offsets[start + count] ?? 0) - from
    for (let at = 0; at < count; at += VECTOR_ROWS) {
      const rows = Math.min(VECTOR_ROWS, count - at)
      writeEntries(column, offsets, start + at, rows, from)
      duckdb.copy_data_to_vector(vector, at * 16, entries.buffer, 0, rows * 16)
    }
    duckdb.list_vector_reserve(vector, itemCount)
    duckdb.list_vector_set_size(vector, itemCount)
    for (const write of items) write(duckdb.list_vector_get_child(vector), from, itemCount, arenas)
  }
}

function writeEntries(
  column: ColumnData,
  offsets: Int32Array,
  start: number,
  rows: number,
  base: number,
): void {
  for (let row = 0; row < rows; row++) {
    const position = offsets[start + row] ?? 0
    const isNull = column.validity !== null && !isValidAt(column, start + row)
    entries[row * 4] = position - base
    entries[row * 4 + 1] = 0
    entries[row * 4 + 2] = isNull ? 0 : (offsets[start + row + 1] ?? 0) - position
    entries[row * 4 + 3] = 0
  }
}

/** The fields of a struct. DuckDB reads a field without asking its struct, so a null struct has null fields. */
export function structWriter(column: ColumnData, make: MakeWriter): VectorWriter {
  const { validity } = column
  const fields = (column.children ?? []).map((child) =>
    make(validity === null ? child : maskedColumn(child, validity)),
  )
  return (vector, start, count, arenas) => {
    for (const [index, write] of fields.entries())
      write(duckdb.struct_vector_get_child(vector, index), start, count, arenas)
  }
}

/** The same rows, null also where `mask` says so. */
function maskedColumn(column: ColumnData, mask: Uint8Array): ColumnData {
  const { length } = column
  const validity = new Uint8Array(bitmapBytes(length))
  for (let index = 0; index < validity.length; index++)
    validity[index] = (mask[index] ?? 0) & (column.validity?.[index] ?? 0xff)
  return { ...column, validity, nullCount: length - countBits(validity, length) }
}
