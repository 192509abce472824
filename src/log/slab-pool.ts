/**
 * Shared-memory slabs for hot batches, in size classes of powers of two.
 *
 * The garbage collector does not see shared memory, so a slab that is dropped lingers until some unrelated collection:
 * slabs therefore go back to the pool by hand, when the last lease on their batch ends. A released slab is handed out
 * again with whatever it held; with `poison` it is overwritten first, so that a use after release shows in a test.
 *
 * Owned by one engine; used on the main thread only.
 */
import { assert } from '../base/assert.ts'

const SLAB_BYTES_MIN = 256
/** Slabs above this are rare (one huge value) and not worth keeping. */
const POOLED_BYTES_MAX = 8 * 1024 * 1024
const POISON = 0xdb

export interface SlabPoolOptions {
  /** Free slabs kept for reuse, in bytes; more are dropped. */
  readonly freeBytesMax: number
  readonly poison: boolean
}

export class SlabPool {
  readonly #options: SlabPoolOptions
  readonly #free = new Map<number, Uint8Array[]>()
  #freeBytes = 0
  #usedBytes = 0

  constructor(options: SlabPoolOptions) {
    this.#options = options
  }

  /** Bytes in slabs that are handed out. */
  get usedBytes(): number {
    return this.#usedBytes
  }

  get freeBytes(): number {
    return this.#freeBytes
  }

  /** A slab of the least size class that holds `minBytes`; its contents are unspecified. */
  acquire(minBytes: number): Uint8Array {
    const size = slabSize(minBytes)
    const free = this.#free.get(size)?.pop()
    // An allocation that fails is no slab in use.
    const slab = free ?? new Uint8Array(new SharedArrayBuffer(size))
    if (free !== undefined) this.#freeBytes -= size
    this.#usedBytes += size
    return slab
  }

  /** Takes a slab back. The caller proves by its lease count that nobody reads it any more. */
  release(slab: Uint8Array): void {
    const size = slab.length
    this.#usedBytes -= size
    assert(this.#usedBytes >= 0, 'a slab is released once')
    if (this.#options.poison) slab.fill(POISON)
    if (size > POOLED_BYTES_MAX || this.#freeBytes + size > this.#options.freeBytesMax) return
    const slabs = this.#free.get(size)
    if (slabs === undefined) this.#free.set(size, [slab])
    else slabs.push(slab)
    this.#freeBytes += size
  }
}

export function slabSize(minBytes: number): number {
  let size = SLAB_BYTES_MIN
  while (size < minBytes) size *= 2
  return size
}
