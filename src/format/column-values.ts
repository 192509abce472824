/**
 * Columns as JavaScript values; see the table in schema.ts. Where a Date cannot hold a timestamp or
 * a date (beyond ±8.64e15 ms), its bigint count stands in.
 */
import {
  type ColumnData,
  bigInt64View,
  codesOf,
  int32View,
  isValidAt,
  sliceColumn,
} from './column.ts'
import { elementsOf } from './column-elements.ts'
import { nestedReader } from './nested-values.ts'
import type { RecordBatch } from './record-batch.ts'
import type { Row } from './schema-inference.ts'
import { type ColumnType, decimalParameters, timestampUnit } from './schema.ts'
import { TextReader } from './text-reader.ts'

export { concatColumns, flattenColumn } from './column-concat.ts'
export { castColumn, conformBatch, nullColumn } from './column-conform.ts'

/** The value of one row; null where the row has none. `row` is inside the column. */
export type ColumnReader = (row: number) => unknown

/** One value. For many rows of a column make a `columnReader`. */
export function readValue(column: ColumnData, row: number): unknown {
  if (!isValidAt(column, row)) return null
  if (column.children !== undefined)
    return nestedReader(sliceColumn(column, row, row + 1), columnReader)(0)
  if (column.dictionary !== null) return readValue(column.dictionary, codesOf(column)[row] ?? 0)
  if (column.offsets === null) return fixedReader(column)(row)
  return variableReader(column)(row)
}

/** Reads any row of a column; does the work that all rows share once. */
export function columnReader(column: ColumnData): ColumnReader {
  const read = presentReader(column)
  const validity = column.validity
  if (validity === null) return read
  return (row) => ((((validity[row >> 3] ?? 0) >> (row & 7)) & 1) === 1 ? read(row) : null)
}

/** Every record of a batch as an object, columns in the schema's order. */
export function batchToRows(batch: RecordBatch): Row[] {
  const names = batch.schema.fields.map((field) => field.name)
  const readers = batch.columns.map(columnReader)
  const rows: Row[] = []
  for (let row = 0; row < batch.length; row++) {
    const record: Record<string, unknown> = {}
    for (let index = 0; index < readers.length; index++)
      record[names[index] ?? ''] = readers[index]?.(row)
    rows.push(record)
  }
  return rows
}

function presentReader(column: ColumnData): ColumnReader {
  if (column.dictionary !== null) {
    const texts = dictionaryTexts(column.dictionary)
    const codes = codesOf(column)
    return (row) => texts[codes[row] ?? 0]
  }
  if (column.children !== undefined) return nestedReader(column, columnReader)
  if (column.offsets === null) return fixedReader(column)
  if (column.type !== 'utf8') return variableReader(column)
  const texts = new TextReader(column)
  return (row) => texts.at(row)
}

const textsOfDictionary = new WeakMap<ColumnData, readonly string[]>()

/** A dictionary's strings, decoded once for all columns that share it. */
export function dictionaryTexts(dictionary: ColumnData): readonly string[] {
  const known = textsOfDictionary.get(dictionary)
  if (known !== undefined) return known
  const read = variableReader(dictionary)
  const texts = Array.from({ length: dictionary.length }, (_, code) => read(code) as string)
  textsOfDictionary.set(dictionary, texts)
  return texts
}

function fixedReader(column: ColumnData): ColumnReader {
  const { values, type } = column
  switch (type) {
    case 'bool':
      return (row) => (((values[row >> 3] ?? 0) >> (row & 7)) & 1) === 1
    case 'int8':
    case 'uint8':
    case 'int16':
    case 'uint16':
    case 'int32':
    case 'uint32':
    case 'float32':
    case 'float64': {
      const elements = elementsOf(column) as { readonly [index: number]: number }
      return (row) => elements[row]
    }
    default:
      return wideReader(column)
  }
}

/** The types of 64 bits and more, and dates. */
function wideReader(column: ColumnData): ColumnReader {
  const { type, values } = column
  if (type === 'date') {
    const days = int32View(values)
    return (row) => dateOrCount((days[row] ?? 0) * DAY_MS, BigInt(days[row] ?? 0))
  }
  const unit = timestampUnit(type)
  const wide = bigInt64View(values)
  if (unit === 'us' || unit === 'ns') return (row) => wide[row]
  const halves = int32View(values)
  if (unit === 'ms') return (row) => timeOfMs(halves, row)
  if (unit === 's') {
    return (row) => dateOrCount(Number(integerAt(halves, row)) * 1000, wide[row] ?? 0n)
  }
  if (type === 'uint64') return (row) => unsignedAt(halves, row)
  return decimalParameters(type) === null
    ? (row) => integerAt(halves, row)
    : decimalReader(type, wide)
}

const DAY_MS = 86_400_000
const DATE_MS_MAX = 8.64e15

function dateOrCount(ms: number, count: bigint): Date | bigint {
  return Math.abs(ms) <= DATE_MS_MAX ? new Date(ms) : count
}

/** An int64 in its two halves, as a number where that is exact, else as a bigint. */
export function integerAt(halves: Int32Array, row: number): number | bigint {
  const low = (halves[row * 2] ?? 0) >>> 0
  const high = halves[row * 2 + 1] ?? 0
  const number = high * 4_294_967_296 + low
  return Number.isSafeInteger(number) ? number : (BigInt(high) << 32n) | BigInt(low)
}

function unsignedAt(halves: Int32Array, row: number): number | bigint {
  const low = (halves[row * 2] ?? 0) >>> 0
  const high = (halves[row * 2 + 1] ?? 0) >>> 0
  const number = high * 4_294_967_296 + low
  return Number.isSafeInteger(number) ? number : (BigInt(high) << 32n) | BigInt(low)
}

/** A timestamp in ms in its two halves, as a Date where there is one of it. */
export function timeOfMs(halves: Int32Array, row: number): Date | bigint {
  const ms = (halves[row * 2 + 1] ?? 0) * 4_294_967_296 + ((halves[row * 2] ?? 0) >>> 0)
  return Math.abs(ms) <= DATE_MS_MAX ? new Date(ms) : BigInt(integerAt(halves, row))
}

function decimalReader(type: ColumnType, halves: BigInt64Array): ColumnReader {
  const scale = decimalParameters(type)?.scale ?? 0
  return (row) => {
    const unscaled =
      ((halves[row * 2 + 1] ?? 0n) << 64n) | BigInt.asUintN(64, halves[row * 2] ?? 0n)
    return decimalText(unscaled, scale)
  }
}

function decimalText(unscaled: bigint, scale: number): string {
  const sign = unscaled < 0n ? '-' : ''
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0')
  return scale === 0
    ? `${sign}${digits}`
    : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}

function variableReader(column: ColumnData): ColumnReader {
  const offsets = column.offsets ?? new Int32Array(1)
  const bytes = Buffer.from(
    column.values.buffer as ArrayBuffer,
    column.values.byteOffset,
    column.values.byteLength,
  )
  if (column.type === 'binary')
    return (row) => new Uint8Array(bytes.subarray(offsets[row] ?? 0, offsets[row + 1] ?? 0))
  if (column.type === 'json') {
    return (row) =>
      JSON.parse(bytes.toString('utf8', offsets[row] ?? 0, offsets[row + 1] ?? 0)) as unknown
  }
  return (row) => bytes.toString('utf8', offsets[row] ?? 0, offsets[row + 1] ?? 0)
}
