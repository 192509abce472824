/** `snapshot create|list|show|verify|delete|diff`. Snapshots lie in the archive, whoever writes it. */
import { formatBytes, formatCount } from '../../base/units.ts'
import type { SnapshotDescription } from '../../engine/describe-snapshot.ts'
import type { SnapshotDiff } from '../../snapshot/compare.ts'
import type { FlagValues } from '../config-flags.ts'
import { withArchive, withWriter } from '../engine-access.ts'
import { type TableColumn, renderTable } from '../output/table.ts'
import { Remote } from '../remote.ts'
import { type Session, writeDocument } from '../session.ts'

const SNAPSHOTS = '/v1/snapshots'

export function snapshotPath(nameOrId: string): string {
  return `${SNAPSHOTS}/${encodeURIComponent(nameOrId)}`
}

export async function createSnapshot(
  session: Session,
  flags: FlagValues & { readonly name?: string; readonly logs?: readonly string[] },
): Promise<void> {
  const { name, logs } = flags
  const asked = {
    ...(name === undefined ? {} : { name }),
    ...(logs === undefined ? {} : { logs }),
  }
  const remote = Remote.of(session, flags)
  const snapshot =
    remote === null
      ? await withWriter(session, flags, (db) => db.snapshot(asked))
      : await remote.json<SnapshotDescription>(SNAPSHOTS, { method: 'POST', body: asked })
  await writeSnapshots(session, snapshot, [snapshot])
}

interface RemoteSnapshots {
  readonly snapshots: readonly SnapshotDescription[]
}

export async function listSnapshots(session: Session, flags: FlagValues): Promise<void> {
  const remote = Remote.of(session, flags)
  const snapshots =
    remote === null
      ? await withArchive(flags, async (archive) => archive.snapshots())
      : (await remote.json<RemoteSnapshots>(SNAPSHOTS)).snapshots
  await writeSnapshots(session, snapshots, snapshots)
}

export async function showSnapshot(
  session: Session,
  nameOrId: string,
  flags: FlagValues,
): Promise<void> {
  const remote = Remote.of(session, flags)
  const snapshot =
    remote === null
      ? await withArchive(flags, async (archive) => archive.snapshot(nameOrId))
      : await remote.json<SnapshotDescription>(snapshotPath(nameOrId))
  if (session.json) return writeDocument(session, snapshot)
  await session.terminal.write(`${snapshotsTable([snapshot])}\n${logsTable(snapshot)}`)
}

export async function deleteSnapshot(
  session: Session,
  nameOrId: string,
  flags: FlagValues,
): Promise<void> {
  const remote = Remote.of(session, flags)
  const snapshot =
    remote === null
      ? await withWriter(session, flags, (db) => db.deleteSnapshot(nameOrId))
      : await remote.json<SnapshotDescription>(snapshotPath(nameOrId), { method: 'DELETE' })
  await writeSnapshots(session, snapshot, [snapshot])
}

export async function diffSnapshots(
  session: Session,
  from: string,
  to: string,
  flags: FlagValues,
): Promise<void> {
  const remote = Remote.of(session, flags)
  const diff =
    remote === null
      ? await withArchive(flags, (archive) => archive.compareSnapshots(from, to))
      : await remote.json<SnapshotDiff>(`${snapshotPath(from)}/diff/${encodeURIComponent(to)}`)
  if (session.json) await writeDocument(session, diff)
  else await session.terminal.write(diffText(diff))
}

async function writeSnapshots(
  session: Session,
  document: unknown,
  snapshots: readonly SnapshotDescription[],
): Promise<void> {
  if (session.json) await writeDocument(session, document)
  else await session.terminal.write(snapshotsTable(snapshots))
}

function snapshotsTable(snapshots: readonly SnapshotDescription[]): string {
  const columns = [
    { name: 'snapshot' },
    { name: 'time' },
    ...numbers('logs', 'records', 'bytes', 'new'),
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

function logsTable({ logs }: SnapshotDescription): string {
  const rows = logs.flatMap(({ name, partitions }) =>
    partitions.map(({ partition, startOffset, endOffset }) => [
      `${name}/${partition}`,
      formatCount(startOffset),
      formatCount(endOffset),
    ]),
  )
  return renderTable([{ name: 'log' }, ...numbers('from', 'to')], rows)
}

function diffText({ from, to, records, bytes, logs }: SnapshotDiff): string {
  const rows = logs.flatMap(({ name, change, partitions }) =>
    partitions.map((part) => [
      `${name}/${part.partition}`,
      change,
      rangeText(part.from),
      rangeText(part.to),
      formatCount(part.records.added),
      formatCount(part.records.removed),
    ]),
  )
  const columns = [{ name: 'log' }, { name: 'change' }, ...numbers('from', 'to', 'more', 'less')]
  const head = `${from.name} (${from.time}) to ${to.name} (${to.time})`
  const more = `${formatCount(records.added)} records more, ${formatBytes(bytes.added)}`
  const less = `${formatCount(records.removed)} less, ${formatBytes(bytes.removed)}`
  return `${head}: ${more}; ${less}\n\n${renderTable(columns, rows)}`
}

function rangeText(
  range: { readonly startOffset: number; readonly endOffset: number } | null,
): string | null {
  if (range === null) return null
  return `${formatCount(range.startOffset)} to ${formatCount(range.endOffset)}`
}

function numbers(...names: readonly string[]): readonly TableColumn[] {
  return names.map((name) => ({ name, align: 'right' }))
}

function recordsOf(logs: SnapshotDescription['logs']): number {
  const partitions = logs.flatMap((log) => log.partitions)
  return partitions.reduce((sum, { startOffset, endOffset }) => sum + endOffset - startOffset, 0)
}
