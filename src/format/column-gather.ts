/**
 * Appending some rows of a column to a builder: what eviction leaves of a batch, which may be every other row.
 *
 * Many short stretches are gathered first and appended together: to append a column costs a microsecond however short
 * it is.
 */
import {
  type ColumnData,
  bitmapBytes,
  codesOf,
  countBits,
  int32View,
  sliceColumn,
} from './column.ts'
import type { ColumnBuilder } from './growing-column.ts'
import { columnLayout } from './schema.ts'

/** Stretches of so many rows on average are appended one by one. */
const LONG_ROWS = 64
/** Gathered at once, so that what is only in between stays small. */
const GATHERED_ROWS = 4_096
/** Fewer bytes are copied one by one, which beats a call. */
const SHORT_BYTES = 32

/** Rows `[ranges[0], ranges[1])`, `[ranges[2], ranges[3])` and so on. */
export function appendRanges(builder: ColumnBuilder, column: ColumnData, ranges: Int32Array): void {
  const isLong = rowsOf(ranges) >= (ranges.length / 2) * LONG_ROWS
  if (isLong || column.children !== undefined) {
    for (let index = 0; index < ranges.length; index += 2)
      builder.append(sliceColumn(column, ranges[index] ?? 0, ranges[index + 1] ?? 0))
    return
  }
  for (let first = 0; first < ranges.length;) {
    let last = first
    for (let rows = 0; last < ranges.length && rows < GATHERED_ROWS; last += 2)
      rows += (ranges[last + 1] ?? 0) - (ranges[last] ?? 0)
    builder.append(gatherColumn(column, ranges.subarray(first, last)))
    first = last
  }
}

function gatherColumn(column: ColumnData, ranges: Int32Array): ColumnData {
  const { type, dictionary } = column
  const length = rowsOf(ranges)
  const validity = column.validity === null ? null : gatherBits(column.validity, ranges, length)
  const nullCount = validity === null ? 0 : length - countBits(validity, length)
  const shape = { type, length, nullCount, validity, dictionary }
  if (dictionary !== null) {
    const { BYTES_PER_ELEMENT: width } = codesOf(column)
    return { ...shape, offsets: null, values: gatherFixed(column.values, width, ranges, length) }
  }
  if (column.offsets !== null)
    return { ...shape, ...gatherVariable(column.values, column.offsets, ranges, length) }
  const layout = columnLayout(type)
  const values =
    layout.kind === 'fixed'
      ? gatherFixed(column.values, layout.byteWidth, ranges, length)
      : gatherBits(column.values, ranges, length)
  return { ...shape, offsets: null, values }
}

function rowsOf(ranges: Int32Array): number {
  let rows = 0
  for (let index = 0; index < ranges.length; index += 2)
    rows += (ranges[index + 1] ?? 0) - (ranges[index] ?? 0)
  return rows
}

/** By words of 4 bytes where the width is made of them. */
function gatherFixed(
  values: Uint8Array,
  byteWidth: number,
  ranges: Int32Array,
  length: number,
): Uint8Array {
  const gathered = new Uint8Array(length * byteWidth)
  if (byteWidth % 4 === 0)
    gatherElements(int32View(values), int32View(gathered), byteWidth / 4, ranges)
  else gatherElements(values, gathered, byteWidth, ranges)
  return gathered
}

function gatherElements<T extends Int32Array | Uint8Array>(
  from: T,
  to: T,
  perRow: number,
  ranges: Int32Array,
): void {
  let position = 0
  for (let index = 0; index < ranges.length; index += 2) {
    const end = (ranges[index + 1] ?? 0) * perRow
    for (let source = (ranges[index] ?? 0) * perRow; source < end; source++)
      to[position++] = from[source] ?? 0
  }
}

function gatherBits(bits: Uint8Array, ranges: Int32Array, length: number): Uint8Array {
  const gathered = new Uint8Array(bitmapBytes(length))
  let row = 0
  for (let index = 0; index < ranges.length; index += 2) {
    const end = ranges[index + 1] ?? 0
    for (let source = ranges[index] ?? 0; source < end; source++, row++) {
      const bit = ((bits[source >> 3] ?? 0) >> (source & 7)) & 1
      gathered[row >> 3] = (gathered[row >> 3] ?? 0) | (bit << (row & 7))
    }
  }
  return gathered
}

function gatherVariable(
  values: Uint8Array,
  offsets: Int32Array,
  ranges: Int32Array,
  length: number,
): Pick<ColumnData, 'offsets' | 'values'> {
  const gathered = new Int32Array(length + 1)
  let row = 0
  for (let index = 0; index < ranges.length; index += 2) {
    const first = ranges[index] ?? 0
    const shift = (gathered[row] ?? 0) - (offsets[first] ?? 0)
    const end = ranges[index + 1] ?? 0
    for (let source = first; source < end; source++)
      gathered[++row] = (offsets[source + 1] ?? 0) + shift
  }
  const bytes = new Uint8Array(gathered[length] ?? 0)
  let position = 0
  for (let index = 0; index < ranges.length; index += 2) {
    const start = offsets[ranges[index] ?? 0] ?? 0
    const end = offsets[ranges[index + 1] ?? 0] ?? 0
    if (end - start > SHORT_BYTES) {
      bytes.set(values.subarray(start, end), position)
      position += end - start
    } else for (let source = start; source < end; source++) bytes[position++] = values[source] ?? 0
  }
  return { offsets: gathered, values: bytes }
}
