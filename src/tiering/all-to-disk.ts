/** Brings all that the WAL holds into segments on this machine's disk, so that recovery needs none of it. */
import { present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import { commitCheckpoint } from './checkpoint.ts'
import type { TieringContext } from './context.ts'
import { flushPartition } from './flush.ts'

/**
 * For an engine that takes no appends. @throws StratalogError `wal_corrupt` of a damaged log, and what the disk throws.
 */
export async function bringAllToDisk(context: TieringContext): Promise<void> {
  const { disk, wal } = context
  const { manifest } = present(disk, 'an engine with a disk')
  for (const log of context.logs()) {
    if (log.refusal !== null) throw log.refusal
    for (const partition of log.partitions) await flushPartition(context, log, partition, 'disk')
  }
  await commitCheckpoint(context)
  const { appendedLsn } = present(wal, 'an engine that writes has a WAL')
  if (manifest.state.walLsn === appendedLsn) return
  throw new StratalogError(
    'file_system_failed',
    `The WAL is still needed from LSN ${manifest.state.walLsn} to ${appendedLsn}.`,
    { details: { walLsn: manifest.state.walLsn, appendedLsn } },
  )
}
