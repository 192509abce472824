/** Snapshots of memory-mode logs: what is in RAM goes to the archive, and stays in RAM. */
import { present } from '../base/assert.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import type { TierMove, TieringContext } from './context.ts'
import { archiveBatches } from './flush.ts'
import { groupForSegments } from './segment-groups.ts'

/** Archives the records below `end` that the archive does not have yet. */
export async function archiveMemory(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  end: number,
): Promise<readonly TierMove[]> {
  const archive = present(context.archive, 'a snapshot needs an archive')
  const manifest = await archive.manifest()
  const archived =
    manifest.state.logs.get(log.id)?.partitions[partition.partition]?.segments.at(-1)?.endOffset ??
    0
  if (end <= archived) return []
  partition.sealOpenBatch()
  const batches = partition.leaseSealed(archived, partition.nextOffset)
  try {
    const moves: TierMove[] = []
    for (const group of groupForSegments(batches)) {
      const segment = await archiveBatches(context, log, partition, group)
      moves.push({
        log: log.name,
        partition: partition.partition,
        from: segment.baseOffset,
        to: segment.endOffset,
        fromTier: 'memory',
        toTier: 'object',
        bytes: segment.length,
      })
    }
    return moves
  } finally {
    for (const batch of batches) batch.release()
  }
}
