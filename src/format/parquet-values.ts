/**
 * The PLAIN encoding of Parquet, straight from columns and into them: no value becomes an object on the way.
 *
 * ```
 * bool             a bit each, least significant first
 * int8 … uint32    i32 each; date, float32 as they are
 * int64 … float64  8 bytes each, as they are
 * decimal          16 bytes each, most significant first
 * utf8, binary     length u32 | bytes
 * ```
 */
import { type ColumnData, bitmapBytes, int32View, isValidAt } from './column.ts'
import type { Fail } from './json-fields.ts'
import { type ColumnType, columnLayout, decimalParameters } from './schema.ts'

/** The wanted rows of a column without a dictionary; null wants all of them. */
export function encodePlain(column: ColumnData, rows: Int32Array | null): Uint8Array {
  const layout = columnLayout(column.type)
  const count = rows?.length ?? column.length
  if (layout.kind === 'bits') return encodeBits(column.values, rows, count)
  if (layout.kind === 'fixed') return encodeFixed(column, layout.byteWidth, rows, count)
  return encodeVariable(column, rows, count)
}

function encodeBits(values: Uint8Array, rows: Int32Array | null, count: number): Uint8Array {
  const bits = new Uint8Array(bitmapBytes(count))
  for (let index = 0; index < count; index++) {
    const row = rows === null ? index : (rows[index] ?? 0)
    const bit = ((values[row >> 3] ?? 0) >> (row & 7)) & 1
    bits[index >> 3] = (bits[index >> 3] ?? 0) | (bit << (index & 7))
  }
  return bits
}

function encodeFixed(
  { type, values }: ColumnData,
  byteWidth: number,
  rows: Int32Array | null,
  count: number,
): Uint8Array {
  if (byteWidth < 4) return encodeNarrow(narrowView(type, values), rows, count)
  const bytes = new Uint8Array(count * byteWidth)
  if (rows === null) bytes.set(values.subarray(0, bytes.length))
  else gatherWords(int32View(values), int32View(bytes), byteWidth >> 2, rows)
  if (decimalParameters(type) !== null) reverseEach(bytes, byteWidth)
  return bytes
}

function encodeNarrow(values: NarrowView, rows: Int32Array | null, count: number): Uint8Array {
  const wide = new Int32Array(count)
  for (let index = 0; index < count; index++)
    wide[index] = values[rows === null ? index : (rows[index] ?? 0)] ?? 0
  return new Uint8Array(wide.buffer)
}

function gatherWords(
  source: Int32Array,
  target: Int32Array,
  words: number,
  rows: Int32Array,
): void {
  let to = 0
  for (const row of rows) {
    for (let from = row * words; from < (row + 1) * words; from++, to++)
      target[to] = source[from] ?? 0
  }
}

function encodeVariable(column: ColumnData, rows: Int32Array | null, count: number): Uint8Array {
  const offsets = column.offsets ?? new Int32Array(column.length + 1)
  const lengthAt = (row: number): number => (offsets[row + 1] ?? 0) - (offsets[row] ?? 0)
  let byteCount = count * 4
  for (let index = 0; index < count; index++)
    byteCount += lengthAt(rows === null ? index : (rows[index] ?? 0))
  const bytes = new Uint8Array(byteCount)
  const view = new DataView(bytes.buffer)
  let position = 0
  for (let index = 0; index < count; index++) {
    const row = rows === null ? index : (rows[index] ?? 0)
    const length = lengthAt(row)
    view.setUint32(position, length, true)
    copyValue(column.values, offsets[row] ?? 0, bytes, position + 4, length)
    position += 4 + length
  }
  return bytes
}

/** What values decode to: `values` and `offsets` of a column. */
export type DecodedValues = Pick<ColumnData, 'values' | 'offsets'>

/**
 * Values of a column of `length` rows, of which `validity` says which have one; null: all of them. The others are 0 or
 * empty. @throws `fail` unless the bytes are exactly these values.
 */
export function decodePlain(
  bytes: Uint8Array,
  type: ColumnType,
  { length, nullCount, validity }: Pick<ColumnData, 'length' | 'nullCount' | 'validity'>,
  fail: Fail,
): DecodedValues {
  const layout = columnLayout(type)
  const count = length - nullCount
  if (layout.kind === 'variable') return decodeVariable(bytes, length, count, validity, fail)
  const storedWidth = layout.kind === 'fixed' ? Math.max(4, layout.byteWidth) : 0
  const expected = layout.kind === 'bits' ? bitmapBytes(count) : count * storedWidth
  if (bytes.length !== expected) fail(`its values have ${bytes.length} bytes, not ${expected}`)
  if (layout.kind === 'bits') return { values: decodeBits(bytes, length, validity), offsets: null }
  const byteWidth = layout.kind === 'fixed' ? layout.byteWidth : 0
  // Copied, so that they are aligned.
  const compact = new Uint8Array(bytes)
  if (decimalParameters(type) !== null) reverseEach(compact, byteWidth)
  const spread =
    validity === null ? compact : spreadWords(compact, storedWidth >> 2, length, validity)
  return { values: byteWidth < 4 ? narrowed(type, spread, length) : spread, offsets: null }
}

function decodeBits(bytes: Uint8Array, length: number, validity: Uint8Array | null): Uint8Array {
  if (validity === null) return new Uint8Array(bytes)
  const bits = new Uint8Array(bitmapBytes(length))
  let index = 0
  for (let row = 0; row < length; row++) {
    if (!isValidAt({ validity }, row)) continue
    const bit = ((bytes[index >> 3] ?? 0) >> (index & 7)) & 1
    bits[row >> 3] = (bits[row >> 3] ?? 0) | (bit << (row & 7))
    index++
  }
  return bits
}

function spreadWords(
  compact: Uint8Array,
  words: number,
  length: number,
  validity: Uint8Array,
): Uint8Array {
  const source = int32View(compact)
  const target = new Int32Array(length * words)
  let from = 0
  for (let row = 0; row < length; row++) {
    if (!isValidAt({ validity }, row)) continue
    for (let to = row * words; to < (row + 1) * words; to++, from++) target[to] = source[from] ?? 0
  }
  return new Uint8Array(target.buffer)
}

function decodeVariable(
  bytes: Uint8Array,
  length: number,
  count: number,
  validity: Uint8Array | null,
  fail: Fail,
): DecodedValues {
  const byteCount = bytes.length - count * 4
  if (byteCount < 0) fail('its values are cut short')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const values = new Uint8Array(byteCount)
  const offsets = new Int32Array(length + 1)
  let position = 0
  let end = 0
  for (let row = 0; row < length; row++) {
    if (validity === null || isValidAt({ validity }, row)) {
      if (position + 4 > bytes.length) fail('its values are cut short')
      const valueLength = view.getUint32(position, true)
      position += 4
      if (valueLength > byteCount - end) fail('a value is longer than all of them')
      copyValue(bytes, position, values, end, valueLength)
      position += valueLength
      end += valueLength
    }
    offsets[row + 1] = end
  }
  if (position !== bytes.length) fail('behind its values there are more bytes')
  return { values, offsets }
}

/** Short values byte by byte, which beats a call. */
function copyValue(
  source: Uint8Array,
  start: number,
  target: Uint8Array,
  position: number,
  length: number,
): void {
  if (length > 32) {
    target.set(source.subarray(start, start + length), position)
    return
  }
  for (let index = 0; index < length; index++) target[position + index] = source[start + index] ?? 0
}

function reverseEach(bytes: Uint8Array, width: number): void {
  for (let start = 0; start < bytes.length; start += width)
    bytes.subarray(start, start + width).reverse()
}

type NarrowView = Int8Array | Uint8Array | Int16Array | Uint16Array

function narrowView(type: ColumnType, { buffer, byteOffset, byteLength }: Uint8Array): NarrowView {
  if (type === 'int8') return new Int8Array(buffer, byteOffset, byteLength)
  if (type === 'uint8') return new Uint8Array(buffer, byteOffset, byteLength)
  return type === 'int16'
    ? new Int16Array(buffer, byteOffset, byteLength >> 1)
    : new Uint16Array(buffer, byteOffset, byteLength >> 1)
}

/** Of i32 each. What does not fit the type is cut to its low bits. */
function narrowed(type: ColumnType, wide: Uint8Array, length: number): Uint8Array {
  const isByte = type === 'int8' || type === 'uint8'
  const values = isByte ? new Uint8Array(length) : new Uint16Array(length)
  values.set(int32View(wide))
  return new Uint8Array(values.buffer)
}
