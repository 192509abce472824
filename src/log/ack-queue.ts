/**
 * Appends that wait for the WAL, in LSN order, for the whole engine.
 *
 * Invariant: an append is settled as durable exactly when the WAL says that its last byte is, in the order the WAL took
 * them, so a partition's durable watermark moves only over records that survive a crash. After a failure nothing is
 * ever settled as durable again: every waiting append is refused with that failure, and its fate is unknown to the
 * caller.
 */
import type { StratalogError } from '../base/errors.ts'

/** Whom to tell that offsets below `endOffset` are durable. */
export interface DurableListener {
  durableTo(endOffset: number): void
}

interface Waiting {
  readonly endLsn: number
  readonly listener: DurableListener
  readonly endOffset: number
  readonly resolve: (() => void) | null
  readonly reject: ((error: StratalogError) => void) | null
}

/** Settled entries are dropped from the front in runs of this many, so that settling is cheap. */
const COMPACT_AFTER = 1_024

export class AckQueue {
  #waiting: Waiting[] = []
  #first = 0
  #failure: StratalogError | null = null

  get failure(): StratalogError | null {
    return this.#failure
  }

  get length(): number {
    return this.#waiting.length - this.#first
  }

  /** Registers an append; the promise, when asked for, settles with its durability. */
  add(
    endLsn: number,
    listener: DurableListener,
    endOffset: number,
    wantsPromise: boolean,
  ): Promise<void> | null {
    if (this.#failure !== null) return wantsPromise ? Promise.reject(this.#failure) : null
    if (!wantsPromise) {
      this.#waiting.push({ endLsn, listener, endOffset, resolve: null, reject: null })
      return null
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ endLsn, listener, endOffset, resolve, reject })
    })
  }

  /** Settles every append that ends at or before `durableLsn`. */
  settle(durableLsn: number): void {
    if (this.#failure !== null) return
    while (this.#first < this.#waiting.length) {
      const next = this.#waiting[this.#first]
      if (next === undefined || next.endLsn > durableLsn) break
      this.#first++
      next.listener.durableTo(next.endOffset)
      next.resolve?.()
    }
    if (this.#first === this.#waiting.length || this.#first >= COMPACT_AFTER) {
      this.#waiting = this.#waiting.slice(this.#first)
      this.#first = 0
    }
  }

  /** Refuses all that wait, and all that will. */
  fail(error: StratalogError): void {
    if (this.#failure !== null) return
    this.#failure = error
    const waiting = this.#waiting.slice(this.#first)
    this.#waiting = []
    this.#first = 0
    for (const entry of waiting) entry.reject?.(error)
  }
}
