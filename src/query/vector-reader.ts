/** Reads DuckDB's result vectors into our columns: by bytes where the type has a layout of ours, else by values. */
import {
  type DuckDBDataChunk,
  type DuckDBType,
  type DuckDBValueConverter,
  type Json,
  JsonDuckDBValueConverter,
} from '@duckdb/node-api'
import duckdb from '@duckdb/node-bindings'
import { assert } from '../base/assert.ts'
import { type ColumnData, bitmapBytes, countBits } from '../format/column.ts'
import { type ColumnType, columnLayout, decimalParameters } from '../format/schema.ts'
import { hasOwnLayout, toColumnType, vectorByteWidth } from './duckdb-types.ts'
import { INLINE_BYTES_MAX } from './text-arena.ts'

/** One column of a chunk; its buffers are its own. */
export function readVector(chunk: DuckDBDataChunk, index: number, type: DuckDBType): ColumnData {
  const length = chunk.rowCount
  const columnType = toColumnType(type)
  if (!hasOwnLayout(type)) return textColumn(columnType, valueTexts(chunk, index, columnType))
  const vector = duckdb.data_chunk_get_vector(chunk.chunk, index)
  const validity = readValidity(vector, length)
  const layout = columnLayout(columnType)
  const stored = duckdb.vector_get_data(vector, length * vectorByteWidth(columnType))
  const column = { type: columnType, length, ...validity, dictionary: null }
  if (layout.kind === 'bits') return { ...column, offsets: null, values: toBitmap(stored) }
  if (layout.kind === 'fixed')
    return { ...column, offsets: null, values: toFixed(stored, columnType, length) }
  return { ...column, ...readStrings(stored, length, validity.validity) }
}

function readValidity(
  vector: duckdb.Vector,
  length: number,
): { validity: Uint8Array | null; nullCount: number } {
  // DuckDB keeps validity in words of 8 bytes; there is none when nothing is null.
  const bytes: Uint8Array | null = duckdb.vector_get_validity(vector, Math.ceil(length / 64) * 8)
  if (bytes === null || bytes.length === 0) return { validity: null, nullCount: 0 }
  const nullCount = length - countBits(bytes, length)
  return nullCount === 0
    ? { validity: null, nullCount }
    : { validity: new Uint8Array(bytes.subarray(0, bitmapBytes(length))), nullCount }
}

function toBitmap(bytes: Uint8Array): Uint8Array {
  const bits = new Uint8Array(bitmapBytes(bytes.length))
  for (let row = 0; row < bytes.length; row++) {
    if (bytes[row] !== 0) bits[row >> 3] = (bits[row >> 3] ?? 0) | (1 << (row & 7))
  }
  return bits
}

/** Decimals grow to 16 bytes, sign extended; the rest is copied to a buffer of its own, which alignment needs. */
function toFixed(stored: Uint8Array, type: ColumnType, length: number): Uint8Array {
  const width = vectorByteWidth(type)
  if (decimalParameters(type) === null || width === 16) return new Uint8Array(stored)
  const values = new Uint8Array(length * 16)
  for (let row = 0; row < length; row++) {
    const isNegative = ((stored[(row + 1) * width - 1] ?? 0) & 0x80) !== 0
    values.set(stored.subarray(row * width, (row + 1) * width), row * 16)
    if (isNegative) values.fill(0xff, row * 16 + width, (row + 1) * 16)
  }
  return values
}

/** Pointers this near each other are read in one go: DuckDB lays strings of a vector out one after the other. */
const RUN_GAP_MAX = 16
const RUN_BYTES_MAX = 1 << 20

/** Text and binary: 16 bytes each, the value inside or behind a pointer. */
function readStrings(
  stored: Uint8Array,
  length: number,
  validity: Uint8Array | null,
): { offsets: Int32Array; values: Uint8Array } {
  const words = new DataView(stored.buffer, stored.byteOffset, stored.byteLength)
  const offsets = new Int32Array(length + 1)
  for (let row = 0; row < length; row++) {
    const isNull = validity !== null && (((validity[row >> 3] ?? 0) >> (row & 7)) & 1) === 0
    const bytes = isNull ? 0 : words.getUint32(row * 16, true)
    offsets[row + 1] = (offsets[row] ?? 0) + bytes
  }
  const values = new Uint8Array(offsets[length] ?? 0)
  for (let row = 0; row < length; row++) {
    const start = offsets[row] ?? 0
    const bytes = (offsets[row + 1] ?? 0) - start
    if (bytes === 0) continue
    if (bytes > INLINE_BYTES_MAX) row = readRun(words, offsets, row, values)
    else values.set(stored.subarray(row * 16 + 4, row * 16 + 4 + bytes), start)
  }
  return { offsets, values }
}

/** Reads the long strings from row `first` on that lie close together; returns the last row that it read. */
function readRun(words: DataView, offsets: Int32Array, first: number, values: Uint8Array): number {
  const lengthOf = (row: number): number => (offsets[row + 1] ?? 0) - (offsets[row] ?? 0)
  const base = addressAt(words, first)
  let end = base + lengthOf(first)
  let last = first
  for (let row = first + 1; row < offsets.length - 1 && lengthOf(row) > INLINE_BYTES_MAX; row++) {
    const address = addressAt(words, row)
    // Both ends of a gap are DuckDB's, and a gap is smaller than a page, so reading across it touches no foreign page.
    if (address < end || address - end > RUN_GAP_MAX || address - base > RUN_BYTES_MAX) break
    end = address + lengthOf(row)
    last = row
  }
  const run = duckdb.get_data_from_pointer(
    words.buffer as ArrayBuffer,
    words.byteOffset + first * 16 + 8,
    end - base,
  )
  for (let row = first; row <= last; row++) {
    const start = addressAt(words, row) - base
    values.set(run.subarray(start, start + lengthOf(row)), offsets[row])
  }
  return last
}

function addressAt(words: DataView, row: number): number {
  return words.getUint32(row * 16 + 8, true) + words.getUint32(row * 16 + 12, true) * 2 ** 32
}

/** DuckDB's JSON for values inside lists and structs, but 64-bit integers are numbers where those are exact. */
const nestedValue: DuckDBValueConverter<Json> = (value, type, converter) => {
  const isExact = typeof value === 'bigint' && Number.isSafeInteger(Number(value))
  return isExact ? Number(value) : JsonDuckDBValueConverter(value, type, converter)
}

function valueTexts(
  chunk: DuckDBDataChunk,
  index: number,
  type: ColumnType,
): readonly (string | null)[] {
  if (type === 'json') {
    return chunk
      .convertColumnValues(index, nestedValue)
      .map((value) => (value === null ? null : JSON.stringify(value)))
  }
  return chunk.getColumnValues(index).map((value) => (value === null ? null : String(value)))
}

function textColumn(type: ColumnType, texts: readonly (string | null)[]): ColumnData {
  const offsets = new Int32Array(texts.length + 1)
  const parts = texts.map((text) => Buffer.from(text ?? ''))
  for (const [row, part] of parts.entries()) offsets[row + 1] = (offsets[row] ?? 0) + part.length
  const nullCount = texts.filter((text) => text === null).length
  const validity = nullCount === 0 ? null : new Uint8Array(bitmapBytes(texts.length))
  if (validity !== null) {
    for (const [row, text] of texts.entries()) {
      if (text !== null) validity[row >> 3] = (validity[row >> 3] ?? 0) | (1 << (row & 7))
    }
  }
  const values = new Uint8Array(offsets[texts.length] ?? 0)
  let position = 0
  for (const part of parts) {
    values.set(part, position)
    position += part.length
  }
  assert(type === 'json' || type === 'utf8', 'only text is read value by value')
  return { type, length: texts.length, nullCount, validity, offsets, values, dictionary: null }
}
