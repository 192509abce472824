/**
 * Keeps recovery within the memory budget, however long the WAL is: what came back into RAM and is proven durable is
 * flushed while the rest is still being read.
 *
 * It is the flush of every day (`flush.ts`), in its order, so a recovery that is killed in the middle of it left
 * segments that the manifest names, whose records the next recovery passes over, and orphans that it removes. Records
 * that are not proven durable stay in RAM: they are those of the last group before a crash.
 */
import { isStratalogError } from '../base/errors.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import type { TieringContext } from './context.ts'
import { flushPartition } from './flush.ts'

/** Down to this part of what is too much, so that segments do not get small. */
const LOW_PART = 0.25
/** After a round that freed little, the next one comes when so much of the budget has been added. */
const STEP_PART = 0.05

export interface ReliefBudget {
  readonly usedBytes: number
  readonly maxBytes: number
  /** Fraction of it at which relief starts. */
  readonly watermark: number
}

interface Step {
  readonly log: LiveLog
  readonly partition: Partition
}

export class RecoveryRelief {
  readonly #context: TieringContext
  readonly #budget: () => ReliefBudget
  #usedAfter = 0
  #isArchiveAway = false

  /** `context` has no WAL yet: what is durable is what the partitions say. */
  constructor(context: TieringContext, budget: () => ReliefBudget) {
    this.#context = context
    this.#budget = budget
  }

  get isNeeded(): boolean {
    const { usedBytes, maxBytes, watermark } = this.#budget()
    return usedBytes > maxBytes * watermark && usedBytes > this.#usedAfter + maxBytes * STEP_PART
  }

  /** @throws StratalogError of the disk: without room on it recovery could not keep to the budget. */
  async run(): Promise<void> {
    const { maxBytes, watermark } = this.#budget()
    const low = maxBytes * watermark * LOW_PART
    for (const step of this.#biggestFirst()) {
      if (this.#budget().usedBytes <= low) break
      await this.#flush(step)
      step.partition.dropHot(step.partition.flushedEnd)
    }
    this.#usedAfter = this.#budget().usedBytes
  }

  #biggestFirst(): readonly Step[] {
    const steps: Step[] = []
    for (const log of this.#context.logs()) {
      if (log.policy.mode === 'memory') continue
      for (const partition of log.partitions)
        if (partition.durableEnd > partition.flushedEnd) steps.push({ log, partition })
    }
    return steps.sort((a, b) => b.partition.hotBytes - a.partition.hotBytes)
  }

  async #flush({ log, partition }: Step): Promise<void> {
    if (log.policy.localDisk) {
      await flushPartition(this.#context, log, partition, 'disk')
      return
    }
    if (this.#isArchiveAway || this.#context.archive === null) return
    try {
      await flushPartition(this.#context, log, partition, 'object')
    } catch (error) {
      if (!isStratalogError(error) || error.code !== 'store_unavailable') throw error
      this.#isArchiveAway = true
      this.#context.logger.warn(
        'The archive cannot be reached: records of logs without a local disk stay in RAM, beyond the budget if need be.',
        { reason: error.message },
      )
    }
  }
}
