/**
 * Columns as JavaScript values; see the table in schema.ts. Where a Date cannot hold a timestamp or
 * a date (beyond ±8.64e15 ms), its bigint count stands in.
 */
import { isAscii } from 'node:buffer'
import {
  type ColumnData,
  bigInt64View,
  codesOf,
  float64View,
  int32View,
  isValidAt,
} from './column.ts'
import type { RecordBatch } from './record-batch.ts'
import type { Row } from './schema-inference.ts'
import { type ColumnType, decimalParameters, timestampUnit } from './schema.ts'

export { concatColumns, flattenColumn } from './column-concat.ts'
export { castColumn, conformBatch, nullColumn } from './column-conform.ts'

/** The value of one row; null where the row has none. `row` is inside the column. */
export type ColumnReader = (row: number) => unknown

/** One value. For many rows of a column make a `columnReader`. */
export function readValue(column: ColumnData, row: number): unknown {
  if (!isValidAt(column, row)) return null
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
  if (column.offsets === null) return fixedReader(column)
  return column.type === 'utf8' ? textReader(column) : variableReader(column)
}

const textsOfDictionary = new WeakMap<ColumnData, readonly string[]>()

/** A dictionary's strings, decoded once for all columns that share it. */
function dictionaryTexts(dictionary: ColumnData): readonly string[] {
  const known = textsOfDictionary.get(dictionary)
  if (known !== undefined) return known
  const read = variableReader(dictionary)
  const texts = Array.from({ length: dictionary.length }, (_, code) => read(code) as string)
  textsOfDictionary.set(dictionary, texts)
  return texts
}

function fixedReader(column: ColumnData): ColumnReader {
  const { values, type } = column
  const { buffer, byteOffset, byteLength } = values
  switch (type) {
    case 'bool':
      return (row) => (((values[row >> 3] ?? 0) >> (row & 7)) & 1) === 1
    case 'int8':
      return elementReader(new Int8Array(buffer, byteOffset, byteLength))
    case 'uint8':
      return elementReader(values)
    case 'int16':
      return elementReader(new Int16Array(buffer, byteOffset, byteLength >> 1))
    case 'uint16':
      return elementReader(new Uint16Array(buffer, byteOffset, byteLength >> 1))
    case 'int32':
      return elementReader(int32View(values))
    case 'uint32':
      return elementReader(new Uint32Array(buffer, byteOffset, byteLength >> 2))
    case 'float32':
      return elementReader(new Float32Array(buffer, byteOffset, byteLength >> 2))
    case 'float64':
      return elementReader(float64View(values))
    default:
      return wideReader(column)
  }
}

function elementReader(elements: { readonly [index: number]: number }): ColumnReader {
  return (row) => elements[row]
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
  const integers = integerReader(values, type === 'uint64')
  if (unit === null) return decimalParameters(type) === null ? integers : decimalReader(type, wide)
  const msPerUnit = unit === 's' ? 1000 : 1
  return (row) => dateOrCount(Number(integers(row)) * msPerUnit, wide[row] ?? 0n)
}

const DAY_MS = 86_400_000
const DATE_MS_MAX = 8.64e15

function dateOrCount(ms: number, count: bigint): Date | bigint {
  return Math.abs(ms) <= DATE_MS_MAX ? new Date(ms) : count
}

/** 64-bit integers as numbers where those are exact, else as bigints. */
function integerReader(values: Uint8Array, isUnsigned: boolean): (row: number) => number | bigint {
  const halves = int32View(values)
  return (row) => {
    const low = (halves[row * 2] ?? 0) >>> 0
    const high = halves[row * 2 + 1] ?? 0
    const number = (isUnsigned ? high >>> 0 : high) * 2 ** 32 + low
    if (Number.isSafeInteger(number)) return number
    const wide = (BigInt(high) << 32n) | BigInt(low)
    return isUnsigned ? BigInt.asUintN(64, wide) : wide
  }
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

/**
 * Strings up to this length are cut from one string of the whole column: V8 copies those, so they
 * do not keep the whole alive; longer ones would.
 */
const COPIED_SLICE_MAX = 12

function textReader(column: ColumnData): ColumnReader {
  const offsets = column.offsets ?? new Int32Array(1)
  const start = offsets[0] ?? 0
  const end = offsets[column.length] ?? 0
  const bytes = Buffer.from(
    column.values.buffer as ArrayBuffer,
    column.values.byteOffset,
    column.values.byteLength,
  )
  if (!isAscii(bytes.subarray(start, end))) return variableReader(column)
  const whole = bytes.toString('latin1', start, end)
  return (row) => {
    const from = offsets[row] ?? 0
    const to = offsets[row + 1] ?? 0
    return to - from <= COPIED_SLICE_MAX
      ? whole.slice(from - start, to - start)
      : bytes.toString('latin1', from, to)
  }
}
