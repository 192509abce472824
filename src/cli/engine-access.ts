/**
 * How commands come to an engine: which one the flags mean, opened for writing or for reading only, and closed after.
 * Loaded by the commands, not by the parser: it brings the whole engine with it.
 */
import { StratalogError } from '../base/errors.ts'
import type { StratalogOptions } from '../engine/config.ts'
import type { EnginePorts } from '../engine/ports.ts'
import type { RecoveryProgress } from '../engine/recovery-progress.ts'
import { Stratalog } from '../engine/stratalog.ts'
import type { AsOf } from '../engine/as-of.ts'
import type { ArchiveReader } from '../engine/archive-reader.ts'
import type { FlagValues } from './config-flags.ts'
import { Progress } from './progress.ts'
import { readConfiguration } from './read-configuration.ts'
import type { Session } from './session.ts'

/** A recovery that is shorter shows nothing. */
const SHOWN_AFTER_MS = 1_000

/** What reading commands need: an engine over a directory or an archive. */
export type Reading = Stratalog | ArchiveReader

/** Runs with an engine that writes the data directory. @throws StratalogError `argument_invalid` when none is named. */
export async function withWriter<T>(
  session: Session,
  values: FlagValues,
  use: (db: Stratalog, config: StratalogOptions) => Promise<T>,
): Promise<T> {
  const config = readConfiguration(values)
  if (config.dataDir === undefined) {
    throw new StratalogError(
      'argument_invalid',
      'This command changes a data directory: name it with --data-dir.',
    )
  }
  const db = await recovering(session, (ports) => Stratalog.open(config, ports))
  return await closingAfter(db, () => use(db, config))
}

/**
 * Runs with an engine that only reads: a data directory, which another process may be writing, or an archive by itself.
 * @throws StratalogError `argument_invalid` when neither is named.
 */
export async function withReader<T>(
  session: Session,
  values: FlagValues,
  use: (reading: Reading) => Promise<T>,
): Promise<T> {
  const config = readConfiguration(values)
  if (config.dataDir !== undefined) {
    const db = await recovering(session, (ports) => Stratalog.openReadOnly(config, ports))
    return await closingAfter(db, () => use(db))
  }
  return await withArchive(values, use)
}

/**
 * As `withReader`, for what may be asked as of a snapshot: a directory that is only read does not know of snapshots, so
 * with a name of one and an archive the archive is read.
 */
export async function withReaderAsOf<T>(
  session: Session,
  values: FlagValues & { readonly asOf?: AsOf },
  use: (reading: Reading) => Promise<T>,
): Promise<T> {
  const isName = typeof values.asOf === 'string'
  if (isName && readConfiguration(values).archive !== undefined)
    return await withArchive(values, use)
  return await withReader(session, values, use)
}

/** Runs with the archive by itself. @throws StratalogError `argument_invalid` when none is named. */
export async function withArchive<T>(
  values: FlagValues,
  use: (archive: ArchiveReader) => Promise<T>,
): Promise<T> {
  const { archive, s3 } = readConfiguration(values)
  const reader = await Stratalog.openArchive(
    requireArchive(archive),
    s3 === undefined ? {} : { s3 },
  )
  return await closingAfter(reader, () => use(reader))
}

/** @throws StratalogError `argument_invalid` when the flags name no archive. */
function requireArchive(archive: string | undefined): string {
  if (archive !== undefined) return archive
  throw new StratalogError(
    'argument_invalid',
    'Say where the data is: --data-dir DIR or --archive URL.',
  )
}

/** Opens an engine and shows how far its recovery is, once that takes longer than anyone would wait unasked. */
async function recovering<T>(
  session: Session,
  open: (ports: Pick<EnginePorts, 'onRecovery'>) => Promise<T>,
): Promise<T> {
  const progress = new Progress(session, 'recovering')
  const onRecovery = ({ bytes, totalBytes, records, elapsedMs }: RecoveryProgress): void => {
    if (elapsedMs >= SHOWN_AFTER_MS)
      progress.update({ done: bytes, total: totalBytes, records, unit: 'bytes' })
  }
  try {
    return await open({ onRecovery })
  } finally {
    progress.end()
  }
}

/** Closes whatever happens; a failure of the work is told before one of closing. */
async function closingAfter<T>(
  opened: { close(): Promise<void> },
  work: () => Promise<T>,
): Promise<T> {
  let result: T
  try {
    result = await work()
  } catch (error) {
    await opened.close().catch(() => {})
    throw error
  }
  await opened.close()
  return result
}
