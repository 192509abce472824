/**
 * Retire: what is older, or more, than a log keeps is gone from every tier.
 *
 * 1. commit to the local manifest where the partition begins from now on; readers begin there at once;
 *    (a crash here leaves files that no manifest names, which the next open removes, and an archive that knows of
 *    more: the next round tells it)
 * 2. remove the files, each when its last reader lets go;
 * 3. commit the same to the archive's manifest, which keeps the objects in mind: snapshots may still name them.
 *    `collect.ts` removes them.
 */
import { present } from '../base/assert.ts'
import { recordsIn } from '../format/segment-entry.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import { commitLocal } from './commit.ts'
import { notedIn } from './committed.ts'
import type { TieringContext } from './context.ts'
import { isCompacting, settleCompaction } from './compact.ts'
import { removeFiles } from './evict.ts'
import { isArchivedAround } from './policy.ts'
import { changingSegments } from './one-at-a-time.ts'

/** What ends at or below `startOffset`, which is where a segment ends, is gone from RAM and disk. */
export async function retirePartition(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  startOffset: number,
): Promise<void> {
  // The lane of the disk does not wait for the archive; the next round looks again.
  if (isCompacting(partition)) return
  await settleCompaction(context, log, partition)
  await changingSegments(partition, () => retireNow(context, log, partition, startOffset))
}

async function retireNow(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  startOffset: number,
): Promise<void> {
  // Segments may have become one since the policy looked.
  if (!partition.segments.some(({ endOffset }) => endOffset === startOffset)) return
  // The archive may have one segment from before the new start to behind it: it is asked first, in its own lane, by an
  // engine that was opened with it.
  const isSure = context.archive?.isSure ?? false
  if (!isSure && isArchivedAround(partition.segments, startOffset)) return
  const disk = present(context.disk, 'a log that keeps its records so long has a disk')
  const number = partition.partition
  await commitLocal(context, (state) => {
    // A commit that was answered with an error may have been done.
    if ((notedIn(state, log, number)?.startOffset ?? Infinity) >= startOffset) return []
    const place = { logId: log.id, partition: number }
    return [{ kind: 'start-moved', ...place, startOffset, retiredAt: null }]
  })
  const retired = partition.retireTo(startOffset)
  const records = retired.reduce((sum, segment) => sum + recordsIn(segment), 0)
  context.metrics.count('stratalog_retired_records_total', records, { log: log.name })
  context.logger.info('Records that are older, or more, than their log keeps are gone.', {
    log: log.name,
    partition: number,
    startOffset,
    records,
  })
  removeFiles(
    context,
    disk,
    retired.flatMap((segment) => segment.disk ?? []),
  )
}

/** Tells the archive where the partitions of a log begin. */
export async function retireArchived(context: TieringContext, log: LiveLog): Promise<void> {
  await present(context.archive, 'an archive is told').commitStarts(log, context.round)
}

/** Of a fork that the archive was not told of: what it shares has objects already, and nothing else brings it there. */
export async function tellShared(
  context: TieringContext,
  log: LiveLog,
  partition: number,
): Promise<void> {
  const { archive } = context
  if (archive === null || log.definition.origins === undefined) return
  await archive.manifest()
  if (archive.isBehind(log, partition)) await retireArchived(context, log)
}
