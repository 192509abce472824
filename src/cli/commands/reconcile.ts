/** `reconcile`: a data directory whose archive another machine went on with keeps what only it has as forks. */
import { StratalogError } from '../../base/errors.ts'
import { reconcileArchive } from '../../engine/archive-operations.ts'
import type { FlagValues } from '../config-flags.ts'
import { renderTable } from '../output/table.ts'
import { readConfiguration } from '../read-configuration.ts'
import { type Session, writeDocument } from '../session.ts'

export async function reconcile(session: Session, flags: FlagValues): Promise<void> {
  const { dataDir, archive, s3 } = readConfiguration(flags)
  if (dataDir === undefined || archive === undefined)
    throw new StratalogError(
      'argument_invalid',
      'Say what to reconcile with what: --data-dir DIR and --archive URL.',
    )
  const report = await reconcileArchive({ dataDir, archive, ...(s3 === undefined ? {} : { s3 }) })
  if (session.json) {
    await writeDocument(session, report)
    return
  }
  if (report.logs.length === 0) {
    await session.terminal.write('The directory has nothing that the archive has otherwise.\n')
    return
  }
  const rows = report.logs.map(({ log, as, isInArchive, kept }) => [
    log,
    as ?? 'nothing was to be kept',
    kept.map(({ partition, from, to }) => `${partition}: ${from} to ${to}`).join(', '),
    isInArchive ? 'as the archive has it' : 'gone',
  ])
  const columns = [{ name: 'log' }, { name: 'kept as' }, { name: 'offsets' }, { name: 'now' }]
  await session.terminal.write(`${renderTable(columns, rows)}\n`)
}
