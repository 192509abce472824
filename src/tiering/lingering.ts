/**
 * Batches that were evicted and that a reader holds still.
 *
 * Most readers move on within milliseconds: for CREDIT_MS what they hold counts as coming free. Who holds a batch for
 * longer stands still, and the batch is pinned until the lease ends.
 */
import type { Clock } from '../base/clock.ts'
import type { HotBatch } from '../log/hot-batch.ts'
import type { MemoryAccount } from '../log/memory-account.ts'

const CREDIT_MS = 100

interface Lingering {
  readonly owner: MemoryAccount
  /** Monotonic time. */
  readonly pinnedFrom: number
}

export class LingeringBatches {
  readonly #clock: Clock
  readonly #batches = new Map<HotBatch, Lingering>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(batch: HotBatch, owner: MemoryAccount): void {
    this.#batches.set(batch, { owner, pinnedFrom: this.#clock.monotonic() + CREDIT_MS })
  }

  /** The bytes that one log's batches hold, or those of all. */
  of(memory: MemoryAccount | null): { readonly pinned: number; readonly coming: number } {
    let pinned = 0
    let coming = 0
    if (this.#batches.size === 0) return { pinned, coming }
    const now = this.#clock.monotonic()
    for (const [batch, { owner, pinnedFrom }] of this.#batches) {
      if (batch.bytes === 0) this.#batches.delete(batch)
      else if (memory !== null && owner !== memory) continue
      else if (pinnedFrom <= now) pinned += batch.bytes
      else coming += batch.bytes
    }
    return { pinned, coming }
  }
}
