/**
 * Parquet's hybrid of runs and packed bits, for levels and dictionary codes, strictly: no run is longer than what is
 * asked for, and nothing is read beyond the given bytes.
 *
 * ```
 * run     varint count << 1     | value, in as few bytes as the width takes
 * packed  varint groups << 1 | 1 | groups × width bytes: 8 values each, least significant bit first
 * ```
 */
import type { Fail } from './json-fields.ts'

/** Fills `target` with the values. @throws `fail` unless the bytes are so many, of at most `max`. */
export function decodeRuns(
  bytes: Uint8Array,
  width: number,
  target: Uint8Array | Int32Array,
  max: number,
  fail: Fail,
): void {
  const valueBytes = (width + 7) >> 3
  let position = 0
  let filled = 0
  while (filled < target.length) {
    let header = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[position++]
      if (byte === undefined || shift > 28) return fail('its levels or codes are cut short')
      header += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) break
    }
    const left = target.length - filled
    if (header % 2 === 0) {
      const count = header / 2
      if (count === 0 || count > left) fail(`a run has ${count} values where ${left} are left`)
      let value = 0
      for (let index = 0; index < valueBytes; index++)
        value |= (bytes[position + index] ?? 0) << (index * 8)
      position += valueBytes
      if (position > bytes.length) fail('its levels or codes are cut short')
      if (value < 0 || value > max) fail(`a level or code is ${value}, above ${max}`)
      target.fill(value, filled, filled + count)
      filled += count
    } else {
      const groups = (header - 1) / 2
      // The last group may have values beyond the last one.
      if (groups === 0 || (groups - 1) * 8 >= left)
        fail(`${groups} groups where ${left} values are left`)
      if (position + groups * width > bytes.length) fail('its levels or codes are cut short')
      const count = Math.min(groups * 8, left)
      unpack(bytes, position, width, target, filled, count)
      for (let index = filled; index < filled + count; index++)
        if ((target[index] ?? 0) > max) fail(`a level or code is ${target[index]}, above ${max}`)
      position += groups * width
      filled += count
    }
  }
  if (position !== bytes.length) fail('behind its levels or codes there are more bytes')
}

function unpack(
  bytes: Uint8Array,
  start: number,
  width: number,
  target: Uint8Array | Int32Array,
  first: number,
  count: number,
): void {
  const mask = (1 << width) - 1
  let position = start
  let bits = 0
  let held = 0
  for (let index = first; index < first + count; index++) {
    while (held < width) {
      bits |= (bytes[position++] ?? 0) << held
      held += 8
    }
    target[index] = bits & mask
    bits >>>= width
    held -= width
  }
}

/** Bits of a level or code that is `max` at most. */
export function bitWidth(max: number): number {
  return 32 - Math.clz32(max)
}

/** Bits of a code into a dictionary of `length` values; one at least. */
export function codeBits(length: number): number {
  return Math.max(1, bitWidth(length - 1))
}
