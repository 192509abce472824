/**
 * Logging again what is in RAM and in no WAL any more: appends that were acknowledged in memory when the WAL failed,
 * and those of others between them. One frame for each append, as before, in the order of before; the schemas that
 * their frames need come first.
 */
import type { AckQueue, KeptAppend } from './ack-queue.ts'
import type { LiveLog } from './live-log.ts'
import type { Partition } from './partition.ts'

/** In one synchronous stretch; `cutLsn` is where the WAL before ended. */
export function relog(
  logs: Iterable<LiveLog>,
  kept: readonly KeptAppend<Partition>[],
  cutLsn: number,
  acks: AckQueue<Partition>,
): void {
  const byId = new Map<number, LiveLog>()
  for (const log of logs) {
    byId.set(log.id, log)
    for (const schema of log.hasWal ? log.schemasAbove(cutLsn) : [])
      log.logSchema(schema, log.definition.createdAt)
  }
  const ends = new Map<Partition, number>()
  for (const { listener: partition, endOffset } of kept) {
    const start = ends.get(partition) ?? partition.durableEnd
    // A retry waited for the same records, or what followed in a log that has no WAL by now took them along.
    if (endOffset <= start) continue
    ends.set(partition, endOffset)
    // One that was deleted meanwhile is not there.
    const log = byId.get(partition.logId)
    if (log !== undefined)
      acks.note(log.logAgain(partition, start, endOffset), partition, endOffset)
  }
}
