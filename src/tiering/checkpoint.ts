/**
 * The checkpoint: the LSN that recovery starts from. It is the least LSN that some partition still has only in RAM,
 * taken in one synchronous stretch, and it is committed, with every schema that the manifest does not have yet, before
 * the WAL lets go of anything below it. It does not pass a damaged frame that costs records of a log that is there.
 */
import { present } from '../base/assert.ts'
import type { ManifestEdit, ManifestState } from '../format/manifest.ts'
import type { TieringContext } from './context.ts'
import { missingSchemas } from './flush.ts'
import { endsAreSure, unsureEdits } from './unsure-ends.ts'

export async function commitCheckpoint(context: TieringContext): Promise<void> {
  const { disk, wal } = context
  if (disk === null || wal === null) return
  const state = await disk.manifest.commit((current) => checkpointEdits(context, current))
  endsAreSure(disk, state)
  wal.release(state.walLsn)
}

/** Records that pin the WAL longer than this part of what it may keep go too, so that it is not too much again soon. */
const WAL_LOW_PART = 0.5

/**
 * The LSN below which no record may lie in RAM only, because the WAL keeps too much; 0 while it does not. LSNs are
 * positions, so their difference is what the WAL keeps.
 */
export function walDueBelow({ disk, wal, walBytesMax }: TieringContext): number {
  if (disk === null || wal === null || walBytesMax === undefined) return 0
  const { appendedLsn } = wal
  const keptBytes = appendedLsn - disk.manifest.state.walLsn
  return keptBytes > walBytesMax ? appendedLsn - walBytesMax * WAL_LOW_PART : 0
}

function checkpointEdits(context: TieringContext, state: ManifestState): readonly ManifestEdit[] {
  const ends = context.disk === null ? [] : unsureEdits(context.disk, state)
  let walLsn = present(context.wal, 'a checkpoint is of a WAL').durableLsn
  const edits: ManifestEdit[] = []
  for (const log of context.logs()) {
    if (!log.usesWal) continue
    edits.push(...missingSchemas(state, log))
    for (const { firstUnflushedLsn, lost } of log.partitions)
      walLsn = Math.min(walLsn, firstUnflushedLsn, lost?.lsn ?? Infinity)
  }
  return walLsn > state.walLsn ? [...ends, ...edits, { kind: 'checkpoint', walLsn }] : ends
}
