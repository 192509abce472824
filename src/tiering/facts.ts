import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import type { PartitionFacts } from './policy.ts'

/** A partition as the policy sees it. */
export function partitionFacts(
  { id, policy }: LiveLog,
  partition: Partition,
  isArchiveBehind = false,
): PartitionFacts {
  // To count segments takes a while, and is of use only where they go by their age or size.
  const isRetiring = policy.retention !== null || policy.retentionBytes !== null
  return {
    logId: id,
    partition: partition.partition,
    policy,
    flushedEnd: partition.flushedEnd,
    totals: isRetiring ? partition.segmentTotals : null,
    isArchiveBehind,
    owedEnd: partition.owedEnd,
    batches: partition.batches,
    segments: partition.segments,
  }
}
