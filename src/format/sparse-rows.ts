/**
 * The rows of sparse segments: some offsets of a range have no record, so each row says its own in the offset column,
 * int64, behind the columns of the schema. Batches with that column are written, and come back as rows with offsets.
 *
 * Nothing above SegmentReading sees them but compaction and the scan of a query: readers get runs.
 */
import { assert, present } from '../base/assert.ts'
import { type ColumnData, bigInt64View, sliceColumn } from './column.ts'
import { createColumnBuilder } from './column-builder.ts'
import { appendRanges } from './column-gather.ts'
import { HEAP_BUFFERS } from './growing-column.ts'
import type { RecordBatch } from './record-batch.ts'
import type { Field, Schema } from './schema.ts'
import type { SegmentFacts, SparseRange } from './segment.ts'

export const OFFSET_FIELD: Field = { name: '_offset', type: 'int64', nullable: false }

/** Rows of a block: row r has offset `offsets[r]`, or `batch.baseOffset + r` where there are none. */
export interface OffsetRows {
  readonly batch: RecordBatch
  readonly offsets: Float64Array | null
}

/** The columns that a segment stores: those of its schema, then the offset column where it has one. */
export function storedFields({
  schema,
  sparse,
}: Pick<SegmentFacts, 'schema' | 'sparse'>): readonly Field[] {
  return sparse === undefined ? schema.fields : [...schema.fields, OFFSET_FIELD]
}

export function hasOffsetColumn({ fields }: Schema): boolean {
  return fields.at(-1)?.name === OFFSET_FIELD.name
}

/** The schema that rows with an offset column have by their log. */
export function withoutOffsetColumn(schema: Schema): Schema {
  return hasOffsetColumn(schema) ? { id: schema.id, fields: schema.fields.slice(0, -1) } : schema
}

/** The rows with their offsets as a column. */
export function withOffsetColumn({ batch, offsets }: OffsetRows): RecordBatch {
  const { schema, baseOffset, length } = batch
  const values = new BigInt64Array(length)
  for (let row = 0; row < length; row++) values[row] = BigInt(offsets?.[row] ?? baseOffset + row)
  const column: ColumnData = {
    type: 'int64',
    length,
    nullCount: 0,
    validity: null,
    offsets: null,
    values: new Uint8Array(values.buffer),
    dictionary: null,
  }
  return {
    ...batch,
    schema: { id: schema.id, fields: [...schema.fields, OFFSET_FIELD] },
    columns: [...batch.columns, column],
  }
}

/** The offset of a row of a batch, with an offset column or without. */
export function offsetOfRow(batch: RecordBatch, row: number): number {
  if (!hasOffsetColumn(batch.schema)) return batch.baseOffset + row
  return Number(bigInt64View(present(batch.columns.at(-1), 'the offsets').values)[row] ?? 0n)
}

/** Takes the offset column off; what is wrong with it, in words, where the offsets are not ascending in the range. */
export function takeOffsets(batch: RecordBatch, endOffset: number): OffsetRows | string {
  assert(hasOffsetColumn(batch.schema), 'the offset column was read')
  const { baseOffset, length } = batch
  const column = present(batch.columns.at(-1), 'the offsets')
  const values = bigInt64View(column.values)
  const offsets = new Float64Array(length)
  let next = baseOffset
  for (let row = 0; row < length; row++) {
    const offset = Number(values[row] ?? 0n)
    if (offset < next) return 'its offsets do not ascend'
    offsets[row] = offset
    next = offset + 1
  }
  const isOfBlock = offsets[0] === baseOffset && next === endOffset && column.nullCount === 0
  if (!isOfBlock) return 'its offsets are not those of the block'
  const { schema, columns } = batch
  return {
    batch: { ...batch, schema: withoutOffsetColumn(schema), columns: columns.slice(0, -1) },
    offsets,
  }
}

/** The rows as batches of consecutive offsets, in order. */
export function* runsOf({ batch, offsets }: OffsetRows): Generator<RecordBatch, void, undefined> {
  if (offsets === null) {
    yield batch
    return
  }
  let start = 0
  for (let row = 1; row <= batch.length; row++) {
    if (row < batch.length && offsets[row] === (offsets[row - 1] ?? 0) + 1) continue
    yield {
      ...batch,
      baseOffset: offsets[start] ?? 0,
      length: row - start,
      columns: batch.columns.map((column) => sliceColumn(column, start, row)),
    }
    start = row
  }
}

/** The first row at or above an offset; their number when there is none. */
export function rowAt(offsets: Float64Array, offset: number): number {
  let low = 0
  let high = offsets.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((offsets[middle] ?? Infinity) < offset) low = middle + 1
    else high = middle
  }
  return low
}

/** The rows with offsets in `[from, to)`; none where there are none. */
export function cutRows(rows: OffsetRows, from: number, to: number): OffsetRows | null {
  const { batch, offsets } = rows
  const start = offsets === null ? Math.max(0, from - batch.baseOffset) : rowAt(offsets, from)
  const end = offsets === null ? Math.min(batch.length, to - batch.baseOffset) : rowAt(offsets, to)
  if (start === 0 && end === batch.length) return rows
  if (start >= end) return null
  return {
    batch: {
      ...batch,
      baseOffset: offsets?.[start] ?? batch.baseOffset + start,
      length: end - start,
      columns: batch.columns.map((column) => sliceColumn(column, start, end)),
    },
    offsets: offsets?.subarray(start, end) ?? null,
  }
}

/** Stretches of rows, as start, end, start, end and so on; at least one row. */
export function pickRows({ batch, offsets }: OffsetRows, ranges: Int32Array): OffsetRows {
  let length = 0
  for (let index = 0; index < ranges.length; index += 2)
    length += (ranges[index + 1] ?? 0) - (ranges[index] ?? 0)
  const picked = new Float64Array(length)
  let next = 0
  for (let index = 0; index < ranges.length; index += 2)
    for (let row = ranges[index] ?? 0; row < (ranges[index + 1] ?? 0); row++)
      picked[next++] = offsets?.[row] ?? batch.baseOffset + row
  const columns = batch.columns.map((column) => {
    const builder = createColumnBuilder(column.type, HEAP_BUFFERS)
    appendRanges(builder, column, ranges)
    return builder.slice(0, length)
  })
  return { batch: { ...batch, baseOffset: picked[0] ?? 0, length, columns }, offsets: picked }
}

/**
 * What is written of rows that stand for the offsets of `range`: batches of consecutive offsets where every offset has
 * its record, else rows with their offsets, and what the header of the segment says of them.
 */
export function writtenRows(
  rows: readonly OffsetRows[],
  range: SparseRange,
): { readonly records: readonly RecordBatch[]; readonly sparse?: SparseRange } {
  const count = rows.reduce((sum, { batch }) => sum + batch.length, 0)
  return count === range.endOffset - range.baseOffset
    ? { records: rows.map(({ batch }) => batch) }
    : { records: rows.map(withOffsetColumn), sparse: range }
}
