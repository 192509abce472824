/**
 * Memory that batches of several logs lie in: a fork shares what its source has in RAM.
 *
 * The account that held it first counts it, alone: the engine's budget counts every byte once. When that one lets go,
 * the next in turn counts it, though its log may be over a budget of its own then; the last one gives it back.
 */
import { assert } from '../base/assert.ts'
import type { BatchMemory } from './memory-account.ts'

export class SharedSlabs {
  readonly #slabs: readonly number[]
  readonly #adoptedBytes: number
  readonly #bytes: number
  /** The first one counts. */
  readonly #holders: BatchMemory[]

  constructor(holder: BatchMemory, slabs: readonly number[], adoptedBytes: number) {
    this.#slabs = slabs
    this.#adoptedBytes = adoptedBytes
    this.#bytes = slabs.reduce((sum, slab) => sum + holder.bytesOf(slab), adoptedBytes)
    this.#holders = [holder]
  }

  get bytes(): number {
    return this.#bytes
  }
  get isAlone(): boolean {
    return this.#holders.length === 1
  }

  join(holder: BatchMemory): void {
    this.#holders.push(holder)
  }

  leave(holder: BatchMemory): void {
    const index = this.#holders.indexOf(holder)
    assert(index >= 0, 'who lets go of shared memory held it')
    const [, next] = this.#holders
    if (next === undefined) {
      for (const slab of this.#slabs) holder.releaseById(slab)
      if (this.#adoptedBytes > 0) holder.disown(this.#adoptedBytes)
    } else if (index === 0) {
      holder.shift(-this.#bytes)
      next.shift(this.#bytes)
    }
    this.#holders.splice(index, 1)
  }
}
