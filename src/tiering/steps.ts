/** What a round of the scheduler goes through, and what came of it. */
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import type { TierFailure, TierMove, TieringContext } from './context.ts'
import type { PartitionPlan } from './policy.ts'

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
  readonly failed: readonly TierFailure[]
}

export type LaneName = 'local' | 'remote'

export interface Step {
  readonly log: LiveLog
  readonly partition: Partition
}

/** The context names the round that the move is a step of. */
export type Move = (step: Step, context: TieringContext) => Promise<readonly TierMove[]>

/** Of one step: what moved, or why nothing did. */
export type Outcome = { readonly moves: readonly TierMove[] } | { readonly failure: TierFailure }

/**
 * Partitions of logs that have a tier below RAM, or had one when their records came; for a snapshot also those of logs
 * in RAM that have segments which the archive does not.
 */
export function stepsOf(logs: Iterable<LiveLog>, forSnapshot = false): readonly Step[] {
  const steps: Step[] = []
  for (const log of logs) {
    const isInRam = log.policy.mode === 'memory'
    for (const partition of log.partitions) {
      const isWanted = !isInRam || partition.isOwing || (forSnapshot && lacksObjects(partition) > 0)
      if (isWanted) steps.push({ log, partition })
    }
  }
  return steps
}

/** A log in RAM flushes nothing but what it owes. */
export function isFlushed({ log, partition }: Step): boolean {
  return log.policy.mode !== 'memory' || partition.isOwing
}

/** Where a flush of all that is there now ends. */
export function flushEnd({ log, partition }: Step): number {
  return log.policy.mode === 'memory' ? partition.owedEnd : partition.nextOffset
}

export function flushesToDisk({ log }: Step): boolean {
  return log.policy.localDisk
}

export function hasPart(name: LaneName, plan: PartitionPlan): boolean {
  if (name === 'local') return plan.flush === 'disk' || plan.retireTo > 0
  const counts = [plan.upload, plan.dropDisk, plan.recall].map(({ length }) => length)
  const isForced = plan.retireArchived || plan.compact !== null || plan.keepLatest
  return plan.flush === 'object' || isForced || counts.some((count) => count > 0)
}

export function movesOf(outcomes: readonly Outcome[]): readonly TierMove[] {
  return outcomes.flatMap((outcome) => ('moves' in outcome ? outcome.moves : []))
}

export function failuresOf(outcomes: readonly Outcome[]): readonly TierFailure[] {
  return outcomes.flatMap((outcome) => ('failure' in outcome ? [outcome.failure] : []))
}

export function hasFailed({ log, partition }: Step, failures: readonly TierFailure[]): boolean {
  return failures.some(
    (failure) => failure.log === log.name && failure.partition === partition.partition,
  )
}

export function lowestTier(
  log: LiveLog,
  target: TierTarget,
  { forSnapshot = false }: NowOptions,
): TierTarget {
  return log.policy.mode !== 'hybrid' && !forSnapshot ? 'disk' : target
}

function lacksObjects({ segments }: Partition): number {
  return segments.length - segments.countHaving('object')
}

export function pendingFor(step: Step, target: TierTarget): number {
  const { partition } = step
  const inRam = !isFlushed(step)
    ? 0
    : partition.batches.filter((batch) => batch.endOffset > partition.flushedEnd).length
  const onDisk = target === 'object' ? lacksObjects(partition) : 0
  return inRam + onDisk
}
