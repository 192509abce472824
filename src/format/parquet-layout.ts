/**
 * Where the columns of a row group lie in a Parquet segment, as the segment's facts say it: one behind the other in the
 * order of the schema, without a gap. A column's facts are whole numbers: the CRC-32C of all its bytes, then for each
 * stored column inside of it, one where it is no list or struct:
 *
 * ```
 * entries | stored length
 * ```
 */
import type { StoredRange } from './column-layout.ts'
import type { Fail } from './json-fields.ts'
import { BLOCK_RAW_BYTES_MAX } from './limits.ts'
import { leafCount } from './parquet-schema.ts'
import { type ColumnType, isNestedType } from './schema.ts'
import type { BatchFacts, SegmentFacts } from './segment.ts'
import { storedFields } from './sparse-rows.ts'

/** The stored range of one column of a row group. */
export interface ParquetColumn extends StoredRange {
  readonly leaves: readonly ParquetPlace[]
}

export interface ParquetPlace {
  /** Entries: values and places where there is none. */
  readonly length: number
  readonly bytes: number
}

/** By position in `storedFields`. @throws `fail` when the numbers are not those of such columns. */
export function parquetColumns(
  block: BatchFacts,
  facts: Pick<SegmentFacts, 'schema' | 'sparse'>,
  fail: Fail,
): readonly ParquetColumn[] {
  const fields = storedFields(facts)
  if (block.columns.length !== fields.length) fail('a block has another count of columns')
  if (block.metadataLength !== 0) fail('a row group begins with no metadata')
  const end = block.position + block.bodyLength
  let start = block.position
  const columns = fields.map(({ type }, index): ParquetColumn => {
    const [checksum = 0, ...numbers] = block.columns[index] ?? []
    const leaves = placesOf(numbers, type, block.length, fail)
    const column = {
      start,
      end: leaves.reduce((sum, { bytes }) => sum + bytes, start),
      checksum,
      leaves,
    }
    start = column.end
    return column
  })
  if (start !== end) fail(`the columns of a block end at ${start}, not ${end}`)
  return columns
}

function placesOf(
  numbers: readonly number[],
  type: ColumnType,
  rows: number,
  fail: Fail,
): readonly ParquetPlace[] {
  const count = leafCount(type)
  if (numbers.length !== count * 2) fail('a column says too little or too much of itself')
  return Array.from({ length: count }, (_, leaf) => {
    const length = numbers[leaf * 2] ?? 0
    const bytes = numbers[leaf * 2 + 1] ?? 0
    const isSound = isNestedType(type) ? length >= rows : length === rows
    if (!isSound || length > BLOCK_RAW_BYTES_MAX) fail(`a column has ${length} entries`)
    if (bytes < 1 || bytes > 2 ** 31 - 8) fail(`a column has ${bytes} bytes`)
    return { length, bytes }
  })
}
