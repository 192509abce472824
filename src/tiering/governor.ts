/**
 * The memory governor: one byte budget for every hot batch of the engine.
 *
 * Above the watermark it reclaims in this order: RAM copies with a proven lower copy go, what has a lower tier is
 * flushed early, memory-mode logs evict their oldest batches. At the budget appends wait, and are refused when waiting
 * does not help. Nothing that is the only copy is dropped except where the mode says so, and that is counted.
 */
import { StratalogError } from '../base/errors.ts'
import type { Clock } from '../base/clock.ts'
import type { Metrics } from '../base/metrics.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import type { SlabPool } from '../log/slab-pool.ts'

/** How long an append waits for room before it is refused. */
const ADMISSION_WAIT_MAX_MS = 10_000
const ADMISSION_LOOK_MS = 5

export interface GovernorOptions {
  readonly pool: SlabPool
  readonly maxBytes: number
  /** Fraction of `maxBytes` at which reclaiming starts. */
  readonly watermark: number
  readonly clock: Clock
  readonly metrics: Metrics
  readonly logs: () => Iterable<LiveLog>
  /** Flushes what can be flushed and drops what is proven below. */
  readonly relieve: () => Promise<void>
}

/** An append that waits for room. */
interface Waiting {
  readonly log: LiveLog
  /** Monotonic time at which it is refused. */
  readonly until: number
  readonly resolve: () => void
  readonly reject: (error: StratalogError) => void
}

export class MemoryGovernor {
  readonly #options: GovernorOptions
  #isRelieving = false
  #waiting: Waiting[] = []
  #evictionCount = 0
  #evictedRecords = 0

  constructor(options: GovernorOptions) {
    this.#options = options
  }

  get usedBytes(): number {
    return this.#options.pool.usedBytes
  }
  get maxBytes(): number {
    return this.#options.maxBytes
  }
  /** Batches evicted from their only copy, and the records in them. */
  get evictionCount(): number {
    return this.#evictionCount
  }
  get evictedRecords(): number {
    return this.#evictedRecords
  }

  /**
   * Null when the append may go on at once, in this very stretch; else a promise of room. Who waits goes on in the
   * order of asking, and nobody passes who asks later. @throws through it `memory_full`.
   */
  admit(log: LiveLog): Promise<void> | null {
    const { pool, maxBytes, watermark, clock } = this.#options
    const isQueued = this.#waiting.length > 0
    if (!isQueued && pool.usedBytes < maxBytes * watermark) return null
    if (!isQueued) this.#reclaim()
    if (!isQueued && pool.usedBytes < maxBytes) return null
    const isRefusing = log.policy.evictionPolicy === 'reject' && log.policy.mode === 'memory'
    if (isRefusing && pool.usedBytes >= maxBytes) return Promise.reject(this.#full(log))
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiting.push({ log, until: clock.monotonic() + ADMISSION_WAIT_MAX_MS, resolve, reject })
    if (!isQueued) void this.#serve()
    return promise
  }

  /** Lets those who wait go on, one after the other, while there is room. */
  async #serve(): Promise<void> {
    const { pool, maxBytes, clock } = this.#options
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (pool.usedBytes < maxBytes) {
        first.resolve()
        // Its append takes the room before the next one is looked at.
        await clock.yield()
        this.#waiting.shift()
      } else if (clock.monotonic() >= first.until) {
        first.reject(this.#full(first.log))
        this.#waiting.shift()
      } else {
        // Relief that finds nothing to do ends at once, and readers who hold leases want their turn.
        await clock.sleep(ADMISSION_LOOK_MS)
        this.#reclaim()
      }
    }
  }

  /**
   * What can be flushed is not lost, so it goes before what can only be evicted, as long as there is room meanwhile.
   */
  #reclaim(): void {
    const { pool, maxBytes, watermark } = this.#options
    this.#dropProven()
    if (pool.usedBytes >= maxBytes || !this.#hasFlushable()) this.#evict()
    if (pool.usedBytes >= maxBytes * watermark) this.#startRelief()
  }

  #hasFlushable(): boolean {
    for (const log of this.#options.logs()) {
      if (log.policy.mode === 'memory') continue
      if (log.partitions.some((partition) => partition.nextOffset > partition.flushedEnd))
        return true
    }
    return false
  }

  #startRelief(): void {
    if (this.#isRelieving) return
    this.#isRelieving = true
    void this.#options
      .relieve()
      .catch(() => {})
      .finally(() => {
        this.#isRelieving = false
      })
  }

  #dropProven(): void {
    for (const log of this.#options.logs()) {
      if (log.policy.mode === 'memory') continue
      for (const partition of log.partitions) partition.dropHot(partition.flushedEnd)
    }
  }

  /** Memory mode, `fifo`: the oldest batches of all such logs go until the watermark is reached. */
  #evict(): void {
    const { pool, maxBytes, watermark, metrics } = this.#options
    while (pool.usedBytes >= maxBytes * watermark) {
      const oldest = this.#oldestEvictable()
      const eviction = oldest?.evictOldest() ?? null
      if (eviction === null) return
      this.#evictionCount++
      this.#evictedRecords += eviction.end - eviction.start
      metrics.count('stratalog_evicted_records_total', eviction.end - eviction.start, {
        policy: 'fifo',
      })
    }
  }

  #oldestEvictable(): Partition | null {
    let oldest: Partition | null = null
    let oldestTime = Infinity
    for (const log of this.#options.logs()) {
      if (log.policy.mode !== 'memory' || log.policy.evictionPolicy !== 'fifo') continue
      for (const partition of log.partitions) {
        const first = partition.batches[0]
        if (first === undefined || first.length === 0 || first.appendTimeMin >= oldestTime) continue
        oldest = partition
        oldestTime = first.appendTimeMin
      }
    }
    return oldest
  }

  #full(log: LiveLog): StratalogError {
    const { pool, maxBytes } = this.#options
    return new StratalogError(
      'memory_full',
      `Memory is full: ${pool.usedBytes} of ${maxBytes} bytes are in use and nothing can be reclaimed now. Retry later, or raise maxMemoryBytes.`,
      { details: { log: log.name, usedBytes: pool.usedBytes, maxBytes, retryAfterMs: 100 } },
    )
  }
}
