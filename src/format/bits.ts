/** Ranges of bits in bitmaps that begin with the least significant bit; see column.ts. */
import { bitmapBytes } from './column.ts'

/** Sets bits `[start, start + count)`. */
export function setBits(bits: Uint8Array, start: number, count: number): void {
  const end = start + count
  const first = start >> 3
  const last = end >> 3
  if (first === last) {
    bits[first] = (bits[first] ?? 0) | (((1 << count) - 1) << (start & 7))
    return
  }
  bits[first] = (bits[first] ?? 0) | (0xff << (start & 7))
  for (let index = first + 1; index < last; index++) bits[index] = 0xff
  if ((end & 7) > 0) bits[last] = (bits[last] ?? 0) | ((1 << (end & 7)) - 1)
}

/** Clears the bits from `start` on, in the bytes up to that of the last of `count`. */
export function clearBitsFrom(bits: Uint8Array, start: number, count: number): void {
  if (count === 0) return
  const first = start >> 3
  const end = bitmapBytes(start + count)
  bits[first] = (bits[first] ?? 0) & ((1 << (start & 7)) - 1)
  for (let index = first + 1; index < end; index++) bits[index] = 0
}

export function clearBit(bits: Uint8Array, index: number): void {
  bits[index >> 3] = (bits[index >> 3] ?? 0) & ~(1 << (index & 7))
}

/**
 * Copies the first `count` bits of `source` to `start`. The bits behind them, in the same byte, are unspecified after.
 */
export function copyBits(bits: Uint8Array, start: number, source: Uint8Array, count: number): void {
  const byteCount = bitmapBytes(count)
  const shift = start & 7
  const first = start >> 3
  if (shift === 0) {
    for (let index = 0; index < byteCount; index++) bits[first + index] = source[index] ?? 0
    return
  }
  let carry = (bits[first] ?? 0) & ((1 << shift) - 1)
  for (let index = 0; index < byteCount; index++) {
    const byte = source[index] ?? 0
    bits[first + index] = carry | (byte << shift)
    carry = byte >> (8 - shift)
  }
  if (first + byteCount < bitmapBytes(start + count)) bits[first + byteCount] = carry
}
