/**
 * A set of offsets of one partition, a bit each: an eighth of a byte per record of the stretch that it spans.
 *
 * The bits begin at a multiple of 8 and grow with what is added behind; nothing is added before them.
 */
import { assert } from '../base/assert.ts'
import { bitmapBytes, countBits, sliceBitmap } from '../format/column.ts'

const FIRST_BYTES = 64

/** A set as a value that can be cloned: bit i of `bits` is offset `start + i`. */
export interface OffsetBits {
  readonly start: number
  readonly bits: Uint8Array
}

export class OffsetSet {
  #start: number
  #bits: Uint8Array

  /** @param start no offset below it is added. */
  constructor(start: number, bits: Uint8Array = new Uint8Array(FIRST_BYTES)) {
    this.#start = start - (start % 8)
    this.#bits = bits
  }

  static of({ start, bits }: OffsetBits): OffsetSet {
    return new OffsetSet(start, bits)
  }

  get bytes(): number {
    return this.#bits.byteLength
  }

  add(offset: number): void {
    const bit = offset - this.#start
    assert(bit >= 0, 'offsets are added from the start on')
    const index = byteOf(bit)
    if (index >= this.#bits.length) this.#grow(index + 1)
    this.#bits[index] = (this.#bits[index] ?? 0) | (1 << (bit & 7))
  }

  delete(offset: number): void {
    const bit = offset - this.#start
    const index = byteOf(bit)
    this.#bits[index] = (this.#bits[index] ?? 0) & ~(1 << (bit & 7))
  }

  /** How many lie in `[from, to)`. */
  count(from: number, to: number): number {
    return from < to ? countBits(this.bitmap(from, to), to - from) : 0
  }

  /** Bit i says whether `from + i` is in the set. It may lie in the set's own memory: for reading at once. */
  bitmap(from: number, to: number): Uint8Array {
    const aligned = from - (from % 8)
    const byteCount = bitmapBytes(to - aligned)
    const first = (aligned - this.#start) / 8
    const held = this.#bits.subarray(Math.max(0, first), Math.max(0, first + byteCount))
    const isWhole = first >= 0 && held.length === byteCount
    const bits = isWhole ? held : new Uint8Array(byteCount)
    if (!isWhole && held.length > 0) bits.set(held, Math.max(0, -first))
    return sliceBitmap(bits, from % 8, to - from)
  }

  /** The stretches of it within `[from, to)`, as rows that count from `from`: start, end, start, end and so on. */
  ranges(from: number, to: number): Int32Array {
    const bits = this.bitmap(from, to)
    const ranges: number[] = []
    const length = to - from
    let start = -1
    for (let row = 0; row < length; row++) {
      const byte = bits[row >> 3] ?? 0
      if (byte === 0 && start === -1) {
        row |= 7
        continue
      }
      const isIn = ((byte >> (row & 7)) & 1) === 1
      if (isIn && start === -1) start = row
      if (!isIn && start !== -1) {
        ranges.push(start, row)
        start = -1
      }
    }
    if (start !== -1) ranges.push(start, length)
    return Int32Array.from(ranges)
  }

  /** What of it lies in `[from, to)`, as a set of its own. */
  copy(from: number, to: number): OffsetSet {
    return OffsetSet.of(this.bits(from, to))
  }

  /** The same as a value, in memory of its own. */
  bits(from: number, to: number): OffsetBits {
    const start = from - (from % 8)
    const end = Math.max(start, to)
    const bits = this.bitmap(start, end).slice()
    bits[0] = (bits[0] ?? 0) & (0xff << (from % 8))
    const rest = (end - start) % 8
    const last = bits.length - 1
    if (rest > 0) bits[last] = (bits[last] ?? 0) & (0xff >> (8 - rest))
    return { start, bits }
  }

  /** Lets go of the memory of what lies before `offset`, which is in the set no more. */
  forget(offset: number): void {
    const bytes = Math.floor((offset - this.#start) / 8)
    if (bytes <= 0) return
    this.#bits = this.#bits.slice(bytes)
    this.#start += bytes * 8
  }

  #grow(byteCount: number): void {
    const bits = new Uint8Array(Math.max(byteCount, this.#bits.length * 2))
    bits.set(this.#bits)
    this.#bits = bits
  }
}

/** Beyond 2^32 a shift would lose the high bits. */
function byteOf(bit: number): number {
  return bit >= 0 && bit < 4_294_967_296 ? bit >>> 3 : Math.floor(bit / 8)
}
