/**
 * Shared memory for hot batches: an arena that hands out slabs cut from a few big chunks, and one exact budget for it.
 *
 * The garbage collector does not see shared memory, so slabs go back to the pool by hand: at once when only the writer
 * knew them, else when the last lease on their batch ends. What comes back is handed out again with whatever it held;
 * with `poison` it is overwritten first, so that a use after release shows in a test.
 *
 * - A slab is a multiple of 64 bytes long and begins at one; `usedBytes` counts just that.
 * - Chunks double from 64 KiB to 8 MiB; a slab that fits none gets a chunk of its own size.
 * - Small slabs and big ones come from chunks of their own while there is room for that: many small ones that stay
 *   would cut the holes that big ones leave. A chunk without a slab serves either.
 * - `reservedBytes` and what was adopted never pass `limit + freeBytesMax +` one chunk, whatever the pattern: rather
 *   than take another chunk for a slab that the holes between others do not hold, `acquire` refuses it, also where
 *   `usedBytes` is below the limit.
 *
 * Owned by one engine; used on the main thread only.
 */
import { assert } from '../base/assert.ts'
import { FreeRanges } from './free-ranges.ts'
import { GRANULE_BYTES, SlabChunk } from './slab-chunk.ts'

const CHUNK_BYTES_MIN = 64 * 1024
export const CHUNK_BYTES_MAX: number = 8 * 1024 * 1024
/** Granules of a chunk at most, as an id counts them. */
const CHUNK_GRANULES_MAX = 2 ** 24
/** Slabs of up to 4 KiB, in granules. */
const SMALL_GRANULES_MAX = 64
const POISON = 0xdb

/** An acquire that would pass the budget: the append that asked rolls back, and comes again when there is room. */
export class BudgetExceeded extends Error {
  readonly bytes: number

  constructor(bytes: number) {
    super(`${bytes} bytes are over the budget`)
    this.bytes = bytes
  }
}

export interface SlabPoolOptions {
  /** Chunks without a slab that are kept for reuse, in bytes; more are dropped. */
  readonly freeBytesMax: number
  /**
   * So many are kept where the limit has room for them and for what is handed out: what a flush lets go is wanted again
   * soon, and memory that is new to the process costs a fault a page and a collection. Default: `freeBytesMax`.
   */
  readonly idleBytesMax?: number
  /** Debug: what comes back is overwritten, and callers check what costs time. */
  readonly poison: boolean
  /** The first `limit`; none when it is left out. */
  readonly maxBytes?: number
}

export class SlabPool {
  readonly #options: SlabPoolOptions
  readonly #small = new FreeRanges()
  readonly #big = new FreeRanges()
  /** By slot; null where a chunk was dropped. */
  readonly #chunks: (SlabChunk | null)[] = []
  readonly #byBuffer = new Map<ArrayBufferLike, SlabChunk>()
  #limit: number
  #isUnlimited = false
  #slabBytes = 0
  #adoptedBytes = 0
  #reservedBytes = 0
  /** Of chunks without a slab. */
  #idleBytes = 0

  constructor(options: SlabPoolOptions) {
    this.#options = options
    this.#limit = options.maxBytes ?? Infinity
  }

  /** Bytes of the slabs that are handed out, and of what was adopted. */
  get usedBytes(): number {
    return this.#slabBytes + this.#adoptedBytes
  }
  /** Bytes of the chunks. */
  get reservedBytes(): number {
    return this.#reservedBytes
  }
  /** Bytes of the chunks that are not handed out. */
  get freeBytes(): number {
    return this.#reservedBytes - this.#slabBytes
  }
  get isDebug(): boolean {
    return this.#options.poison
  }

  /** `usedBytes` at most. A lower limit takes nothing away from those who have it. */
  get limit(): number {
    return this.#limit
  }
  set limit(bytes: number) {
    this.#limit = bytes
    this.#dropIdle(0)
  }

  /** Runs what has to have its memory, as recovery and the copies that make room; it may pass the limit. */
  withoutLimit<T>(run: () => T): T {
    const before = this.#isUnlimited
    this.#isUnlimited = true
    try {
      return run()
    } finally {
      this.#isUnlimited = before
    }
  }

  /** A slab of `minBytes` rounded up to a granule; its contents are unspecified. @throws BudgetExceeded */
  acquire(minBytes: number): Uint8Array {
    const length = Math.max(1, Math.ceil(minBytes / GRANULE_BYTES))
    const bytes = length * GRANULE_BYTES
    if (length >= CHUNK_GRANULES_MAX) throw new RangeError(`${bytes} bytes are no slab`)
    this.#assertRoom(bytes)
    let ranges = length <= SMALL_GRANULES_MAX ? this.#small : this.#big
    let node = ranges.find(length)
    if (node < 0) {
      ranges = this.#rangesWith(length, ranges)
      node = ranges.find(length)
    }
    const chunk = this.#chunkAt(ranges.chunkOf(node))
    if (chunk.isFree) this.#idleBytes -= chunk.byteLength
    const start = chunk.take(node, length)
    this.#slabBytes += bytes
    return new Uint8Array(chunk.buffer, start * GRANULE_BYTES, bytes)
  }

  /** Names a slab, or any view that begins where one does, by a number. It names another one after the release. */
  idOf(slab: Uint8Array): number {
    const chunk = this.#byBuffer.get(slab.buffer)
    assert(chunk !== undefined, 'a slab is released once')
    return chunk.slot * CHUNK_GRANULES_MAX + slab.byteOffset / GRANULE_BYTES
  }

  /** Takes a slab back. The caller proves by its lease count that nobody reads it any more. */
  release(slab: Uint8Array): void {
    this.releaseById(this.idOf(slab))
  }

  /** Takes the slab of that name back. Returns its bytes. */
  releaseById(id: number): number {
    const chunk = this.#chunkAt(Math.floor(id / CHUNK_GRANULES_MAX))
    const start = id % CHUNK_GRANULES_MAX
    const length = chunk.slabLength(start)
    assert(length > 0, 'a slab is released once')
    if (this.isDebug) poison(chunk, start, length)
    chunk.give(start)
    this.#slabBytes -= length * GRANULE_BYTES
    if (chunk.isFree) this.#retireChunk(chunk)
    return length * GRANULE_BYTES
  }

  bytesOf(id: number): number {
    const chunk = this.#chunkAt(Math.floor(id / CHUNK_GRANULES_MAX))
    return chunk.slabLength(id % CHUNK_GRANULES_MAX) * GRANULE_BYTES
  }

  /** All accounts together are the pool. */
  shift(): void {}

  /** Gives back what a slab has beyond `bytes`, rounded up to a granule. Returns what stays where it was. */
  shrink(slab: Uint8Array, bytes: number): Uint8Array {
    const id = this.idOf(slab)
    const chunk = this.#chunkAt(Math.floor(id / CHUNK_GRANULES_MAX))
    const start = id % CHUNK_GRANULES_MAX
    const before = chunk.slabLength(start)
    assert(before > 0, 'a slab is released once')
    const length = Math.max(1, Math.ceil(bytes / GRANULE_BYTES))
    if (length < before) {
      if (this.isDebug) poison(chunk, start + length, before - length)
      chunk.cut(start, length)
      this.#slabBytes -= (before - length) * GRANULE_BYTES
    }
    return new Uint8Array(chunk.buffer, slab.byteOffset, Math.min(length, before) * GRANULE_BYTES)
  }

  /** Counts memory that is not the pool's but is kept alive by a batch. @throws BudgetExceeded */
  adopt(bytes: number): void {
    this.#assertRoom(bytes)
    this.#makeRoom(bytes)
    this.#adoptedBytes += bytes
  }

  disown(bytes: number): void {
    this.#adoptedBytes -= bytes
    assert(this.#adoptedBytes >= 0, 'what is disowned was adopted')
  }

  #chunkAt(slot: number): SlabChunk {
    const chunk = this.#chunks[slot]
    assert(chunk !== undefined && chunk !== null, 'a slab is released once')
    return chunk
  }

  #assertRoom(bytes: number): void {
    if (this.usedBytes + bytes > this.#limit && !this.#isUnlimited) throw new BudgetExceeded(bytes)
  }

  /**
   * Ranges that hold a slab of `length` though `ranges` don't yet: thanks to a chunk without a slab, else to a new one;
   * where there is no room for that, those that are meant for other sizes. @throws BudgetExceeded
   */
  #rangesWith(length: number, ranges: FreeRanges): FreeRanges {
    const bytes = length * GRANULE_BYTES
    const idle = this.#idleChunk(length)
    if (idle !== null) {
      idle.moveTo(ranges)
      return ranges
    }
    const others = ranges === this.#small ? this.#big : this.#small
    if (!this.#isWithinBound(bytes + CHUNK_BYTES_MAX) && others.find(length) >= 0) return others
    this.#addChunk(bytes, ranges)
    return ranges
  }

  #idleChunk(length: number): SlabChunk | null {
    if (this.#idleBytes < length * GRANULE_BYTES) return null
    for (const chunk of this.#chunks) {
      if (chunk !== null && chunk.length >= length && chunk.isFree) return chunk
    }
    return null
  }

  /** As many bytes as there are already, so that there are few chunks; just enough where there is no more room. */
  #addChunk(bytes: number, ranges: FreeRanges): void {
    const generous = Math.min(CHUNK_BYTES_MAX, 2 ** Math.floor(Math.log2(this.#reservedBytes || 1)))
    const least = Math.ceil(bytes / CHUNK_BYTES_MIN) * CHUNK_BYTES_MIN
    const byteLength = this.#isWithinBound(generous) ? Math.max(generous, least) : least
    this.#makeRoom(byteLength)
    const hole = this.#chunks.indexOf(null)
    const slot = hole === -1 ? this.#chunks.length : hole
    // A chunk that cannot be had is in no list.
    const chunk = new SlabChunk(slot, byteLength, ranges)
    this.#chunks[slot] = chunk
    this.#byBuffer.set(chunk.buffer, chunk)
    this.#reservedBytes += byteLength
    this.#idleBytes += byteLength
  }

  /** Has the process hold no more than the bound once it holds `bytes` more. @throws BudgetExceeded */
  #makeRoom(bytes: number): void {
    this.#dropIdle(bytes)
    if (!this.#isWithinBound(bytes) && !this.#isUnlimited) throw new BudgetExceeded(bytes)
  }

  #isWithinBound(bytes: number): boolean {
    const bound = this.#limit + this.#options.freeBytesMax + CHUNK_BYTES_MAX
    return this.#reservedBytes + this.#adoptedBytes + bytes <= bound
  }

  /** Drops chunks without a slab until `bytes` more are within the bound, or there are none. */
  #dropIdle(bytes: number): void {
    for (let slot = 0; this.#idleBytes > 0 && !this.#isWithinBound(bytes); slot++) {
      const chunk = this.#chunks[slot]
      if (chunk === undefined) return
      if (chunk?.isFree === true) this.#drop(chunk)
    }
  }

  #retireChunk(chunk: SlabChunk): void {
    this.#idleBytes += chunk.byteLength
    const { freeBytesMax, idleBytesMax = freeBytesMax } = this.#options
    const within = Math.min(this.#limit - this.usedBytes, idleBytesMax)
    if (this.#idleBytes > Math.max(freeBytesMax, within)) this.#drop(chunk)
  }

  #drop(chunk: SlabChunk): void {
    chunk.drop()
    this.#idleBytes -= chunk.byteLength
    this.#reservedBytes -= chunk.byteLength
    this.#chunks[chunk.slot] = null
    this.#byBuffer.delete(chunk.buffer)
    hintCollection(chunk.byteLength)
  }
}

function poison(chunk: SlabChunk, start: number, length: number): void {
  new Uint8Array(chunk.buffer, start * GRANULE_BYTES, length * GRANULE_BYTES).fill(POISON)
}

/**
 * Shared memory that is dropped goes back to the system with the next collection, and does not hasten it; plain memory
 * does. So as much of that is asked for and let go, untouched: 600 chunks of 8 MiB dropped in a row peak at half of the
 * memory, and take a tenth of the time.
 */
function hintCollection(bytes: number): void {
  try {
    void new ArrayBuffer(bytes)
  } catch {
    // It was to be thrown away.
  }
}
