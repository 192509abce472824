/** An archive by its URL: what the process's environment says of S3 counts beside the options. */
import type { Clock } from '../base/clock.ts'
import type { NotedArchive } from '../format/manifest.ts'
import { type Archive, type ArchiveBytes, openArchive } from '../log/archive-view.ts'
import type { OpenObjectStoreOptions, OpenedObjectStore } from '../storage/open-object-store.ts'
import type { MissingObject } from '../log/segment-damage.ts'
import { unnamedObjects } from '../replay/archive-audit.ts'
import {
  FLAG,
  OBJECT,
  type OptionKind,
  TEXT,
  assertOptions,
  assertText,
} from './check-arguments.ts'
import { type ColdParts, passingParts } from './cold-parts.ts'
import type { S3Options } from './config.ts'
import type { EnginePorts } from './ports.ts'
import { storageOf } from './system-storage.ts'
import { lookAgain } from './verify/look-again.ts'

type Patience = Pick<OpenObjectStoreOptions, 'retryPolicy' | 'circuitPolicy'>

/**
 * For long work that somebody waits for: a throttled store makes it slow and does not end it. Its several requests at
 * once would open a circuit before any of them is out of tries.
 */
export const PATIENT: Patience = {
  retryPolicy: { isPatient: true },
  circuitPolicy: { failuresMax: Infinity },
}

/** @throws StratalogError `url_invalid`, `config_invalid`, `argument_invalid`. */
export function openArchiveStore(
  url: string,
  s3: S3Options | undefined,
  ports: EnginePorts,
  patience: Patience = {},
): Promise<OpenedObjectStore> {
  assertText(url, 'The URL of an archive')
  if (s3 !== undefined) assertS3(s3)
  const { clock, random, metrics, logger } = ports
  return storageOf(ports).openObjectStore(url, {
    ...(s3 === undefined ? {} : { s3 }),
    ...patience,
    clock,
    random,
    metrics,
    logger,
  })
}

const S3_KINDS: Readonly<Record<keyof S3Options, OptionKind>> = {
  ...{ endpoint: TEXT, region: TEXT, forcePathStyle: FLAG, credentials: OBJECT },
}

const CREDENTIALS_KINDS: Readonly<Record<keyof NonNullable<S3Options['credentials']>, OptionKind>> =
  { accessKeyId: TEXT, secretAccessKey: TEXT, sessionToken: TEXT }

function assertS3(s3: S3Options): void {
  assertOptions(s3, S3_KINDS, 's3')
  if (s3.credentials !== undefined)
    assertOptions(s3.credentials, CREDENTIALS_KINDS, 's3.credentials')
}

/** How to reach an archive that a directory remembers: what is said now counts first. */
export function notedSettings(
  { endpoint, region, forcePathStyle }: NotedArchive,
  s3: S3Options | undefined,
): S3Options {
  return {
    ...(endpoint === null ? {} : { endpoint }),
    ...(region === null ? {} : { region }),
    ...(forcePathStyle === null ? {} : { forcePathStyle }),
    ...s3,
  }
}

/**
 * Opens an archive for reading, with patience unless it is for `parts`; whoever does closes its store.
 * @throws StratalogError `archive_not_found`, `url_invalid`, `manifest_corrupt`, and what the store throws.
 */
export async function connectArchive(
  url: string,
  s3: S3Options | undefined,
  ports: EnginePorts,
  parts?: ColdParts,
): Promise<Archive> {
  const store = await openArchiveStore(url, s3, ports, parts === undefined ? PATIENT : {})
  try {
    if (parts === undefined) return await openArchive(store, { logger: ports.logger })
    const bytesOf: ArchiveBytes = ({ sha256 }, location) => parts.bytes(store, sha256, location)
    return await openArchive(store, { logger: ports.logger, bytesOf })
  } catch (error) {
    await store.close()
    throw error
  }
}

/** As `connectArchive`, for reading here and there: what was read stays on disk until `parts` is closed. */
export async function connectArchiveParts(
  url: string,
  s3: S3Options | undefined,
  ports: EnginePorts,
): Promise<{ readonly archive: Archive; readonly parts: ColdParts }> {
  const parts = passingParts(storageOf(ports), ports.logger)
  return { archive: await connectArchive(url, s3, ports, parts), parts }
}

/** Objects of the named logs, or of all, that hold records which the archive's manifest has lost. Lists the bucket. */
export async function unnamedIn(
  archive: Archive,
  logs: readonly string[] | undefined,
  clock: Clock,
): Promise<readonly MissingObject[]> {
  let unnamed: readonly MissingObject[] = []
  // A writer puts objects before it commits them.
  await lookAgain(clock, undefined, async () => {
    unnamed = await unnamedObjects(archive, () => openArchive(archive.store))
    return unnamed.length > 0
  })
  return unnamed.filter(({ log }) => logs === undefined || logs.includes(log))
}
