/**
 * What the batches of one partition, or of one log, hold of memory: counted to the byte as they take it and give it
 * back, leased batches and their run lists included. Accounts form a chain: a partition's counts into its log's, and
 * that into the pool, which has the engine's budget.
 *
 * A log's account may have a budget of its own. As with the pool's, an acquire that would pass it throws, the append
 * rolls back, and the governor makes room.
 */
import type { EvictionPolicy } from '../format/manifest.ts'
import { BudgetExceeded } from './slab-pool.ts'

/** Where batches take their memory from: the pool, or an account that counts what of it is theirs. */
export interface BatchMemory {
  readonly usedBytes: number
  /** `usedBytes` at most. */
  readonly limit: number
  readonly isDebug: boolean
  /** @throws BudgetExceeded */
  acquire(minBytes: number): Uint8Array
  idOf(slab: Uint8Array): number
  releaseById(id: number): number
  shrink(slab: Uint8Array, bytes: number): Uint8Array
  /** Counts memory that is not the pool's. @throws BudgetExceeded */
  adopt(bytes: number): void
  disown(bytes: number): void
  /** What the slab of that number has. */
  bytesOf(id: number): number
  /** Counts bytes more, or fewer, that another account of the pool counted until now; the pool's own stay as many. */
  shift(bytes: number): void
  withoutLimit<T>(run: () => T): T
}

/** What a log lost, since the engine was opened. */
export interface Reclaimed {
  /** By the policy that chose them; policies that chose none are not there. */
  readonly evictedRecords: Partial<Record<EvictionPolicy, number>>
  /** Batches that went whole. */
  evictedBatches: number
  evictedBytes: number
  expiredRecords: number
}

const NOTHING_RECLAIMED: Readonly<Reclaimed> = {
  evictedRecords: {},
  evictedBatches: 0,
  evictedBytes: 0,
  expiredRecords: 0,
}

export class MemoryAccount implements BatchMemory {
  readonly #parent: BatchMemory
  #usedBytes = 0
  #maxBytes = Infinity
  #highBytes = Infinity
  #isUnlimited = false
  /** Of logs that lost something: most never do. */
  #reclaimed: Reclaimed | null = null
  #stamp = 0
  /** Appends that wait for room in this log. */
  waitingAppends = 0

  constructor(parent: BatchMemory) {
    this.#parent = parent
  }

  get usedBytes(): number {
    return this.#usedBytes
  }
  /** Infinity: the engine's budget alone counts. */
  get maxBytes(): number {
    return this.#maxBytes
  }
  /** The least of the budgets that count. */
  get limit(): number {
    return Math.min(this.#maxBytes, this.#parent.limit)
  }
  /** Where reclaiming begins. */
  get highBytes(): number {
    return this.#highBytes
  }
  get isDebug(): boolean {
    return this.#parent.isDebug
  }
  get reclaimed(): Readonly<Reclaimed> {
    return this.#reclaimed ?? NOTHING_RECLAIMED
  }
  /** The same, to be counted up. */
  get reclaimCounts(): Reclaimed {
    this.#reclaimed ??= { ...NOTHING_RECLAIMED, evictedRecords: {} }
    return this.#reclaimed
  }

  /** Whether there is anything to see in `reclaimed`, which takes memory once it was asked for. */
  get hasReclaimed(): boolean {
    return this.#reclaimed !== null
  }

  setBudget(maxBytes: number | null, watermark: number): void {
    this.#maxBytes = maxBytes ?? Infinity
    this.#highBytes = this.#maxBytes * watermark
  }

  /** The next stamp of a read or of a new batch: the order in which batches were last of use. */
  nextStamp(): number {
    return ++this.#stamp
  }

  acquire(minBytes: number): Uint8Array {
    this.#assertRoom(minBytes)
    const slab = this.#parent.acquire(minBytes)
    this.#usedBytes += slab.length
    if (this.#usedBytes <= this.#maxBytes || this.#isUnlimited) return slab
    // Rounded up, it is too much.
    this.releaseById(this.idOf(slab))
    throw new BudgetExceeded(minBytes)
  }

  idOf(slab: Uint8Array): number {
    return this.#parent.idOf(slab)
  }

  releaseById(id: number): number {
    const bytes = this.#parent.releaseById(id)
    this.#usedBytes -= bytes
    return bytes
  }

  shrink(slab: Uint8Array, bytes: number): Uint8Array {
    const before = this.#parent.usedBytes
    const shorter = this.#parent.shrink(slab, bytes)
    this.#usedBytes -= before - this.#parent.usedBytes
    return shorter
  }

  adopt(bytes: number): void {
    this.#assertRoom(bytes)
    this.#parent.adopt(bytes)
    this.#usedBytes += bytes
  }

  disown(bytes: number): void {
    this.#parent.disown(bytes)
    this.#usedBytes -= bytes
  }

  bytesOf(id: number): number {
    return this.#parent.bytesOf(id)
  }

  shift(bytes: number): void {
    this.#usedBytes += bytes
    this.#parent.shift(bytes)
  }

  withoutLimit<T>(run: () => T): T {
    const before = this.#isUnlimited
    this.#isUnlimited = true
    try {
      return this.#parent.withoutLimit(run)
    } finally {
      this.#isUnlimited = before
    }
  }

  #assertRoom(bytes: number): void {
    if (this.#usedBytes + bytes > this.#maxBytes && !this.#isUnlimited)
      throw new BudgetExceeded(bytes)
  }
}
