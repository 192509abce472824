import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import { notedIn } from './committed.ts'
import type { TieringContext } from './context.ts'

/**
 * Notes in the local manifest that the offsets below `end` were given, before the archive gets records of a log that
 * has no WAL. An engine that is opened while the archive is away does not see those records, and would give their
 * offsets to others, which the archive would refuse from then on.
 */
export async function reserveOffsets(
  { disk }: TieringContext,
  log: LiveLog,
  partition: Partition,
  end: number,
): Promise<void> {
  if (log.policy.wal) return
  await disk?.manifest.commit((state) => {
    const known = notedIn(state, log, partition.partition)?.denseFrom ?? 0
    if (known >= end) return []
    const place = { logId: log.id, partition: partition.partition }
    return [{ kind: 'offsets-dense-from', ...place, offset: end }]
  })
}
