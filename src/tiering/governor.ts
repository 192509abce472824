/**
 * The memory governor: one byte budget for every hot batch of the engine, and one for each log that has its own.
 *
 * Above the high watermark it reclaims down to the low one, in this order: what expired goes, RAM copies with a proven
 * lower copy go, what has a lower tier is flushed early, memory-mode logs evict by their policies. At the budget
 * appends wait, and are refused when waiting does not help. Nothing that is the only copy is dropped except where the
 * mode says so, and that is counted.
 *
 * Across logs the records go first that were appended first, of those that their logs would let go of next.
 *
 * Cost: an append below the watermark compares numbers. A round looks at every log once and frees a tenth of the
 * budget; one that found nothing is not repeated until bytes came back or IDLE_MS passed.
 *
 * What a reader still holds of the evicted counts as free to come for CREDIT_MS, so that a reader that moves does not
 * have more evicted than is needed. After that it is pinned: the watermarks are those of the budget without it, and
 * more is evicted only where that frees something. A reader that stands still costs what it leases, and no more.
 */
import type { Clock } from '../base/clock.ts'
import { StratalogError } from '../base/errors.ts'
import type { Metrics } from '../base/metrics.ts'
import type { EvictionPolicy } from '../format/manifest.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Patience } from '../log/only-in-ram.ts'
import type { MemoryAccount } from '../log/memory-account.ts'
import type { Eviction } from '../log/eviction.ts'
import type { Partition } from '../log/partition.ts'
import { AdmissionQueue, type Lack, WAIT_MAX_MS } from './admission.ts'
import { type DiskShortage, diskBudgetFull } from './disk-shortage.ts'
import { ExpirySweep } from './expiry.ts'
import { FreedRate } from './freed-rate.ts'
import { LingeringBatches } from './lingering.ts'
import { mayEvict, memoryOf } from './log-memory.ts'
import { LogQueue } from './log-queue.ts'
import { ReclaimCounts } from './reclaim-counts.ts'
import { evictFrom, freeableBytes, nextVictimTime } from './victims.ts'

/** Between the high and the low watermark, of the budget. */
const HYSTERESIS = 0.1
const IDLE_MS = 5
/** Appends wait no longer for a round that has given them room. */
const ROUND_MS_MAX = 20
/** What a log evicts at least before another one is looked at; copies are made for a part of a round at once. */
const TURN_BYTES_MIN = 1024 * 1024
const TURNS = 8

/** Of a batch that is copied without what expired; when that does not make room, it is copied for less. */
const EXPIRED_SHARE_MIN = 0.1

const REFUSES = 'the log evicts nothing'

export interface GovernorOptions {
  readonly pool: { readonly usedBytes: number }
  readonly maxBytes: number
  /** Fraction of a budget at which reclaiming starts. */
  readonly watermark: number
  readonly clock: Clock
  readonly metrics: Metrics
  readonly logs: () => Iterable<LiveLog>
  /** Flushes what can be flushed and drops what is proven below. */
  readonly relieve: () => Promise<void>
  /** Whether what could be flushed finds no room on disk. */
  readonly shortage: () => DiskShortage | null
}

interface Survey {
  /** Logs that can evict. */
  readonly candidates: LogQueue
  readonly hasFlushable: boolean
  /** What evicting all that can be would free at once; Infinity where nobody asked. */
  readonly freeable: number
  /** Nothing has a lower tier, which would have to be looked at in every round. */
  readonly isMemoryOnly: boolean
}

/** What the engine's batches take, and what they lost since it was opened. */
export interface MemoryUsage {
  readonly usedBytes: number
  readonly maxBytes: number
  readonly waitingAppends: number
  /** Policies that evicted nothing are left out. */
  readonly evictedRecords: Readonly<Partial<Record<EvictionPolicy, number>>>
  readonly evictedBatches: number
  readonly evictedBytes: number
  readonly expiredRecords: number
}

export class MemoryGovernor {
  readonly #options: GovernorOptions
  readonly #highBytes: number
  readonly #queue: AdmissionQueue
  readonly #expiry: ExpirySweep
  readonly #counts: ReclaimCounts
  readonly #freed: FreedRate
  readonly #lingering: LingeringBatches
  /** Of a round that left something to the next one: with 100,000 logs to look at most of a round is to find them. */
  #unfinished: Survey | null = null
  #isRelieving = false
  #isClosed = false
  /** A round found nothing while so many bytes were in use; it is not repeated before this monotonic time. */
  #idleBytes = -1
  #idleUntil = -Infinity

  constructor(options: GovernorOptions) {
    const { maxBytes, watermark, clock } = options
    this.#options = options
    this.#highBytes = maxBytes * watermark
    this.#lingering = new LingeringBatches(clock)
    this.#counts = new ReclaimCounts(options.metrics)
    this.#freed = new FreedRate(clock)
    this.#expiry = new ExpirySweep(clock, (partition, dropped) =>
      this.#noteExpired(partition, dropped),
    )
    this.#queue = new AdmissionQueue({
      clock,
      lackOf: (log, freeBytes) => this.#lackOf(log, freeBytes),
      reclaim: (log, freeBytes) => this.#reclaimFor(log, freeBytes),
      full: (log, reason) => this.#full(log, reason),
    })
  }

  get usedBytes(): number {
    return this.#options.pool.usedBytes
  }
  get maxBytes(): number {
    return this.#options.maxBytes
  }
  /** Fraction of the budget at which reclaiming starts. */
  get watermark(): number {
    return this.#options.watermark
  }

  usage(): MemoryUsage {
    const { usedBytes, maxBytes } = this
    return { usedBytes, maxBytes, waitingAppends: this.#queue.size, ...this.#counts.total }
  }

  /** The partition has come to hold records that expire. */
  watch(partition: Partition): void {
    this.#expiry.watch(partition)
  }

  /** Whether `admit` would say yes without a look at anything: below the watermarks, and nobody waits. */
  hasRoom(memory: MemoryAccount): boolean {
    return this.#queue.size === 0 && this.#isEasy(memory)
  }

  /**
   * Null when the append may go on at once, in this very stretch; else a promise of room. Who waits goes on in the
   * order of asking, and nobody passes who asks later. @throws through it `memory_full`, `disk_budget_full`,
   * `aborted`, `engine_closed`.
   */
  admit(log: LiveLog, partition: Partition | null, signal?: AbortSignal): Promise<void> | null {
    const memory = partition?.logMemory ?? memoryOf(log)
    const isEasy = this.#isEasy(memory)
    if (isEasy && this.#queue.size === 0) return null
    if (!isEasy) this.#reclaimFor(log, 1)
    const lack = this.#lackOf(log, 1)
    if (isRefusing(log)) return lack === null ? null : Promise.reject(this.#full(log, REFUSES))
    if (lack === null && !this.#queue.isBehind(log)) return null
    return this.#wait(log, 1, signal, 'last')
  }

  /**
   * For an append that takes `least` bytes or more, and found no room for the last `bytes` of what it has staged: lets
   * go of what can be at once, and says whether it is worth trying again. The append was admitted, so nobody who waits
   * comes before it. @throws StratalogError `append_too_large` when it never will be; nothing was evicted for it then.
   */
  makeRoom(log: LiveLog, bytes: number, least: number): boolean {
    const limit = this.#limitOf(log)
    if (least > limit) throw this.#tooLarge(log, least)
    // A column that grows in an open batch asks for more than the append takes; in a new batch it does not.
    const mayNeedLess = log.partitions.filter((partition) => partition.sealOpenBatch()).length > 0
    if (bytes > limit && !mayNeedLess) throw this.#tooLarge(log, bytes)
    const free = this.#freeBytes(log)
    let wanted = Math.max(mayNeedLess ? Math.min(bytes, limit / 4) : bytes, least)
    // What is free lies in holes that do not hold it.
    if (free >= wanted && !mayNeedLess) wanted = Math.min(limit, free + bytes)
    this.#reclaimFor(log, wanted)
    return this.#lackOf(log, wanted) === null
  }

  /**
   * Resolves when more is free than now, `bytes` at least. @throws StratalogError through the promise
   * `append_too_large`, `memory_full`, `aborted`, `engine_closed`.
   */
  async waitForRoom(log: LiveLog, bytes: number, signal?: AbortSignal): Promise<void> {
    const limit = this.#limitOf(log)
    const free = this.#freeBytes(log)
    if (free >= limit) throw this.#tooLarge(log, null)
    // It failed with what is free, so it takes more to be worth a try.
    const wanted = Math.min(limit, Math.max(bytes, free + 1))
    if (isRefusing(log)) throw this.#full(log, REFUSES, wanted)
    await this.#wait(log, wanted, signal, 'first')
  }

  /** Ends every wait; nothing is reclaimed any more. */
  close(): void {
    this.#isClosed = true
    this.#queue.close()
    this.#expiry.close()
  }

  #isEasy(memory: MemoryAccount): boolean {
    return this.#options.pool.usedBytes < this.#highBytes && memory.usedBytes < memory.highBytes
  }

  #lackOf(log: LiveLog, freeBytes: number): Lack {
    if (this.usedBytes + freeBytes > this.maxBytes) return 'engine'
    const memory = memoryOf(log)
    return memory.usedBytes + freeBytes > memory.maxBytes ? 'log' : null
  }

  /** Reclaims where the watermark is passed, or would be by `bytes` more than there is room for. */
  #reclaimFor(log: LiveLog, bytes: number): void {
    const { usedBytes, maxBytes } = this
    const memory = memoryOf(log)
    if (memory.usedBytes >= memory.highBytes || memory.usedBytes + bytes > memory.maxBytes)
      this.#reclaimOwn(log, memory, bytes)
    if (usedBytes >= this.#highBytes || usedBytes + bytes > maxBytes) this.#reclaim(bytes)
  }

  /** A log over its own budget lets go of its own. */
  #reclaimOwn(log: LiveLog, memory: MemoryAccount, bytes: number): void {
    if (!mayEvict(log)) return
    const { usedBytes, maxBytes, highBytes } = memory
    const { pinned, coming } = this.#lingering.of(memory)
    const { high, low } = watermarksOf(maxBytes, highBytes / maxBytes, pinned)
    if (usedBytes < high && usedBytes + bytes <= maxBytes) return
    this.#expiry.dropAll(0, log.partitions)
    const target = Math.min(low, maxBytes - bytes)
    if (pinned > 0) {
      const enough = memory.usedBytes + bytes > maxBytes ? maxBytes - bytes : high
      if (memory.usedBytes - coming - freeableBytes(log) > enough) return
    }
    for (;;) {
      const excess = memory.usedBytes - this.#lingering.of(memory).coming - target
      if (excess <= 0 || !this.#evictSome(log, excess)) return
    }
  }

  /**
   * What can be flushed is not lost, so it goes before what can only be evicted, as long as there is room meanwhile.
   */
  #reclaim(bytes: number): void {
    const { usedBytes, maxBytes } = this
    const { clock, watermark } = this.#options
    if (this.#isClosed) return
    const { pinned, coming } = this.#lingering.of(null)
    const { high, low } = watermarksOf(maxBytes, watermark, pinned)
    const target = Math.min(low, maxBytes - bytes)
    if (usedBytes - coming <= target) return
    if (usedBytes < high && usedBytes + bytes <= maxBytes) return
    if (usedBytes >= this.#idleBytes && clock.monotonic() < this.#idleUntil) return
    const survey = this.#unfinished ?? this.#survey(pinned > 0)
    this.#unfinished = null
    const { candidates, hasFlushable, freeable, isMemoryOnly } = survey
    const isPressing = this.usedBytes + bytes > maxBytes
    const isInVain = this.usedBytes - coming - freeable > (isPressing ? maxBytes - bytes : high)
    // Down to the low mark also when what expired was enough for now: or the next round would be due at once.
    if (!isInVain && (isPressing || (usedBytes >= high && !hasFlushable))) {
      const isDone = this.#evictDownTo(target, maxBytes - bytes, candidates)
      if (!isDone && isMemoryOnly && pinned === 0) this.#unfinished = survey
    }
    if (this.usedBytes + bytes > maxBytes) this.#expiry.dropAll(0)
    // An append that is wider than what lies between the watermark and the budget has no room below it either.
    const isShort = this.usedBytes >= high || this.usedBytes + bytes > maxBytes
    if (hasFlushable && isShort) this.#startRelief()
    if (this.usedBytes < usedBytes) return
    this.#idleBytes = this.usedBytes
    this.#idleUntil = clock.monotonic() + IDLE_MS
  }

  /** Drops what expired and what is proven below, and finds who could evict or flush. */
  #survey(isFreeableAsked: boolean): Survey {
    this.#expiry.dropAll(EXPIRED_SHARE_MIN)
    const candidates = new LogQueue()
    let hasFlushable = false
    let isMemoryOnly = true
    let freeable = isFreeableAsked ? 0 : Infinity
    for (const log of this.#options.logs()) {
      if (mayEvict(log)) {
        const time = nextVictimTime(log)
        if (time === Infinity) continue
        candidates.push(log, time)
        if (isFreeableAsked) freeable += freeableBytes(log)
        continue
      }
      isMemoryOnly = false
      for (const partition of log.partitions) {
        const before = partition.hotRecords
        if (before > 0) partition.dropHot(partition.flushedEnd)
        hasFlushable ||= partition.nextOffset > partition.flushedEnd
      }
    }
    return { candidates, hasFlushable, freeable, isMemoryOnly }
  }

  /**
   * Down to `target`; when that takes long, once there is room it leaves the rest to the round of a later append.
   * Whether there is nothing left to do.
   */
  #evictDownTo(target: number, enough: number, candidates: LogQueue): boolean {
    const { clock } = this.#options
    const until = clock.monotonic() + ROUND_MS_MAX
    const excess = (): number => this.usedBytes - this.#lingering.of(null).coming - target
    const turnBytes = Math.max(TURN_BYTES_MIN, excess() / TURNS)
    for (let left = excess(); left > 0; left = excess()) {
      if (this.usedBytes <= enough && clock.monotonic() > until) return false
      const log = candidates.pop()
      if (log === null) return true
      // A queue needs no plan: the next batch of the log may be younger than those of others.
      const turn = log.policy.evictionPolicy === 'fifo' ? 1 : turnBytes
      const wanted = candidates.size === 0 ? left : Math.min(left, turn)
      if (!this.#evictSome(log, wanted)) continue
      const time = nextVictimTime(log)
      if (time < Infinity) candidates.push(log, time)
    }
    return true
  }

  /** Whether the log let go of something. */
  #evictSome(log: LiveLog, wanted: number): boolean {
    // Its policy may have been changed since it was chosen.
    if (!mayEvict(log)) return false
    const memory = memoryOf(log)
    const evictions = evictFrom(log, wanted, this.#freeBytes(log))
    if (evictions.length === 0) return false
    this.#noteFreed(memory, evictions)
    this.#counts.evicted(log, evictions)
    return true
  }

  #noteExpired({ logMemory }: Partition, dropped: readonly Eviction[]): void {
    this.#noteFreed(logMemory, dropped)
    this.#counts.expired(
      logMemory.reclaimCounts,
      dropped.reduce((sum, { records }) => sum + records, 0),
    )
  }

  #noteFreed(memory: MemoryAccount, evictions: readonly Eviction[]): void {
    for (const { batch, bytes } of evictions) {
      this.#freed.add(bytes)
      if (batch.bytes > 0) this.#lingering.add(batch, memory)
    }
  }

  #startRelief(): void {
    if (this.#isRelieving) return
    this.#isRelieving = true
    const before = this.usedBytes
    void this.#options
      .relieve()
      .catch(() => {})
      .finally(() => {
        this.#isRelieving = false
        this.#freed.add(Math.max(0, before - this.usedBytes))
      })
  }

  /** What the budgets of the log have left. */
  #freeBytes(log: LiveLog): number {
    const memory = memoryOf(log)
    return Math.min(this.maxBytes - this.usedBytes, memory.maxBytes - memory.usedBytes)
  }

  /** What an append to the log can have at most, with nothing else in memory. */
  #limitOf(log: LiveLog): number {
    return Math.min(this.maxBytes, memoryOf(log).maxBytes)
  }

  #tooLarge(log: LiveLog, bytes: number | null): StratalogError {
    const { maxBytes } = this
    const own = memoryOf(log).maxBytes
    const limit = Math.min(own, maxBytes)
    const key = own < maxBytes ? 'storage.maxMemoryBytes' : 'maxMemoryBytes'
    const what = bytes === null ? 'more than' : `at least ${bytes} bytes, and`
    return new StratalogError(
      'append_too_large',
      `The append to '${log.name}' takes ${what} the ${limit} bytes that ${key} allows in all. Split it, or raise ${key}.`,
      { details: { log: log.name, bytes, limit, maxBytes } },
    )
  }

  patienceFor(log: LiveLog): Patience {
    const { clock } = this.#options
    const controller = new AbortController()
    const look = (): void => {
      if (this.#options.shortage() === null) timer = clock.setTimer(WAIT_MAX_MS, look)
      else controller.abort(this.#full(log, `no room came in ${WAIT_MAX_MS} ms`))
    }
    let timer = clock.setTimer(WAIT_MAX_MS, look)
    return { signal: controller.signal, end: () => timer.cancel() }
  }

  #wait(
    log: LiveLog,
    freeBytes: number,
    signal: AbortSignal | undefined,
    place: 'first' | 'last',
  ): Promise<void> {
    this.#options.metrics.count('stratalog_memory_waits_total', 1)
    return this.#queue.wait(log, freeBytes, signal, place)
  }

  /** Of an append that is refused now; counts it. @param bytes that there is no room for. */
  #full(log: LiveLog, reason: string, bytes = 1): StratalogError {
    const { usedBytes, maxBytes } = this
    this.#options.metrics.count('stratalog_memory_refusals_total', 1)
    const memory = memoryOf(log)
    const isOwn = this.#lackOf(log, bytes) === 'log'
    const [used, max] = isOwn ? [memory.usedBytes, memory.maxBytes] : [usedBytes, maxBytes]
    const retryAfterMs = this.#freed.msUntil(Math.max(1, used - max * this.#options.watermark))
    const shortage = isOwn ? null : this.#options.shortage()
    if (shortage !== null) return diskBudgetFull(log, shortage, reason, retryAfterMs)
    const key = isOwn ? 'storage.maxMemoryBytes' : 'maxMemoryBytes'
    return new StratalogError(
      'memory_full',
      `Memory is full: ${used} of ${max} bytes are in use, and ${reason}. Retry later, or raise ${key}.`,
      {
        details: { log: log.name, usedBytes: used, maxBytes: max, retryAfterMs },
      },
    )
  }
}

function isRefusing(log: LiveLog): boolean {
  return log.policy.mode === 'memory' && log.policy.evictionPolicy === 'reject'
}

/** Of the budget without what is pinned. The low one is half of the high one where there is no tenth below it. */
function watermarksOf(
  maxBytes: number,
  watermark: number,
  pinned: number,
): { readonly high: number; readonly low: number } {
  const rest = Math.max(0, maxBytes - pinned)
  const low = Math.max(watermark / 2, watermark - HYSTERESIS)
  return { high: pinned + rest * watermark, low: pinned + rest * low }
}
