/** `snapshot create|list`. */
import { formatBytes, formatCount } from '../../base/units.ts'
import { type SnapshotDescription, describeSnapshot } from '../../engine/snapshots.ts'
import type { FlagValues } from '../config-flags.ts'
import { withArchive, withWriter } from '../engine-access.ts'
import { renderTable } from '../output/table.ts'
import { type Session, writeDocument } from '../session.ts'

export async function createSnapshot(
  session: Session,
  flags: FlagValues & { readonly name?: string },
): Promise<void> {
  const { name } = flags
  const snapshot = await withWriter(session, flags, (db) =>
    db.snapshot(name === undefined ? {} : { name }),
  )
  if (session.json) await writeDocument(session, snapshot)
  else await session.terminal.write(snapshotsTable([snapshot]))
}

/** Snapshots lie in the archive, whoever writes it. */
export async function listSnapshots(session: Session, flags: FlagValues): Promise<void> {
  const snapshots = await withArchive(flags, async (archive) =>
    archive.snapshots().map(describeSnapshot),
  )
  if (session.json) await writeDocument(session, snapshots)
  else await session.terminal.write(snapshotsTable(snapshots))
}

function snapshotsTable(snapshots: readonly SnapshotDescription[]): string {
  const right = 'right' as const
  const columns = [
    { name: 'snapshot' },
    { name: 'time' },
    { name: 'logs', align: right },
    { name: 'records', align: right },
    { name: 'bytes', align: right },
    { name: 'new', align: right },
  ]
  const rows = snapshots.map(({ name, time, logs, bytes, newBytes }) => [
    name,
    time,
    formatCount(logs.length),
    formatCount(recordsOf(logs)),
    formatBytes(bytes),
    formatBytes(newBytes),
  ])
  return renderTable(columns, rows)
}

function recordsOf(logs: SnapshotDescription['logs']): number {
  const partitions = logs.flatMap((log) => log.partitions)
  return partitions.reduce((sum, { startOffset, endOffset }) => sum + endOffset - startOffset, 0)
}
