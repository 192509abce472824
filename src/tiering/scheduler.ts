/**
 * The scheduler: asks the policy what to move and has the executors move it, round by round.
 *
 * - One move at a time in a partition; partitions move side by side, within a limit.
 * - Each partition fails alone: its error is kept for `status`, and it is tried again after a growing pause.
 * - A round ends with one checkpoint for the whole engine, after which the WAL may let go of what was flushed.
 */
import type { Timer } from '../base/clock.ts'
import { isStratalogError } from '../base/errors.ts'
import { Mutex } from '../base/mutex.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import type { TierMove, TieringContext } from './context.ts'
import { commitCheckpoint } from './checkpoint.ts'
import { dropDiskCopies } from './evict.ts'
import { flushPartition } from './flush.ts'
import {
  type PartitionFacts,
  type PartitionPlan,
  type TieringInput,
  nextDueMs,
  planTiering,
} from './policy.ts'
import { uploadSegments } from './upload.ts'

/**
 * An idle scheduler looks this often whether something has come due: the least delay that policies are honoured within.
 */
const LOOK_INTERVAL_MS = 250
/** Partitions that move at the same time. */
const PARALLEL_MOVES = 2
const RETRY_DELAY_MIN_MS = 1_000
const RETRY_DELAY_MAX_MS = 60_000

/** Which tier `now` brings everything to. */
export type TierTarget = 'disk' | 'object'

/**
 * A snapshot pins records in the archive whatever their log's mode; otherwise a log moves only to tiers that it has.
 */
export interface NowOptions {
  readonly forSnapshot?: boolean
}

export interface TierReport {
  readonly moved: readonly TierMove[]
  /** Segments and batches that are still above the asked tier. */
  readonly pending: number
  /** Partitions that could not move, with why. */
  readonly failed: readonly {
    readonly log: string
    readonly partition: number
    readonly code: string
    readonly message: string
  }[]
}

interface Backoff {
  readonly until: number
  readonly delayMs: number
}

export class TieringScheduler {
  readonly #context: TieringContext
  readonly #rounds = new Mutex()
  readonly #partitions = new WeakMap<Partition, Mutex>()
  readonly #backoff = new WeakMap<Partition, Backoff>()
  #timer: Timer | null = null
  #isPaused = false
  #isClosed = false

  constructor(context: TieringContext) {
    this.#context = context
  }

  /** Begins to look for work; nothing moves before. */
  start(): void {
    if (this.#timer === null && !this.#isClosed) this.#arm()
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  /** One round: everything that is due now. Rounds never overlap. */
  run(): Promise<readonly TierMove[]> {
    return this.#rounds.run(async () => {
      const plans = planTiering(this.#input()).filter((plan) => !this.#isBackingOff(plan))
      const moves = await this.#runAll(plans.map((plan) => () => this.#execute(plan)))
      if (plans.length > 0) await this.#checkpoint()
      return moves.flat()
    })
  }

  /**
   * Brings all that was appended before the call to `target`, whatever its age; returns when it is there or has failed.
   */
  now(logs: readonly LiveLog[], target: TierTarget, options: NowOptions = {}): Promise<TierReport> {
    return this.#rounds.run(async () => {
      const failed: { log: string; partition: number; code: string; message: string }[] = []
      const steps = logs.flatMap((log) => log.partitions.map((partition) => ({ log, partition })))
      const moves = await this.#runAll(
        steps.map(({ log, partition }) => async () => {
          try {
            return await this.#moveDown(log, partition, lowestTier(log, target, options))
          } catch (error) {
            const code = isStratalogError(error) ? error.code : 'internal'
            failed.push({
              log: log.name,
              partition: partition.partition,
              code,
              message: this.#failed(partition, error),
            })
            return []
          }
        }),
      )
      await this.#checkpoint()
      const pending = steps.reduce(
        (sum, { log, partition }) =>
          sum + pendingFor(log, partition, lowestTier(log, target, options)),
        0,
      )
      return { moved: moves.flat(), pending, failed }
    })
  }

  /** Under memory pressure: flushes what has a lower tier to go to and drops every RAM copy that is proven below. */
  relieve(): Promise<void> {
    return this.#rounds.run(async () => {
      const steps: (() => Promise<readonly TierMove[]>)[] = []
      for (const log of this.#context.logs()) {
        if (log.policy.mode === 'memory') continue
        const target = log.policy.localDisk ? 'disk' : 'object'
        for (const partition of log.partitions) {
          steps.push(async () => {
            const moves = await this.#guarded(log, partition, () =>
              flushPartition(this.#context, log, partition, target),
            )
            partition.dropHot(partition.flushedEnd)
            return moves
          })
        }
      }
      await this.#runAll(steps)
      await this.#checkpoint()
    })
  }

  /** Stops looking, and waits for a round that runs. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#rounds.run(async () => {})
  }

  #arm(): void {
    this.#timer = this.#context.clock.setTimer(LOOK_INTERVAL_MS, () => {
      if (this.#isClosed) return
      this.#arm()
      if (this.#isPaused || nextDueMs(this.#input()) > 0) return
      this.run().catch((error: unknown) => {
        this.#context.logger.error('A tiering round failed.', { reason: String(error) })
      })
    })
  }

  #input(): TieringInput {
    const partitions: PartitionFacts[] = []
    for (const log of this.#context.logs()) {
      for (const partition of log.partitions) {
        partitions.push({
          logId: log.id,
          partition: partition.partition,
          policy: log.policy,
          flushedEnd: partition.flushedEnd,
          batches: partition.batches,
          segments: partition.segments,
        })
      }
    }
    return {
      now: this.#context.clock.now(),
      hasArchive: this.#context.archive !== null,
      partitions,
    }
  }

  async #execute(plan: PartitionPlan): Promise<readonly TierMove[]> {
    const log = [...this.#context.logs()].find((candidate) => candidate.id === plan.logId)
    const partition = log?.partitions[plan.partition]
    if (log === undefined || partition === undefined) return []
    return this.#guarded(log, partition, async () => {
      const moves: TierMove[] = []
      if (plan.flush !== null)
        moves.push(...(await flushPartition(this.#context, log, partition, plan.flush)))
      if (plan.upload.length > 0)
        moves.push(...(await uploadSegments(this.#context, log, partition, plan.upload)))
      if (plan.dropHotTo > 0) partition.dropHot(plan.dropHotTo)
      if (plan.dropDisk.length > 0)
        moves.push(...(await dropDiskCopies(this.#context, log, partition, plan.dropDisk)))
      return moves
    })
  }

  #moveDown(log: LiveLog, partition: Partition, target: TierTarget): Promise<readonly TierMove[]> {
    if (log.policy.mode === 'memory') return Promise.resolve([])
    return this.#lockOf(partition).run(async () => {
      const flushTo = log.policy.localDisk ? 'disk' : 'object'
      const moves = [...(await flushPartition(this.#context, log, partition, flushTo))]
      if (target === 'object') {
        const waiting = partition.segments.filter((segment) => segment.object === null)
        const offsets = waiting.map((segment) => segment.baseOffset)
        if (offsets.length > 0)
          moves.push(...(await uploadSegments(this.#context, log, partition, offsets)))
      }
      partition.lastError = null
      return moves
    })
  }

  /** Runs one partition's move; a failure is kept with the partition and waits longer each time. */
  async #guarded(
    log: LiveLog,
    partition: Partition,
    move: () => Promise<readonly TierMove[]>,
  ): Promise<readonly TierMove[]> {
    try {
      const moves = await this.#lockOf(partition).run(move)
      this.#backoff.delete(partition)
      partition.lastError = null
      return moves
    } catch (error) {
      this.#failed(partition, error)
      const delayMs = Math.min(
        RETRY_DELAY_MAX_MS,
        (this.#backoff.get(partition)?.delayMs ?? RETRY_DELAY_MIN_MS / 2) * 2,
      )
      this.#backoff.set(partition, { until: this.#context.clock.monotonic() + delayMs, delayMs })
      this.#context.logger.warn('A tier move failed and will be tried again.', {
        log: log.name,
        partition: partition.partition,
        reason: partition.lastError,
        retryMs: delayMs,
      })
      return []
    }
  }

  #failed(partition: Partition, error: unknown): string {
    const message = error instanceof Error ? error.message : String(error)
    partition.lastError = message
    this.#context.metrics.count('stratalog_tier_failures_total', 1)
    return message
  }

  #isBackingOff(plan: PartitionPlan): boolean {
    for (const log of this.#context.logs()) {
      if (log.id !== plan.logId) continue
      const partition = log.partitions[plan.partition]
      const until = partition === undefined ? undefined : this.#backoff.get(partition)?.until
      return until !== undefined && until > this.#context.clock.monotonic()
    }
    return false
  }

  #lockOf(partition: Partition): Mutex {
    const known = this.#partitions.get(partition)
    if (known !== undefined) return known
    const lock = new Mutex()
    this.#partitions.set(partition, lock)
    return lock
  }

  async #checkpoint(): Promise<void> {
    try {
      await commitCheckpoint(this.#context)
    } catch (error) {
      this.#context.logger.warn(
        'The checkpoint could not be committed; recovery starts further back.',
        {
          reason: String(error),
        },
      )
    }
  }

  async #runAll(
    steps: readonly (() => Promise<readonly TierMove[]>)[],
  ): Promise<readonly (readonly TierMove[])[]> {
    const results: (readonly TierMove[])[] = []
    const queue = [...steps]
    const work = async (): Promise<void> => {
      for (let step = queue.shift(); step !== undefined; step = queue.shift())
        results.push(await step())
    }
    await Promise.all(Array.from({ length: Math.min(PARALLEL_MOVES, steps.length) }, work))
    return results
  }
}

function lowestTier(
  log: LiveLog,
  target: TierTarget,
  { forSnapshot = false }: NowOptions,
): TierTarget {
  return log.policy.mode === 'persistent' && !forSnapshot ? 'disk' : target
}

function pendingFor(log: LiveLog, partition: Partition, target: TierTarget): number {
  if (log.policy.mode === 'memory') return 0
  const inRam = partition.batches.filter((batch) => batch.endOffset > partition.flushedEnd).length
  const onDisk =
    target === 'object' ? partition.segments.filter((segment) => segment.object === null).length : 0
  return inRam + onDisk
}
