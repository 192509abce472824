/** How a changed policy becomes durable: in one commit, with all that recovery has to know of the log from then on. */
import type {
  ManifestEdit,
  ManifestState,
  SegmentEntry,
  StoragePolicy,
} from '../format/manifest.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { ManifestStore } from '../log/manifest-store.ts'
import type { ArchiveWriter } from '../tiering/archive-writer.ts'
import { missingSchemas } from '../tiering/flush.ts'
import { pullFromArchive } from './archive-connection.ts'

export interface PolicyChange {
  readonly log: LiveLog
  readonly policy: StoragePolicy
  readonly isDenseFromHere: boolean
}

interface Archived {
  readonly partition: number
  readonly segment: SegmentEntry
}

/**
 * Commits a change while nothing is appended to the log.
 * @throws StratalogError `archive_diverged`, and what committing throws.
 */
export async function commitPolicy(
  manifest: ManifestStore,
  archive: ArchiveWriter | null,
  change: PolicyChange,
): Promise<void> {
  const { log, policy, isDenseFromHere } = change
  let archived: readonly Archived[] = []
  await manifest.commit((state) => {
    archived = log.policy.mode === 'memory' ? archivedHere(state, archive, log) : []
    const logId = log.id
    return [
      ...missingSchemas(state, log),
      ...archived.map((entry) => ({ kind: 'segment-added' as const, logId, ...entry })),
      { kind: 'policy-changed', logId, policy },
      ...(isDenseFromHere ? denseEdits(log) : []),
    ]
  })
  for (const { partition, segment } of archived) log.partition(partition).addSegment(segment)
}

/**
 * Segments that snapshots of a log in RAM brought to the archive since the engine was opened. The log's first flush
 * begins behind them: the archive takes the same offsets once.
 */
function archivedHere(
  state: ManifestState,
  archive: ArchiveWriter | null,
  { id }: LiveLog,
): readonly Archived[] {
  const remote = archive?.state ?? null
  if (remote === null) return []
  return pullFromArchive(state, remote).flatMap((edit) =>
    edit.kind === 'segment-added' && edit.logId === id
      ? [{ partition: edit.partition, segment: edit.segment }]
      : [],
  )
}

function denseEdits(log: LiveLog): readonly ManifestEdit[] {
  return log.partitions.map(({ partition, nextOffset }) => ({
    kind: 'offsets-dense-from',
    logId: log.id,
    partition,
    offset: nextOffset,
  }))
}
