/** `inspect`: what a file or an object says of itself, with every checksum in it verified. */
import { readFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { type ErrorCode, StratalogError } from '../../base/errors.ts'
import { silentLogger } from '../../base/logger.ts'
import { noMetrics } from '../../base/metrics.ts'
import { systemRandom } from '../../base/random.ts'
import { NodeFileSystem } from '../../storage/node-file-system.ts'
import { openObjectStore } from '../../storage/open-object-store.ts'
import type { FlagValues } from '../config-flags.ts'
import { readConfiguration } from '../read-configuration.ts'
import { inspectBytes } from '../inspect/inspect-bytes.ts'
import type { Inspection } from '../inspect/inspection.ts'
import { inspectionText } from '../inspect/inspection-text.ts'
import { type Session, writeDocument } from '../session.ts'

/** @throws StratalogError of kind `corrupt`, after what is still readable was printed. */
export async function inspect(session: Session, name: string, flags: FlagValues): Promise<void> {
  const bytes = await readNamed(session, name, flags)
  const inspection = inspectBytes(name, bytes)
  if (session.json) await writeDocument(session, inspection.report)
  else await session.terminal.write(inspectionText(inspection))
  throwProblem(name, inspection)
}

const CORRUPT_CODES: Readonly<Record<string, ErrorCode>> = {
  segment: 'segment_corrupt',
  pack: 'segment_corrupt',
  wal: 'wal_corrupt',
}

function throwProblem(name: string, { report, problems }: Inspection): void {
  const [first] = problems
  if (first === undefined) return
  const code = CORRUPT_CODES[String(report['kind'])] ?? 'file_corrupt'
  throw new StratalogError(code, `${name} is damaged: ${first.reason}`, {
    details: { file: name, problems },
  })
}

async function readNamed(session: Session, name: string, flags: FlagValues): Promise<Uint8Array> {
  const { archive, dataDir, s3 } = readConfiguration(flags)
  if (archive !== undefined) return await readObject(session, archive, name, s3)
  const path = dataDir !== undefined && !existsSync(name) ? join(dataDir, name) : name
  return await readFile(path).catch((error: unknown) => {
    throw new StratalogError(
      'file_not_found',
      `${path} cannot be read: ${(error as Error).message}.`,
      {
        cause: error,
        details: { path },
      },
    )
  })
}

async function readObject(
  session: Session,
  archive: string,
  key: string,
  s3: ReturnType<typeof readConfiguration>['s3'],
): Promise<Uint8Array> {
  const store = await openObjectStore(archive, {
    ...(s3 === undefined ? {} : { s3 }),
    fileSystem: new NodeFileSystem(),
    clock: session.clock,
    random: systemRandom,
    metrics: noMetrics,
    logger: silentLogger,
    environment: process.env,
  })
  try {
    return await store.get(key, { signal: session.signal })
  } finally {
    await store.close()
  }
}
