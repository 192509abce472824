/**
 * One piece of shared memory that slabs are cut from, in granules of 64 bytes, and which granules are free.
 *
 * A tag a granule, outside the shared memory:
 *
 *     free range   first and last granule: its node in FreeRanges, plus 1      (> 0)
 *     slab         first granule: its length in granules, negated              (< 0)
 *     any other                                                                 0
 *
 * So the neighbours of a slab that comes back are known by one look each, and free ranges never touch: they are joined
 * the moment they would.
 */
import { assert } from '../base/assert.ts'
import type { FreeRanges } from './free-ranges.ts'

export const GRANULE_BYTES = 64

export class SlabChunk {
  readonly buffer: SharedArrayBuffer
  readonly slot: number
  /** Granules. */
  readonly length: number
  #free: FreeRanges
  readonly #tags: Int32Array

  /** @throws RangeError when the memory is not to be had. */
  constructor(slot: number, byteLength: number, free: FreeRanges) {
    this.buffer = new SharedArrayBuffer(byteLength)
    this.slot = slot
    this.length = byteLength / GRANULE_BYTES
    this.#free = free
    this.#tags = new Int32Array(this.length)
    this.#tag(free.add(slot, 0, this.length), 0, this.length)
  }

  get byteLength(): number {
    return this.buffer.byteLength
  }

  get isFree(): boolean {
    const first = this.#tags[0] ?? 0
    return first > 0 && this.#free.lengthOf(first - 1) === this.length
  }

  /** Granules of the slab that begins at `start`; not above 0 when none does. */
  slabLength(start: number): number {
    return -(this.#tags[start] ?? 0)
  }

  /** Cuts a slab from the low end of a free range of this chunk. Returns where it begins. */
  take(node: number, length: number): number {
    const start = this.#free.startOf(node)
    const rest = this.#free.lengthOf(node) - length
    if (rest === 0) {
      this.#tags[start + length - 1] = 0
      this.#free.remove(node)
    } else {
      this.#free.resize(node, start + length, rest)
      this.#tags[start + length] = node + 1
    }
    this.#tags[start] = -length
    return start
  }

  /** Frees the slab that begins at `start`. */
  give(start: number): void {
    const length = this.slabLength(start)
    this.#tags[start] = 0
    this.#join(start, length)
  }

  /** Frees what the slab at `start` has beyond `length` granules. */
  cut(start: number, length: number): void {
    const rest = this.slabLength(start) - length
    assert(length > 0 && rest > 0, 'a slab is cut to less than it has')
    this.#tags[start] = -length
    this.#join(start + length, rest)
  }

  /** Without a slab the chunk may go to other ranges. */
  moveTo(ranges: FreeRanges): void {
    this.drop()
    this.#free = ranges
    this.#tag(ranges.add(this.slot, 0, this.length), 0, this.length)
  }

  /** The whole chunk leaves the arena. */
  drop(): void {
    assert(this.isFree, 'a chunk with slabs is not dropped')
    this.#free.remove((this.#tags[0] ?? 0) - 1)
  }

  #join(start: number, length: number): void {
    let first = start
    let end = start + length
    const before = (this.#tags[start - 1] ?? 0) - 1
    const after = (this.#tags[end] ?? 0) - 1
    if (after >= 0) {
      this.#tags[end] = 0
      end += this.#free.lengthOf(after)
    }
    if (before >= 0) {
      this.#tags[start - 1] = 0
      first = this.#free.startOf(before)
    }
    let node = before >= 0 ? before : after
    if (before >= 0 && after >= 0) this.#free.remove(after)
    if (node >= 0) this.#free.resize(node, first, end - first)
    else node = this.#free.add(this.slot, first, end - first)
    this.#tag(node, first, end)
  }

  #tag(node: number, start: number, end: number): void {
    this.#tags[start] = node + 1
    this.#tags[end - 1] = node + 1
  }
}
