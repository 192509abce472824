import { type ColumnType, columnLayout } from './schema.ts'

/**
 * One column of a record batch in Arrow's physical layout. Readonly by contract: whoever holds a
 * ColumnData never writes through it. Buffers may lie over an ArrayBuffer or a SharedArrayBuffer.
 *
 * - `validity`: bitmap, least significant bit first, bit set = value present; null when nothing is null.
 * - `offsets`: `length + 1` int32 positions into `values`, non-decreasing; null unless the type is variable.
 *   The first may be above 0.
 * - `values`: fixed types, `length × byteWidth` bytes; bool, a bitmap; variable types, the bytes that `offsets` divide.
 *   What lies under a null is unspecified.
 * - `dictionary`: when not null, `values` are `length` codes into it, of one byte each in a hot batch and int32
 *   elsewhere (see `codesOf`), and `offsets` is null. A dictionary has no nulls and no dictionary of its own. Only utf8
 *   columns have one, and none that lies inside of another.
 * - `children`: of a list, the one column of all items: `offsets` are rows of it, and `values` is empty. Of a
 *   struct, a column per field, of `length` rows each; `offsets` is null and `values` empty. Other types have none.
 *   The items under a null list and the fields under a null struct are unspecified.
 *
 * Every buffer starts at a position of its ArrayBuffer that its element width divides.
 */
export interface ColumnData {
  readonly type: ColumnType
  readonly length: number
  readonly nullCount: number
  readonly validity: Uint8Array | null
  readonly offsets: Int32Array | null
  readonly values: Uint8Array
  readonly dictionary: ColumnData | null
  readonly children?: readonly ColumnData[]
}

export function isValidAt(column: Pick<ColumnData, 'validity'>, row: number): boolean {
  return column.validity === null || (((column.validity[row >> 3] ?? 0) >> (row & 7)) & 1) === 1
}

/** Bytes that a bitmap of `length` bits takes. */
export function bitmapBytes(length: number): number {
  return (length + 7) >> 3
}

export function int32View(bytes: Uint8Array): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2)
}

/** The codes of a column with a dictionary: `values` of exactly `length` bytes are codes of one byte. */
export function codesOf(column: Pick<ColumnData, 'length' | 'values'>): Uint8Array | Int32Array {
  return column.values.byteLength === column.length ? column.values : int32View(column.values)
}

export function bigInt64View(bytes: Uint8Array): BigInt64Array {
  return new BigInt64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 3)
}

export function float64View(bytes: Uint8Array): Float64Array {
  return new Float64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 3)
}

/** Bytes that the column's values, offsets and validity take; a dictionary and the items of a list count in full. */
export function columnBytes(column: ColumnData): number {
  const own =
    column.values.byteLength +
    (column.offsets?.byteLength ?? 0) +
    (column.validity?.byteLength ?? 0)
  const inside = column.children?.reduce((sum, child) => sum + columnBytes(child), 0) ?? 0
  return own + inside + (column.dictionary === null ? 0 : columnBytes(column.dictionary))
}

/**
 * Rows `[start, end)` of a column. Shares buffers where alignment allows; bitmaps are copied when
 * `start` is not a multiple of 8.
 */
export function sliceColumn(column: ColumnData, start: number, end: number): ColumnData {
  if (start === 0 && end === column.length) return column
  const length = end - start
  const validity = column.validity === null ? null : sliceBitmap(column.validity, start, length)
  const nullCount = validity === null ? 0 : length - countBits(validity, length)
  const slice: ColumnData = {
    type: column.type,
    length,
    nullCount,
    validity: nullCount === 0 ? null : validity,
    offsets: column.offsets === null ? null : column.offsets.subarray(start, end + 1),
    values: sliceValues(column, start, end),
    dictionary: column.dictionary,
  }
  if (column.children === undefined) return slice
  // The offsets of a list go on counting from the first row of all its items.
  const isList = column.offsets !== null
  const children = isList
    ? column.children
    : column.children.map((child) => sliceColumn(child, start, end))
  return { ...slice, children }
}

function sliceValues(column: ColumnData, start: number, end: number): Uint8Array {
  if (column.dictionary !== null) {
    const { BYTES_PER_ELEMENT: width } = codesOf(column)
    return column.values.subarray(start * width, end * width)
  }
  const layout = columnLayout(column.type)
  if (layout.kind === 'bits') return sliceBitmap(column.values, start, end - start)
  if (layout.kind === 'fixed')
    return column.values.subarray(start * layout.byteWidth, end * layout.byteWidth)
  return column.values
}

/**
 * Bits `[start, start + length)` as a bitmap that begins at bit 0; bits after the last are 0 when
 * copied.
 */
export function sliceBitmap(bitmap: Uint8Array, start: number, length: number): Uint8Array {
  const byteCount = bitmapBytes(length)
  const first = start >> 3
  const shift = start & 7
  if (shift === 0) return bitmap.subarray(first, first + byteCount)
  const bits = new Uint8Array(byteCount)
  for (let index = 0; index < byteCount; index++) {
    const low = (bitmap[first + index] ?? 0) >> shift
    const high = (bitmap[first + index + 1] ?? 0) << (8 - shift)
    bits[index] = (low | high) & 0xff
  }
  const spare = byteCount * 8 - length
  if (spare > 0) bits[byteCount - 1] = (bits[byteCount - 1] ?? 0) & (0xff >> spare)
  return bits
}

/** How many of the first `length` bits are set. */
export function countBits(bitmap: Uint8Array, length: number): number {
  let count = 0
  const whole = length >> 3
  for (let index = 0; index < whole; index++) count += POPULATION[bitmap[index] ?? 0] ?? 0
  const rest = length & 7
  if (rest > 0) count += POPULATION[(bitmap[whole] ?? 0) & ((1 << rest) - 1)] ?? 0
  return count
}

const POPULATION = Uint8Array.from({ length: 256 }, (_, byte) => {
  let count = 0
  for (let bits = byte; bits > 0; bits >>= 1) count += bits & 1
  return count
})
