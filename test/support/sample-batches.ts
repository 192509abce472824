/** Columns, batches and segments of records that a test names. */
import { createColumnBuilder } from '../../src/format/column-builder.ts'
import { HEAP_BUFFERS } from '../../src/format/growing-column.ts'
import { concatColumns } from '../../src/format/column-concat.ts'
import { type ColumnData, sliceColumn } from '../../src/format/column.ts'
import type { RecordBatch } from '../../src/format/record-batch.ts'
import type { Row } from '../../src/format/schema-inference.ts'
import type { ColumnType, Field, Schema } from '../../src/format/schema.ts'
import { encodeParquet } from '../../src/format/parquet-writer.ts'
import { encodeSegment } from '../../src/format/segment-writer.ts'
import type { EncodedSegment, SegmentHeader } from '../../src/format/segment.ts'

export interface SampleOptions {
  readonly baseOffset?: number
  readonly shared?: boolean
}

export const EVERY_TYPE: readonly ColumnType[] = [
  'bool',
  'int8',
  'int16',
  'int32',
  'int64',
  'uint8',
  'uint16',
  'uint32',
  'uint64',
  'float32',
  'float64',
  'utf8',
  'json',
  'binary',
  'timestamp[s]',
  'timestamp[ms]',
  'timestamp[us]',
  'timestamp[ns]',
  'date',
  'decimal(20,3)',
]

export function sampleSchema(types: Readonly<Record<string, ColumnType>>, id = 0): Schema {
  const fields: Field[] = Object.entries(types).map(([name, type]) => ({
    name,
    type,
    nullable: true,
  }))
  return { id, fields }
}

/** A column of `values`, which its type takes; over shared memory when asked for. */
export function sampleColumn(
  type: ColumnType,
  values: readonly unknown[],
  shared = false,
): ColumnData {
  const builder = createColumnBuilder(type, {
    ...HEAP_BUFFERS,
    acquire: (minBytes) =>
      new Uint8Array(
        shared ? new SharedArrayBuffer(align(minBytes)) : new ArrayBuffer(align(minBytes)),
      ),
  })
  for (const value of values) {
    const result = builder.push(value)
    if (result !== 'ok') throw new Error(`${type} does not take ${String(value)}: ${result}`)
  }
  return builder.slice(0, values.length)
}

export function sampleBatch(
  schema: Schema,
  rows: readonly Row[],
  options: SampleOptions = {},
): RecordBatch {
  const baseOffset = options.baseOffset ?? 0
  return {
    schema,
    baseOffset,
    length: rows.length,
    columns: schema.fields.map(({ name, type }) =>
      sampleColumn(
        type,
        rows.map((row) => row[name]),
        options.shared,
      ),
    ),
    appendTimeMin: 1_700_000_000_000 + baseOffset,
    appendTimeMax: 1_700_000_000_000 + baseOffset + rows.length,
  }
}

/** The same text column with a dictionary, in order of first appearance. */
export function withDictionary(column: ColumnData, texts: readonly (string | null)[]): ColumnData {
  const distinct = [...new Set(texts.filter((text) => text !== null))]
  const codes = sampleColumn(
    'int32',
    texts.map((text) => (text === null ? 0 : distinct.indexOf(text))),
  )
  return {
    ...column,
    offsets: null,
    values: codes.values,
    dictionary: sampleColumn('utf8', distinct),
  }
}

/** `batch` cut into batches of `lengths` rows, the rest in a last one. */
export function cutBatch(batch: RecordBatch, lengths: readonly number[]): RecordBatch[] {
  const batches: RecordBatch[] = []
  let start = 0
  for (const length of [...lengths, batch.length]) {
    const end = Math.min(start + length, batch.length)
    if (end === start) continue
    const columns = batch.columns.map((column) => concatColumns([sliceColumn(column, start, end)]))
    batches.push({ ...batch, baseOffset: batch.baseOffset + start, length: end - start, columns })
    start = end
  }
  return batches
}

export const SAMPLE_HEADER: SegmentHeader = {
  engineId: '0123456789abcdef',
  logId: 1,
  logName: 'orders',
  partition: 0,
  timeColumn: '_time',
  keyColumn: null,
}

export interface WrittenSegment extends EncodedSegment {
  readonly bytes: Uint8Array
}

/** A whole segment at once. */
export function writeSegment(
  batches: readonly RecordBatch[],
  header: Partial<SegmentHeader> = {},
): WrittenSegment {
  const encode = header.format === 'parquet' ? encodeParquet : encodeSegment
  const steps = encode({ ...SAMPLE_HEADER, ...header }, batches)
  const pieces: Uint8Array[] = []
  for (;;) {
    const step = steps.next()
    if (step.done === true) return { ...step.value, bytes: new Uint8Array(Buffer.concat(pieces)) }
    pieces.push(step.value)
  }
}

function align(byteCount: number): number {
  return Math.ceil(byteCount / 8) * 8
}
