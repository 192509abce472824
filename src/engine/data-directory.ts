/**
 * The data directory of an engine: whose it is, that nobody else writes it, and that nothing lies in it that a crash
 * left half done.
 */
import { StratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { sha256Hex } from '../format/checksum.ts'
import { decodeIdentity, encodeIdentity } from '../format/identity.ts'
import type { IdRanges } from '../format/id-ranges.ts'
import { type ManifestState, goneLogIds } from '../format/manifest.ts'
import {
  CACHE_DIRECTORY,
  IDENTITY_FILE,
  LEASE_DIRECTORY,
  LOCK_FILE,
  MANIFEST_DIRECTORY,
  PACKS_DIRECTORY,
  PAGES_DIRECTORY,
  QUARANTINE_DIRECTORY,
  RESTORING_FILE,
  SEGMENTS_DIRECTORY,
  type SegmentName,
  TEMPORARY_DIRECTORY,
  WAL_DIRECTORY,
  parsePath,
  parseWalFileName,
  walFileName,
} from '../format/paths.ts'
import { WAL_FILE_HEADER_BYTES, decodeWalFileHeader } from '../format/wal-file.ts'
import { readingDirectory, segmentsAt } from '../log/pack-contents.ts'
import type { FileSystem } from '../storage/file-system.ts'
import { isTemporaryName } from '../storage/temporary-name.ts'

/**
 * The engine id of a directory, or null when it is new.
 * @throws StratalogError `directory_foreign` when it holds anything that is not ours, `format_unsupported`.
 */
export async function readDirectoryIdentity(
  fileSystem: FileSystem,
  dataDir: string,
): Promise<string | null> {
  const stat = await fileSystem.stat(dataDir)
  if (stat === null) return null
  if (!stat.isDirectory) throw foreign(dataDir, 'it is a file')
  const names = await fileSystem.list(dataDir)
  if (names.includes(IDENTITY_FILE)) {
    const identity = decodeIdentity(await fileSystem.read(`${dataDir}/${IDENTITY_FILE}`), dataDir)
    if (identity.kind !== 'directory')
      throw foreign(dataDir, 'it is an archive; open it with its file:// URL')
    return identity.engineId
  }
  // A crash before the identity had its name leaves the lock, and the file that was to get it.
  const isOurs = (name: string): boolean =>
    name === LOCK_FILE ||
    name === LEASE_DIRECTORY ||
    (name.startsWith(IDENTITY_FILE) && isTemporaryName(name))
  const strangers = names.filter((name) => !isOurs(name))
  if (strangers.length === 0) return null
  const what = `it holds ${strangers.slice(0, 3).join(', ')} and no ${IDENTITY_FILE}`
  if (names.includes(RESTORING_FILE))
    throw foreign(dataDir, what, 'A restore into it did not end; run the same restore again.')
  if (names.includes(MANIFEST_DIRECTORY))
    throw foreign(dataDir, what, 'If it is a copy of one, copy it whole.')
  throw foreign(dataDir, what)
}

/** Makes a directory ours. @throws StratalogError `file_exists` when another did so in between. */
export async function createDirectory(
  fileSystem: FileSystem,
  dataDir: string,
  engineId: string,
): Promise<void> {
  await fileSystem.putIfAbsent(
    `${dataDir}/${IDENTITY_FILE}`,
    encodeIdentity({ kind: 'directory', engineId }),
  )
}

export async function makeSubdirectories(fileSystem: FileSystem, dataDir: string): Promise<void> {
  for (const name of [
    MANIFEST_DIRECTORY,
    PAGES_DIRECTORY,
    PAGES_DIRECTORY,
    WAL_DIRECTORY,
    SEGMENTS_DIRECTORY,
    TEMPORARY_DIRECTORY,
    CACHE_DIRECTORY,
  ]) {
    await fileSystem.makeDirectory(`${dataDir}/${name}`)
  }
}

/** What opening a directory found out before it looks any further. */
interface OpenedManifest {
  /** Of the identity. */
  readonly engineId: string
  readonly number: number
  readonly state: ManifestState
}

/**
 * Called before the directory is claimed: a claim would hide the loss.
 * @throws StratalogError `manifest_corrupt` when the directory holds more than its manifest can know of: the manifest,
 * or its last commits, are lost; `file_corrupt` when identity and manifest are of two engines.
 */
export async function assertManifestIsWhole(
  fileSystem: FileSystem,
  dataDir: string,
  { engineId, number, state }: OpenedManifest,
): Promise<void> {
  if (number > 0 && engineId !== state.engineId) throw twoEngines(dataDir, engineId, state.engineId)
  const walEpoch = await newestWalEpoch(fileSystem, dataDir)
  if (walEpoch > state.epoch) {
    throw lostManifest(dataDir, `its WAL is of epoch ${walEpoch}, the manifest of ${state.epoch}`)
  }
  const gone = goneLogIds(state)
  for (const name of await namesIn(fileSystem, `${dataDir}/${SEGMENTS_DIRECTORY}`)) {
    const logId = Number(name)
    if (state.logs.has(logId) || gone.has(logId)) continue
    const folder = `${SEGMENTS_DIRECTORY}/${name}`
    if ((await fileSystem.stat(`${dataDir}/${folder}`))?.isDirectory !== true) continue
    const [segment] = await filesBelow(fileSystem, dataDir, folder)
    if (segment !== undefined && parsePath(segment)?.kind === 'segment')
      throw lostManifest(dataDir, `there is ${segment}, and the manifest knows of no such log`)
  }
}

/** The epoch that wrote the newest WAL file; 0 without one. */
async function newestWalEpoch(fileSystem: FileSystem, dataDir: string): Promise<number> {
  const names = await namesIn(fileSystem, `${dataDir}/${WAL_DIRECTORY}`)
  const startLsn = Math.max(-1, ...names.flatMap((name) => parseWalFileName(name) ?? []))
  if (startLsn === -1) return 0
  const path = `${dataDir}/${WAL_DIRECTORY}/${walFileName(startLsn)}`
  const file = await fileSystem.open(path)
  try {
    const header = await file.read(0, Math.min(file.length, WAL_FILE_HEADER_BYTES))
    return decodeWalFileHeader(header, { engineId: null, startLsn }, path).epoch
  } finally {
    await file.close()
  }
}

/** A restore makes no directories but those that it needs. */
async function namesIn(fileSystem: FileSystem, directory: string): Promise<readonly string[]> {
  return (await fileSystem.stat(directory)) === null ? [] : fileSystem.list(directory)
}

function twoEngines(dataDir: string, engineId: string, manifestEngineId: string): StratalogError {
  const file = `${dataDir}/${IDENTITY_FILE}`
  return new StratalogError(
    'file_corrupt',
    `${file} names engine ${engineId}, and the manifest beside it is of engine ${manifestEngineId}: files of two directories lie in one. Nothing was touched; bring back those that belong together, or restore the archive into a new directory.`,
    { details: { file, engineId, manifestEngineId } },
  )
}

function lostManifest(dataDir: string, reason: string): StratalogError {
  return new StratalogError(
    'manifest_corrupt',
    `${dataDir} has lost its manifest or the end of it: ${reason}. Nothing was touched; bring ${MANIFEST_DIRECTORY} back from where it went, or restore the archive into a new directory.`,
    { details: { file: `${dataDir}/${MANIFEST_DIRECTORY}`, reason } },
  )
}

/** Removes the unfinished files that a crash left. Only the writer may call it. */
export async function removeTemporaries(fileSystem: FileSystem, dataDir: string): Promise<void> {
  for (const name of await fileSystem.list(`${dataDir}/${TEMPORARY_DIRECTORY}`)) {
    await fileSystem.remove(`${dataDir}/${TEMPORARY_DIRECTORY}/${name}`)
  }
  const others = [MANIFEST_DIRECTORY, PAGES_DIRECTORY, QUARANTINE_DIRECTORY].map(
    (name) => `${dataDir}/${name}`,
  )
  for (const directory of [dataDir, ...others]) {
    for (const name of await namesIn(fileSystem, directory)) {
      if (isTemporaryName(name)) await fileSystem.remove(`${directory}/${name}`)
    }
  }
}

/**
 * Removes segments that no manifest names: a crash came between their rename and their commit, and the WAL has their
 * records. What is whole and lies beyond all that is known is kept: nothing else has its records. Only for the writer.
 */
export async function removeOrphans(
  fileSystem: FileSystem,
  dataDir: string,
  state: ManifestState,
  isBeyond: (segment: SegmentName) => boolean,
  logger: Logger,
): Promise<void> {
  const named = new Set<string>()
  for (const log of state.logs.values()) {
    for (const partition of log.partitions) {
      for (const segment of partition.segments)
        if (segment.disk !== null) named.add(segment.disk.object)
    }
  }
  const files = await filesBelow(fileSystem, dataDir, SEGMENTS_DIRECTORY)
  if ((await fileSystem.stat(`${dataDir}/${PACKS_DIRECTORY}`)) !== null)
    files.push(...(await filesBelow(fileSystem, dataDir, PACKS_DIRECTORY)))
  for (const path of files) {
    // Somebody's own files are not ours to remove.
    const kind = parsePath(path)?.kind
    const isOurs = kind === 'segment' || kind === 'pack' || isTemporaryName(path)
    if (!isOurs || named.has(path)) continue
    const held = await segmentsAt(path, readingDirectory(fileSystem, dataDir))
    if (held.some(isBeyond) && (await isWhole(fileSystem, dataDir, path))) {
      logger.warn('A segment behind all that is known is left where it is.', { path })
      continue
    }
    logger.info('Removing a segment file that no manifest names.', { path })
    await fileSystem.remove(`${dataDir}/${path}`)
  }
  const gone = goneLogIds(state)
  if (gone.size > 0) await removeEmpty(fileSystem, dataDir, gone)
}

/** Directories of logs that were deleted or detached, and that no fork has a file in. */
async function removeEmpty(fileSystem: FileSystem, dataDir: string, gone: IdRanges): Promise<void> {
  for (const name of await namesIn(fileSystem, `${dataDir}/${SEGMENTS_DIRECTORY}`)) {
    if (!gone.has(Number(name))) continue
    const directory = `${SEGMENTS_DIRECTORY}/${name}`
    if ((await fileSystem.stat(`${dataDir}/${directory}`))?.isDirectory !== true) continue
    const files = await filesBelow(fileSystem, dataDir, directory)
    if (files.length === 0) await fileSystem.removeDirectory(`${dataDir}/${directory}`)
  }
}

/** Whether a segment has the bytes that its name says. */
async function isWhole(fileSystem: FileSystem, dataDir: string, path: string): Promise<boolean> {
  const parsed = parsePath(path)
  if (parsed?.kind !== 'segment' && parsed?.kind !== 'pack') return false
  return sha256Hex(await fileSystem.read(`${dataDir}/${path}`)).startsWith(parsed.hash)
}

async function filesBelow(
  fileSystem: FileSystem,
  dataDir: string,
  directory: string,
): Promise<string[]> {
  const files: string[] = []
  for (const name of await fileSystem.list(`${dataDir}/${directory}`)) {
    const path = `${directory}/${name}`
    const stat = await fileSystem.stat(`${dataDir}/${path}`)
    if (stat?.isDirectory === true) files.push(...(await filesBelow(fileSystem, dataDir, path)))
    else files.push(path)
  }
  return files
}

function foreign(
  dataDir: string,
  reason: string,
  advice = 'Name an empty or a new directory.',
): StratalogError {
  return new StratalogError(
    'directory_foreign',
    `${dataDir} is not a Stratalog data directory: ${reason}. Nothing in it was touched. ${advice}`,
    { details: { path: dataDir, reason } },
  )
}
