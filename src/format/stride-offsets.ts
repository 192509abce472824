/**
 * Offsets of values that all have one length: 0, L, 2L and so on, shared by every column of that length in the process.
 * A column that takes its offsets from here needs none of its own.
 *
 * The tables never change once they are handed out and are never dropped: they serve for as long as there are views of
 * them, and there are at most as many as there are lengths. A table doubles with the longest column of its length, so
 * all of them take no more than twice what the offsets of those columns would; they count for no budget. They lie in
 * shared memory, as the buffers of hot batches do, so that another thread can read them.
 */
import { Buffer } from 'node:buffer'
import { assert } from '../base/assert.ts'
import { BATCH_BYTES_TARGET, BATCH_ROWS_MAX } from './limits.ts'

/** Beside longer values, offsets are next to nothing. */
const STRIDE_MAX = 1_024
const ROWS_MIN = 63
/** Fewer offsets are looked at one by one. */
const COMPARED_ROWS_MIN = 128
/** Stands for the length of values that have several. */
export const MIXED = -1
/** No open batch takes more in one column, but for a huge append. */
const VALUE_BYTES_MAX = 2 * BATCH_BYTES_TARGET

const NONE = new Int32Array(0)

/** By stride; `NONE` where nobody asked yet. */
const tables: Int32Array[] = Array.from({ length: STRIDE_MAX + 1 }, () => NONE)

/** How many values of `stride` bytes may do without offsets; an open batch is full before. */
export function strideRowsMax(stride: number): number {
  if (stride < 0 || stride > STRIDE_MAX) return 0
  return Math.min(BATCH_ROWS_MAX, Math.floor(VALUE_BYTES_MAX / Math.max(stride, 1)))
}

/** Offsets `start`, `start + 1` … `end` of values of `stride` bytes; `end` is at most `strideRowsMax(stride)`. */
export function strideOffsets(stride: number, start: number, end: number): Int32Array {
  let table = tables[stride] ?? NONE
  if (end >= table.length) table = grow(stride, end)
  return table.subarray(start, end + 1)
}

function grow(stride: number, rows: number): Int32Array {
  const rowsMax = strideRowsMax(stride)
  assert(rows <= rowsMax, 'a long column has offsets of its own')
  const before = tables[stride] ?? NONE
  const length = Math.min(Math.max(ROWS_MIN + 1, rows + 1, before.length * 2), rowsMax + 1)
  const table = new Int32Array(new SharedArrayBuffer(length * 4))
  for (let row = 0, end = 0; row < length; row++, end += stride) table[row] = end
  tables[stride] = table
  return table
}

/**
 * Whether `offsets[0..count]` begin at 0 and are `stride` apart, by one comparison with the table. False says nothing:
 * they are few, or lie otherwise.
 */
export function areStrided(offsets: Int32Array, count: number, stride: number): boolean {
  if (count < COMPARED_ROWS_MIN || offsets[0] !== 0 || count > strideRowsMax(stride)) return false
  const table = strideOffsets(stride, 0, count)
  return (
    offsets[count] === table[count] &&
    Buffer.compare(bytesOf(offsets, count), bytesOf(table, count)) === 0
  )
}

function bytesOf(offsets: Int32Array, count: number): Uint8Array {
  return new Uint8Array(offsets.buffer, offsets.byteOffset, count * 4)
}

/** The length of each of `count` values; MIXED where they have several. */
export function strideOf(offsets: Int32Array, count: number): number {
  let end = offsets[0] ?? 0
  const stride = (offsets[1] ?? 0) - end
  if (areStrided(offsets, count, stride)) return stride
  for (let row = 1; row <= count; row++) {
    end += stride
    if (offsets[row] !== end) return MIXED
  }
  return stride
}

/** The same for ASCII texts of `length` characters in all. */
export function charStride(
  texts: readonly string[],
  from: number,
  to: number,
  length: number,
): number {
  const stride = (texts[from] ?? '').length
  if (stride * (to - from) !== length) return MIXED
  for (let row = from; row < to; row++) if ((texts[row] ?? '').length !== stride) return MIXED
  return stride
}
