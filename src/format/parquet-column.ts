/** One column of a row group, from its stored bytes. */
import { present } from '../base/assert.ts'
import type { ColumnData } from './column.ts'
import type { Fail } from './json-fields.ts'
import { assembleColumn } from './parquet-assemble.ts'
import type { ParquetColumn } from './parquet-layout.ts'
import { decodeChunk } from './parquet-page.ts'
import { parquetLeaves } from './parquet-schema.ts'
import type { Field } from './schema.ts'

/** @param bytes the column's range, verified. @throws `fail`. */
export function decodeParquetColumn(
  field: Field,
  column: ParquetColumn,
  bytes: Uint8Array,
  rows: number,
  fail: Fail,
): ColumnData {
  let position = 0
  const chunks = parquetLeaves(field).map((leaf, index) => {
    const place = present(column.leaves[index], 'a stored column')
    const stored = bytes.subarray(position, (position += place.bytes))
    return decodeChunk(stored, leaf, place.length, fail)
  })
  return assembleColumn(field, rows, chunks, fail)
}
