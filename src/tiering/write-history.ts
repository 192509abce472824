/**
 * History that comes to a log from elsewhere and leaves offsets out, as older versions of keys are gone from it. A log
 * with a lower tier has no holes in RAM, nor in its WAL: such records go straight into a segment, which may be sparse.
 *
 * 1. what RAM has of the partition is flushed, so that segments end where the new one begins;
 * 2. the file is written as by a flush; (a crash here leaves a file that no manifest names; the next open removes it)
 * 3. commit the manifest edit; the next offset is the one behind.
 */
import { StratalogError } from '../base/errors.ts'
import { type OffsetRows, writtenRows } from '../format/sparse-rows.ts'
import type { SparseRange } from '../format/segment.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import { commitLocal } from './commit.ts'
import { hasSegment } from './committed.ts'
import type { TieringContext } from './context.ts'
import { flushPartition, writeToDisk } from './flush.ts'
import { oneAtATime } from './one-at-a-time.ts'

/**
 * @param rows at least one, in the newest schema of the log.
 * @param range what they stand for; it begins at the partition's next offset.
 * @throws StratalogError `offset_unexpected` where somebody else has appended, and what the disk throws.
 */
export async function writeHistory(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  rows: readonly OffsetRows[],
  range: SparseRange,
): Promise<void> {
  await flushPartition(context, log, partition, 'disk')
  await oneAtATime(partition, async () => {
    const { nextOffset, flushedEnd } = partition
    if (nextOffset !== range.baseOffset || flushedEnd !== nextOffset) {
      throw new StratalogError(
        'offset_unexpected',
        `Log '${log.name}', partition ${partition.partition}: records were to go on at offset ${range.baseOffset}, and the next one is ${nextOffset}.`,
        { details: { log: log.name, partition: partition.partition, actual: nextOffset } },
      )
    }
    const filling = { log, partition, ...writtenRows(rows, range), producers: undefined }
    const segment = await writeToDisk(context, filling)
    const place = { logId: log.id, partition: partition.partition }
    await commitLocal(context, (state) =>
      hasSegment(state, log, partition.partition, segment)
        ? []
        : [{ kind: 'segment-added', ...place, segment }],
    )
    partition.addSegment(segment)
    partition.skipTo(range.endOffset)
    if (segment.disk !== null) context.diskBudget.named(segment.disk.object)
  })
}
