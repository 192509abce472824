/** Records that wait in RAM because the disk's budget has no room for them, and what is said to who appends more. */
import { StratalogError } from '../base/errors.ts'
import { formatBytes } from '../base/units.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import type { TierFailure, TieringContext } from './context.ts'
import { type DiskFacts, isFlushHeld } from './disk-pressure.ts'

export interface DiskShortage {
  readonly disk: DiskFacts
  readonly hasArchive: boolean
}

/** Whether a partition has records for the disk, and none of them fit. */
export function isWaitingForDisk({ diskBudget }: TieringContext, partition: Partition): boolean {
  const { batches, flushedEnd, nextOffset } = partition
  return nextOffset > flushedEnd && isFlushHeld(diskBudget.facts(), batches, flushedEnd)
}

/** Why records of these partitions are not below, where no other failure says so: there is a budget. */
export function diskFailures(
  context: TieringContext,
  steps: readonly { readonly log: LiveLog; readonly partition: Partition }[],
  others: readonly TierFailure[],
): readonly TierFailure[] {
  const { usedBytes, maxBytes } = context.diskBudget.facts()
  if (maxBytes === Infinity) return []
  const isTold = (log: string, partition: number): boolean =>
    others.some((failure) => failure.log === log && failure.partition === partition)
  const message = `Segments take ${formatBytes(usedBytes)} of the ${formatBytes(maxBytes)} of maxDiskBytes: its records wait in RAM for room.`
  return steps
    .filter(({ log, partition }) => !isTold(log.name, partition.partition))
    .map(({ log: { name }, partition: { partition } }) => ({
      log: name,
      partition,
      code: 'disk_budget_full',
      message,
    }))
}

/** Null while the disk takes what is flushed. */
export function diskShortage(context: TieringContext): DiskShortage | null {
  const disk = context.diskBudget.facts()
  if (disk.roomBytes === Infinity) return null
  for (const { policy, partitions } of context.logs()) {
    if (policy.mode === 'memory' || !policy.localDisk) continue
    if (partitions.some((partition) => isWaitingForDisk(context, partition)))
      return { disk, hasArchive: context.archive !== null }
  }
  return null
}

/** Of an append that found RAM full of what waits for the disk. */
export function diskBudgetFull(
  { name }: LiveLog,
  { disk: { usedBytes, maxBytes }, hasArchive }: DiskShortage,
  reason: string,
  retryAfterMs: number,
): StratalogError {
  const advice = hasArchive
    ? 'Uploads make room: retry later, look at the upload lag in the status, or raise maxDiskBytes.'
    : 'Without an archive nothing makes room but retention: raise maxDiskBytes, set retention or retentionBytes, or open the engine with an archive.'
  return new StratalogError(
    'disk_budget_full',
    `Segments take ${formatBytes(usedBytes)} of the ${formatBytes(maxBytes)} of maxDiskBytes, RAM is full of records that wait for room there, and ${reason}. ${advice}`,
    { details: { log: name, usedBytes, maxBytes, retryAfterMs } },
  )
}
