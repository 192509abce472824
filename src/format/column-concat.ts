/**
 * Gathering columns: several into one, dictionary codes into plain bytes. What comes out shares no
 * bitmap with what went in.
 */
import { assert, present } from '../base/assert.ts'
import {
  type ColumnData,
  bitmapBytes,
  codesOf,
  countBits,
  isValidAt,
  sliceColumn,
} from './column.ts'
import { columnLayout } from './schema.ts'

/**
 * The rows of all `columns`, in order, as one. They have one type. A dictionary is kept when all
 * share one, else decoded. Bits after the last row are 0, so equal columns give equal bytes.
 */
export function concatColumns(columns: readonly ColumnData[]): ColumnData {
  const first = columns[0]
  assert(first !== undefined, 'there is a column to begin with')
  const dictionary = first.dictionary
  if (columns.some((column) => column.dictionary !== dictionary))
    return concatColumns(columns.map(flattenColumn))
  const { length, nullCount, validity } = concatValidity(columns)
  const shape = { type: first.type, length, nullCount, validity, dictionary }
  const layout = columnLayout(first.type)
  if (dictionary !== null) return { ...shape, offsets: null, values: concatCodes(columns, length) }
  if (layout.kind === 'bits')
    return { ...shape, offsets: null, values: concatBits(columns, length) }
  if (layout.kind === 'fixed')
    return { ...shape, offsets: null, values: concatBytes(columns, length, layout.byteWidth) }
  if (layout.kind === 'variable') return { ...shape, ...concatVariable(columns, length) }
  if (layout.kind === 'list') return { ...shape, ...concatLists(columns, length) }
  const children = layout.fields.map((_, index) =>
    concatColumns(columns.map((column) => childOf(column, index))),
  )
  return { ...shape, offsets: null, values: NO_VALUES, children }
}

const NO_VALUES = new Uint8Array(0)

function childOf(column: ColumnData, index: number): ColumnData {
  return present(column.children?.[index], 'a column inside of a column')
}

/** The items that the rows of a list have, and no others. */
export function listItems(column: ColumnData): ColumnData {
  const { start, end } = valueRange(column)
  return sliceColumn(childOf(column, 0), start, end)
}

function concatLists(
  columns: readonly ColumnData[],
  length: number,
): Pick<ColumnData, 'offsets' | 'values' | 'children'> {
  const items = concatColumns(columns.map(listItems))
  return { offsets: concatOffsets(columns, length), values: NO_VALUES, children: [items] }
}

/** The same rows without a dictionary. */
export function flattenColumn(column: ColumnData): ColumnData {
  const dictionary = column.dictionary
  if (dictionary === null) return column
  const codes = codesOf(column)
  const starts = dictionary.offsets ?? new Int32Array(1)
  const offsets = new Int32Array(column.length + 1)
  let end = 0
  for (let row = 0; row < column.length; row++) {
    const code = codes[row] ?? 0
    if (isValidAt(column, row)) end += (starts[code + 1] ?? 0) - (starts[code] ?? 0)
    assert(end < 2 ** 31, 'a column holds less than 2 GiB')
    offsets[row + 1] = end
  }
  const values = new Uint8Array(end)
  for (let row = 0; row < column.length; row++) {
    const position = offsets[row] ?? 0
    if ((offsets[row + 1] ?? 0) === position) continue
    copyBytes(
      dictionary.values,
      starts[codes[row] ?? 0] ?? 0,
      values,
      position,
      offsets[row + 1] ?? 0,
    )
  }
  return { ...column, offsets, values, dictionary: null }
}

/** Copies into `[position, end)`; short values byte by byte, which beats a call. */
function copyBytes(
  source: Uint8Array,
  start: number,
  target: Uint8Array,
  position: number,
  end: number,
): void {
  if (end - position > 32) {
    target.set(source.subarray(start, start + end - position), position)
    return
  }
  for (let from = start, to = position; to < end; from++, to++) target[to] = source[from] ?? 0
}

/** One byte each where all are so, else int32. */
function concatCodes(columns: readonly ColumnData[], length: number): Uint8Array {
  if (columns.every((column) => codesOf(column).BYTES_PER_ELEMENT === 1))
    return concatBytes(columns, length, 1)
  const codes = new Int32Array(length)
  let row = 0
  for (const column of columns) {
    codes.set(codesOf(column).subarray(0, column.length), row)
    row += column.length
  }
  return new Uint8Array(codes.buffer)
}

function concatBytes(
  columns: readonly ColumnData[],
  length: number,
  byteWidth: number,
): Uint8Array {
  const values = new Uint8Array(length * byteWidth)
  let position = 0
  for (const column of columns) {
    const byteCount = column.length * byteWidth
    values.set(column.values.subarray(0, byteCount), position)
    position += byteCount
  }
  return values
}

function concatVariable(
  columns: readonly ColumnData[],
  length: number,
): { offsets: Int32Array; values: Uint8Array } {
  const ranges = columns.map((column) => valueRange(column))
  const byteCount = ranges.reduce((sum, range) => sum + range.end - range.start, 0)
  assert(byteCount < 2 ** 31, 'a column holds less than 2 GiB')
  const values = new Uint8Array(byteCount)
  let position = 0
  columns.forEach((column, index) => {
    const { start, end } = ranges[index] ?? { start: 0, end: 0 }
    values.set(column.values.subarray(start, end), position)
    position += end - start
  })
  return { offsets: concatOffsets(columns, length), values }
}

/** From 0. */
function concatOffsets(columns: readonly ColumnData[], length: number): Int32Array {
  const offsets = new Int32Array(length + 1)
  let row = 0
  for (const column of columns) {
    const own = column.offsets ?? new Int32Array(1)
    const shift = (offsets[row] ?? 0) - (own[0] ?? 0)
    for (let next = 1; next <= column.length; next++) offsets[row + next] = (own[next] ?? 0) + shift
    row += column.length
  }
  return offsets
}

/** Which bytes of `values` a variable column uses, or which rows of its items a list does. */
export function valueRange(column: ColumnData): { readonly start: number; readonly end: number } {
  return { start: column.offsets?.[0] ?? 0, end: column.offsets?.[column.length] ?? 0 }
}

function concatBits(columns: readonly ColumnData[], length: number): Uint8Array {
  const bits = new Uint8Array(bitmapBytes(length))
  let row = 0
  for (const column of columns) {
    appendBits(bits, row, column.values, column.length)
    row += column.length
  }
  return bits
}

/** Which rows of a column have a value. */
export type Validity = Pick<ColumnData, 'length' | 'nullCount' | 'validity'>

/** Only the validity of all `columns`, in order. */
export function concatValidity(columns: readonly Validity[]): Validity {
  const length = columns.reduce((sum, column) => sum + column.length, 0)
  const nullCount = columns.reduce((sum, column) => sum + column.nullCount, 0)
  if (nullCount === 0) return { length, nullCount, validity: null }
  const bits = new Uint8Array(bitmapBytes(length))
  let row = 0
  for (const column of columns) {
    if (column.validity === null) setBits(bits, row, column.length)
    else appendBits(bits, row, column.validity, column.length)
    row += column.length
  }
  return { length, nullCount, validity: bits }
}

/** Ors the first `count` bits of `source` into `target` from bit `at` on; the bits there are 0. */
function appendBits(target: Uint8Array, at: number, source: Uint8Array, count: number): void {
  const shift = at & 7
  const byteCount = bitmapBytes(count)
  const spare = byteCount * 8 - count
  let position = at >> 3
  for (let index = 0; index < byteCount; index++, position++) {
    const byte = (source[index] ?? 0) & (index === byteCount - 1 ? 0xff >> spare : 0xff)
    target[position] = (target[position] ?? 0) | (byte << shift)
    if (shift > 0 && position + 1 < target.length) target[position + 1] = byte >> (8 - shift)
  }
}

function setBits(target: Uint8Array, at: number, count: number): void {
  const end = at + count
  let bit = at
  for (; bit < end && (bit & 7) !== 0; bit++)
    target[bit >> 3] = (target[bit >> 3] ?? 0) | (1 << (bit & 7))
  const wholeEnd = end - (end & 7)
  if (wholeEnd > bit) {
    target.fill(0xff, bit >> 3, wholeEnd >> 3)
    bit = wholeEnd
  }
  for (; bit < end; bit++) target[bit >> 3] = (target[bit >> 3] ?? 0) | (1 << (bit & 7))
}

/** A copy of a bitmap's first `length` bits with the spare ones 0; null when all are set. */
export function tidyBitmap(bitmap: Uint8Array | null, length: number): Uint8Array | null {
  if (bitmap === null || countBits(bitmap, length) === length) return null
  const bits = new Uint8Array(bitmapBytes(length))
  appendBits(bits, 0, bitmap, length)
  return bits
}
