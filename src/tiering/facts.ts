import type { LiveLog } from '../log/live-log.ts'
import { sharedEnd } from '../log/segment-origin.ts'
import type { Partition } from '../log/partition.ts'
import type { ArchiveWriter } from './archive-writer.ts'
import type { CompactionScope } from './compaction-plan.ts'
import { lastLook } from './latest-looks.ts'
import type { PartitionFacts } from './policy.ts'

interface FactsAround {
  /** No record below that LSN may lie in RAM only. */
  readonly walDueBelow?: number
  /** Its last move to the archive failed, and is not tried again yet. */
  readonly isFailing?: boolean
  /** Only what a budget asks for moves. */
  readonly isPaused?: boolean
  /** The directory was restored without its bytes, and is filled. */
  readonly isFilling?: boolean
}

/** A partition as the policy sees it. */
export function partitionFacts(
  log: LiveLog,
  partition: Partition,
  archive: ArchiveWriter | null = null,
  { walDueBelow = 0, isFailing = false, isPaused = false, isFilling = false }: FactsAround = {},
): PartitionFacts {
  // To count segments takes a while, and is of use only where they go by their age or size.
  const { id, policy } = log
  const isRetiring = policy.retention !== null || policy.retentionBytes !== null
  return {
    logId: id,
    partition: partition.partition,
    policy,
    flushedEnd: partition.flushedEnd,
    totals: isRetiring ? partition.segmentTotals : null,
    isArchiveBehind: archive?.isBehind(log, partition.partition) ?? false,
    compaction: compactionScope(log, partition.partition, archive),
    ...(policy.keep === 'latest'
      ? { hotStart: partition.hotStart, look: lastLook(partition) }
      : {}),
    isArchiveSure: archive?.isSure ?? false,
    owedEnd: partition.owedEnd,
    isWalDue: log.usesWal && partition.firstUnflushedLsn < walDueBelow,
    isFailing,
    isPaused,
    batches: partition.batches,
    segments: partition.segments,
    isFilling,
  }
}

/**
 * An upload that was answered with an error may have been done: the archive would know a segment by itself that the
 * disk has no more. So what is on disk only waits until that is sure.
 */
export function compactionScope(
  { policy, definition }: LiveLog,
  partition: number,
  archive: ArchiveWriter | null,
): CompactionScope {
  const from = sharedEnd(definition, partition)
  return archive === null
    ? { onDisk: policy.archiveAfter === null, archived: false, from }
    : { onDisk: archive.isSure, archived: true, archives: policy.archiveAfter !== null, from }
}
