/**
 * Verdicts over whole buffers that came from outside, in loops that do nothing else. They may say no of buffers that
 * are in order after all, never yes of others: who is told no looks row by row, and finds what is wrong, or nothing.
 */
import { isAscii, isUtf8 } from 'node:buffer'
import { areStrided } from './stride-offsets.ts'

/**
 * Whether `offsets[0..count]` are there, not negative, in order, less than `stepMax` apart, and the last no further
 * than `end`.
 *
 * @param stepMax a power of two, or Infinity.
 */
export function areOffsets(
  offsets: Int32Array,
  count: number,
  end: number,
  stepMax: number,
): boolean {
  if (offsets.length <= count) return false
  const step = (offsets[1] ?? 0) - (offsets[0] ?? 0)
  if (step < stepMax && step * count <= end && areStrided(offsets, count, step)) return true
  let before = offsets[0] ?? 0
  // Signs gather in `all`, and what is too big in `steps`: no step overflows where nothing is negative.
  let all = before
  let steps = 0
  for (let row = 1; row <= count; row++) {
    const offset = offsets[row] ?? 0
    all |= offset
    steps |= offset - before
    before = offset
  }
  return all >= 0 && steps >= 0 && steps < stepMax && before <= end
}

/** Whether every code lies below `wordCount`, those under nulls too. */
export function areCodes(
  codes: Uint8Array | Int32Array,
  count: number,
  wordCount: number,
): boolean {
  if (codes.length < count) return false
  let all = 0
  let greatest = -1
  for (let row = 0; row < count; row++) {
    const code = codes[row] ?? 0
    all |= code
    if (code > greatest) greatest = code
  }
  return all >= 0 && greatest < wordCount
}

/**
 * Whether each of the `count` values that `offsets` divide `values` into is UTF-8: all bytes together are, and no value
 * begins inside of a character. The offsets are in order.
 */
export function areTexts(offsets: Int32Array, count: number, values: Uint8Array): boolean {
  const start = offsets[0] ?? 0
  const end = offsets[count] ?? 0
  const text = start === 0 && end === values.length ? values : values.subarray(start, end)
  if (isAscii(text)) return true
  if (!isUtf8(text)) return false
  for (let row = 0; row < count; row++) {
    const offset = offsets[row] ?? 0
    if (offset < end && ((values[offset] ?? 0) & 0xc0) === 0x80) return false
  }
  return true
}
