/** `snapshot create|list`. */
import { formatBytes, formatCount } from '../../base/units.ts'
import type { FlagValues } from '../config-flags.ts'
import { withReader, withWriter } from '../engine-access.ts'
import { renderTable } from '../output/table.ts'
import { type Session, writeDocument } from '../session.ts'

export async function createSnapshot(session: Session, flags: FlagValues & { readonly name?: string }): Promise<void> {
  const made = await withWriter(flags, (db) => db.snapshot(flags.name === undefined ? {} : { name: flags.name }))
  const snapshot = snapshotJson(made)
  if (session.json) await writeDocument(session, snapshot)
  else await session.terminal.write(snapshotsTable([snapshot]))
}

export async function listSnapshots(session: Session, flags: FlagValues): Promise<void> {
  const found = await withReader(flags, async (reading) => await reading.snapshots())
  const snapshots = found.map(snapshotJson)
  if (session.json) await writeDocument(session, snapshots)
  else await session.terminal.write(snapshotsTable(snapshots))
}
