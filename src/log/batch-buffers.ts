/**
 * The buffers of one hot batch, and the leases on them.
 *
 * The partition holds the batch, and every reader that shows its rows holds a lease beside it. A buffer that another
 * takes the place of goes back to the pool at once while nobody but the partition holds the batch, else when the last
 * lease ends; all of them go with the last holder.
 */
import { assert } from '../base/assert.ts'
import type { BufferSource } from '../format/growing-column.ts'
import type { BatchMemory } from './memory-account.ts'
import { SharedSlabs } from './shared-slabs.ts'
import { BudgetExceeded } from './slab-pool.ts'

export class BatchBuffers implements BufferSource {
  readonly #pool: BatchMemory
  /** The buffers in use, and those that were replaced under a lease, as the pool numbers them. */
  #slabs: number[] = []
  #retired: number[] | null = null
  #bytes = 0
  #adoptedBytes = 0
  /** The partition, until it drops the batch, and readers. */
  #holders = 1
  #isDropped = false
  /** Set once others hold the buffers in use too: then these are given back through it. */
  #shared: SharedSlabs | null = null
  #changes = 0

  constructor(pool: BatchMemory) {
    this.#pool = pool
  }

  /**
   * Every byte held of the pool, alone or with others, those that wait for a lease to end included, and what the pool
   * counts as adopted.
   */
  get bytes(): number {
    return this.#bytes + this.#adoptedBytes + (this.#shared?.bytes ?? 0)
  }
  /** Goes up with each buffer that comes or goes out of use. */
  get changes(): number {
    return this.#changes
  }
  /** Whether somebody besides the partition holds the batch. */
  get isLeased(): boolean {
    return this.#holders > (this.#isDropped ? 0 : 1)
  }

  /** Whether batches of other logs hold the same buffers. */
  get isShared(): boolean {
    return this.#shared?.isAlone === false
  }

  /** Holds the buffers of another too, which takes and gives no more of them. */
  share(other: BatchBuffers): void {
    if (other.#shared === null) {
      other.#shared = new SharedSlabs(other.#pool, other.#slabs, other.#adoptedBytes)
      other.#bytes -= other.#shared.bytes - other.#adoptedBytes
      other.#slabs = []
      other.#adoptedBytes = 0
    }
    this.#shared = other.#shared
    this.#shared.join(this.#pool)
  }

  /** @throws BudgetExceeded */
  acquire(minBytes: number): Uint8Array {
    const slab = this.#pool.acquire(minBytes)
    this.#slabs.push(this.#pool.idOf(slab))
    this.#changes++
    this.#bytes += slab.length
    return slab
  }

  retire(buffer: Uint8Array): void {
    const slab = this.#pool.idOf(buffer)
    const index = this.#slabs.lastIndexOf(slab)
    assert(index >= 0, 'a buffer is retired once')
    this.#changes++
    const last = this.#slabs.pop() ?? slab
    if (index < this.#slabs.length) this.#slabs[index] = last
    this.#giveBack(slab)
  }

  /** No row lies in the tail, so nobody who holds a lease reads it. */
  shrink(buffer: Uint8Array, bytes: number): Uint8Array {
    const before = this.#pool.usedBytes
    const shorter = this.#pool.shrink(buffer, bytes)
    this.#bytes -= before - this.#pool.usedBytes
    return shorter
  }

  /** Counts memory that others made, for as long as the batch is held. @throws BudgetExceeded */
  adopt(bytes: number): void {
    this.#pool.adopt(bytes)
    this.#adoptedBytes += bytes
  }

  /**
   * Has `refill` acquire the buffers anew, past the limit, and retires all that were there before. Under a lease those
   * stay, so that the limit counts: null when there is no room, and nothing is replaced.
   */
  replaceAll<T>(refill: () => T): T | null {
    const before = this.#slabs
    this.#slabs = []
    let result: T
    try {
      result = this.isLeased ? refill() : this.#pool.withoutLimit(refill)
    } catch (error) {
      this.#giveBackAll(this.#slabs)
      this.#slabs = before
      if (error instanceof BudgetExceeded) return null
      throw error
    }
    for (const slab of before) this.#giveBack(slab)
    return result
  }

  retain(): void {
    assert(this.#holders > 0, 'a released batch is not leased again')
    this.#holders++
  }

  /** Ends the hold of the partition: nothing is acquired or retired any more. Says whether it was the last hold. */
  drop(): boolean {
    assert(!this.#isDropped, 'a partition lets go of a batch once')
    this.#isDropped = true
    return this.release()
  }

  /** Ends one hold, and says whether it was the last. */
  release(): boolean {
    assert(this.#holders > 0, 'a lease ends once')
    this.#holders--
    if (!this.isLeased && this.#retired !== null) {
      this.#giveBackAll(this.#retired)
      this.#retired = null
    }
    if (this.#holders > 0) return false
    this.#giveBackAll(this.#slabs)
    this.#slabs = []
    if (this.#adoptedBytes > 0) this.#pool.disown(this.#adoptedBytes)
    this.#adoptedBytes = 0
    this.#shared?.leave(this.#pool)
    this.#shared = null
    return true
  }

  #giveBack(slab: number): void {
    if (!this.isLeased) this.#bytes -= this.#pool.releaseById(slab)
    else (this.#retired ??= []).push(slab)
  }

  #giveBackAll(slabs: readonly number[]): void {
    for (const slab of slabs) this.#bytes -= this.#pool.releaseById(slab)
  }
}
