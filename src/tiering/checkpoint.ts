/**
 * The checkpoint: the LSN that recovery starts from. It is the least LSN that some partition still has only in RAM, taken
 * in one synchronous stretch, and it is committed, with every schema that the manifest does not have yet, before the WAL
 * lets go of anything below it.
 */
import type { ManifestEdit } from '../format/manifest.ts'
import type { TieringContext } from './context.ts'
import { missingSchemas } from './flush.ts'

export async function commitCheckpoint(context: TieringContext): Promise<void> {
  const { disk, wal } = context
  if (disk === null || wal === null) return
  let walLsn = wal.durableLsn
  const edits: ManifestEdit[] = []
  for (const log of context.logs()) {
    if (!log.policy.wal) continue
    edits.push(...missingSchemas(disk, log))
    for (const partition of log.partitions) walLsn = Math.min(walLsn, partition.firstUnflushedLsn)
  }
  if (walLsn <= disk.manifest.state.walLsn) return
  await disk.manifest.commit([...edits, { kind: 'checkpoint', walLsn }])
  wal.release(walLsn)
}
