/**
 * A data directory, looked at without its lock: another process may be writing it. What a writer moves between two
 * looks is looked at again before it is called a problem.
 */
import type { Clock } from '../../base/clock.ts'
import { isStratalogError, StratalogError, throwIfAborted } from '../../base/errors.ts'
import { sha256Hex } from '../../format/checksum.ts'
import { decodeIdentity } from '../../format/identity.ts'
import { type ManifestState, goneLogIds } from '../../format/manifest.ts'
import {
  IDENTITY_FILE,
  LOCK_FILE,
  MANIFEST_DIRECTORY,
  PACKS_DIRECTORY,
  RESTORING_FILE,
  SEGMENTS_DIRECTORY,
  type SegmentName,
  WAL_DIRECTORY,
  parsePath,
} from '../../format/paths.ts'
import { wholePartition } from '../../log/archive-view.ts'
import { type ManifestPosition, loadManifest } from '../../log/manifest-chain.ts'
import { manifestFilesInDirectory } from '../../log/manifest-files.ts'
import { readingDirectory, segmentsAt } from '../../log/pack-contents.ts'
import { readWhole } from '../../log/segment-copies.ts'
import { silentLogger } from '../../base/logger.ts'
import type { FileSystem, SyncFileSystem } from '../../storage/file-system.ts'
import { isTemporaryName } from '../../storage/temporary-name.ts'
import { type CheckedManifest, checkManifest, lostManifest } from './check-manifest.ts'
import { checkPacks } from './check-packs.ts'
import {
  type CheckedCopies,
  type CopyReading,
  type NamedSegment,
  checkContinuity,
  checkCopy,
  namedSegments,
} from './check-segments.ts'
import { type DamagedManifest, RemainsCheck } from './check-remains.ts'
import { type CheckedWal, checkWal } from './check-wal.ts'
import { checkLoneWal } from './check-wal-alone.ts'
import { lookAgain } from './look-again.ts'
import type { Findings } from './verify-report.ts'

/** How often what a writer may have moved is looked at again. */
const LOOKS_MAX = 5

export interface DirectoryPlace {
  readonly dataDir: string
  readonly fileSystem: FileSystem
  readonly syncFileSystem: SyncFileSystem
  readonly signal: AbortSignal | undefined
  readonly onBytes: (bytes: number) => void
  readonly clock: Clock
}

/** @throws StratalogError `file_not_found`, `directory_foreign` when nothing there is ours. */
export async function checkIdentity(
  { dataDir, fileSystem }: DirectoryPlace,
  findings: Findings,
): Promise<string | null> {
  const stat = await fileSystem.stat(dataDir)
  if (stat === null) {
    const message = `There is no Stratalog data directory at ${dataDir}.`
    throw new StratalogError('file_not_found', message, { details: { path: dataDir } })
  }
  if (!stat.isDirectory) throw foreign(dataDir, 'it is a file')
  const names = await fileSystem.list(dataDir)
  const where = `${dataDir}/${IDENTITY_FILE}`
  if (names.includes(IDENTITY_FILE)) return readIdentity(where, dataDir, fileSystem, findings)
  if (names.includes(RESTORING_FILE)) {
    findings.file(dataDir, 'unfinished', 'A restore into it was not finished; run it again.', false)
    return null
  }
  const ours = [MANIFEST_DIRECTORY, WAL_DIRECTORY, SEGMENTS_DIRECTORY]
  const strangers = names.filter((name) => name !== LOCK_FILE && !isTemporaryName(name))
  if (!ours.some((name) => names.includes(name))) {
    throw foreign(dataDir, `it holds ${strangers.slice(0, 3).join(', ') || 'nothing'}`)
  }
  findings.file(where, 'missing', 'It says whose directory this is, and is not there.', false)
  return null
}

async function readIdentity(
  where: string,
  dataDir: string,
  fileSystem: FileSystem,
  findings: Findings,
): Promise<string | null> {
  try {
    const bytes = await fileSystem.read(where)
    findings.looked(bytes.length)
    const { kind, engineId } = decodeIdentity(bytes, dataDir)
    if (kind === 'directory') return engineId
    throw foreign(dataDir, 'it is an archive; name it with --archive')
  } catch (error) {
    if (!isStratalogError(error) || error.details['reason'] === undefined) {
      if (!isStratalogError(error) || error.code !== 'format_unsupported') throw error
      findings.file(where, 'format', error.message, false)
      return null
    }
    if (error.details['path'] !== undefined) throw error
    findings.file(where, 'checksum', error.message, false)
    return null
  }
}

export async function checkDirectoryManifest(
  { dataDir, fileSystem, signal }: DirectoryPlace,
  engineId: string | null,
  findings: Findings,
): Promise<CheckedManifest> {
  const files = manifestFilesInDirectory(fileSystem, dataDir)
  const manifest = await checkManifest(files, findings, signal)
  const { position, damage } = manifest
  if (position.number === 0) {
    if (damage !== null || !(await holdsRecords({ dataDir, fileSystem }))) return manifest
    const reason = 'There is no manifest; nothing here can be opened.'
    return { position, damage: lostManifest(files, 'missing', reason, findings) }
  }
  if (engineId !== null && position.state.engineId !== engineId) {
    const reason = `It names engine ${engineId}, and the manifest is of engine ${position.state.engineId}.`
    findings.file(`${dataDir}/${IDENTITY_FILE}`, 'swapped', reason, false)
  }
  return manifest
}

/** What is left where the manifest is damaged: see `RemainsCheck`. */
export async function checkDirectoryRemains(
  place: DirectoryPlace,
  engineId: string | null,
  manifest: DamagedManifest,
  findings: Findings,
  copies: CheckedCopies,
): Promise<RemainsCheck> {
  const { dataDir, fileSystem, syncFileSystem } = place
  const check = new RemainsCheck(diskReading(place), manifest, findings, copies)
  const paths = new Set<string>()
  for (const directory of [SEGMENTS_DIRECTORY, PACKS_DIRECTORY]) {
    if ((await fileSystem.stat(`${dataDir}/${directory}`)) === null) continue
    for await (const { path } of filesBelow(fileSystem, dataDir, directory)) paths.add(path)
  }
  await check.segments(paths)
  const logName = (logId: number): string | null => check.logName(logId)
  const reachedLsn = manifest.state.walReached
  const wal = { fileSystem: syncFileSystem, dataDir, engineId, reachedLsn, logName }
  for (const found of checkLoneWal(wal, findings)) check.add({ ...found, in: 'wal' })
  return check
}

async function holdsRecords({
  dataDir,
  fileSystem,
}: Pick<DirectoryPlace, 'dataDir' | 'fileSystem'>): Promise<boolean> {
  for (const directory of [WAL_DIRECTORY, SEGMENTS_DIRECTORY, PACKS_DIRECTORY]) {
    if ((await fileSystem.stat(`${dataDir}/${directory}`)) === null) continue
    for await (const { path } of filesBelow(fileSystem, dataDir, directory)) {
      const kind = parsePath(path)?.kind
      if (kind === 'wal' || kind === 'segment' || kind === 'pack') return true
    }
  }
  return false
}

/** WAL and every other file. */
export async function checkDirectoryRest(
  place: DirectoryPlace,
  state: ManifestState,
  findings: Findings,
): Promise<void> {
  checkContinuity(state, `${place.dataDir}/${MANIFEST_DIRECTORY}`, findings)
  const wal = await checkSteadyWal(place, state)
  findings.files += wal.findings.files
  findings.bytes += wal.findings.bytes
  findings.problems.push(...wal.findings.problems)
  findings.notes.push(...wal.findings.notes)
  await checkNames(place, state, wal, findings)
}

/**
 * The disk copies. A writer may drop one at any time: it is damage only while the newest manifest names it. Returns the
 * state that they were checked against.
 */
export async function checkDiskCopies(
  place: DirectoryPlace,
  manifest: ManifestPosition,
  findings: Findings,
  copies: CheckedCopies,
): Promise<ManifestState> {
  const reading = diskReading(place)
  let newest = manifest
  let pending: readonly NamedSegment[] = [...namedSegments(newest.state)]
  for (let look = 1; ; look++) {
    const doubtful: NamedSegment[] = []
    const problems = findings.problems.length
    for (const named of pending) {
      const before = findings.problems.length
      await checkCopy(named, reading, findings, copies)
      if (findings.problems.length > before) doubtful.push(named)
    }
    if (doubtful.length === 0) break
    const newer = await newestState(place)
    if (newer === null || newer.number === newest.number || look === LOOKS_MAX) break
    // The writer went on: what it still names is looked at again, by the newest manifest.
    findings.problems.length = problems
    const names = new Set(doubtful.map(({ segment }) => segment.sha256))
    for (const name of names) copies.forget(name, 'disk')
    newest = newer
    pending = [...namedSegments(newest.state)].filter(({ segment }) => names.has(segment.sha256))
  }
  await checkPacks(namedSegments(newest.state), reading, findings)
  return newest.state
}

function diskReading({ dataDir, fileSystem, signal, onBytes }: DirectoryPlace): CopyReading {
  return {
    tier: 'disk',
    read: (location) => readWhole(fileSystem, dataDir, location),
    readAll: (object) => fileSystem.read(`${dataDir}/${object}`),
    whereIs: (object) => `${dataDir}/${object}`,
    onBytes,
    signal,
  }
}

/** A WAL that is being written may look damaged once; damage looks the same twice. */
async function checkSteadyWal(place: DirectoryPlace, state: ManifestState): Promise<CheckedWal> {
  const look = (now: ManifestState): CheckedWal =>
    checkWal(place.syncFileSystem, place.dataDir, now)
  let known = state
  let seen = look(known)
  for (let looks = 1; looks < LOOKS_MAX && seen.findings.problems.length > 0; looks++) {
    throwIfAborted(place.signal)
    const newer = (await newestState(place))?.state ?? known
    const again = look(newer)
    const isSame =
      newer.walLsn === known.walLsn &&
      JSON.stringify(again.findings.problems) === JSON.stringify(seen.findings.problems)
    seen = again
    known = newer
    if (isSame) break
  }
  return seen
}

async function newestState(place: DirectoryPlace): Promise<ManifestPosition | null> {
  const files = manifestFilesInDirectory(place.fileSystem, place.dataDir)
  try {
    return (await loadManifest(files, silentLogger)).position
  } catch (error) {
    if (isStratalogError(error)) return null
    throw error
  }
}

/** Files that the manifest does not name: what they are, and whether they show that the manifest is not the newest. */
async function checkNames(
  place: DirectoryPlace,
  state: ManifestState,
  wal: CheckedWal,
  findings: Findings,
): Promise<void> {
  const { dataDir } = place
  const manifestPlace = `${dataDir}/${MANIFEST_DIRECTORY}`
  if (wal.epoch > state.epoch) {
    const reason = `The WAL is of epoch ${wal.epoch}, the manifest of ${state.epoch}: the end of the manifest is missing.`
    findings.file(manifestPlace, 'stale', reason, false)
  }
  const unnamed: string[] = []
  const named = new Set<string>()
  for (const { segment } of namedSegments(state)) {
    if (segment.disk !== null) named.add(segment.disk.object)
  }
  for await (const { path, length } of filesBelow(place.fileSystem, dataDir, '')) {
    throwIfAborted(place.signal)
    const parsed = parsePath(path)
    const where = `${dataDir}/${path}`
    if (isTemporaryName(path) || parsed?.kind === 'temporary') {
      findings.note(where, 'temporary', 'An unfinished file; the next writer removes it.')
    } else if (parsed === null) {
      findings.note(where, 'foreign', 'Not a file of Stratalog; it is not looked at.')
    } else if (['lock', 'newest', 'cache-part'].includes(parsed.kind)) {
      // Whoever reads a part verifies it then, by what its segment says.
      findings.looked(length)
    } else if (parsed.kind === 'quarantine') {
      findings.note(where, 'quarantine', 'A copy of a damaged file; nothing reads it.')
    } else if (parsed.kind === 'cache') {
      await checkCached(place.fileSystem, where, parsed.name, findings)
    } else if ((parsed.kind === 'segment' || parsed.kind === 'pack') && !named.has(path)) {
      unnamed.push(path)
    }
  }
  await checkUnnamed(place, unnamed, state, wal, findings)
}

/**
 * Segments that the manifest does not name: what a crash leaves before a commit, what a writer is just about to commit,
 * or all that is left of a commit that is gone. Records that the WAL has as well are no loss.
 */
async function checkUnnamed(
  place: DirectoryPlace,
  paths: readonly string[],
  state: ManifestState,
  wal: CheckedWal,
  findings: Findings,
): Promise<void> {
  const { dataDir, fileSystem, clock, signal } = place
  const behind = new Set<string>()
  if (paths.length > 0) {
    await lookAgain(clock, signal, async () => {
      const newest = (await newestState(place))?.state ?? state
      behind.clear()
      for (const path of paths) {
        const isThere = (await fileSystem.stat(`${dataDir}/${path}`)) !== null
        const held = isThere ? await segmentsAt(path, readingDirectory(fileSystem, dataDir)) : []
        if (held.some((segment) => isBehind(segment, newest, wal))) behind.add(path)
      }
      return behind.size > 0
    })
  }
  for (const path of paths) {
    if (behind.has(path)) {
      const reason = `${path} holds records behind all that the manifest names: the end of the manifest is missing.`
      findings.file(`${dataDir}/${MANIFEST_DIRECTORY}`, 'stale', reason, false)
    } else {
      findings.note(
        `${dataDir}/${path}`,
        'orphan',
        'The manifest did not name it when it was read.',
      )
    }
  }
}

function isBehind(
  { logId, partition: number, baseOffset }: SegmentName,
  state: ManifestState,
  { contents }: CheckedWal,
): boolean {
  const log = state.logs.get(logId)
  if (log === undefined) return !goneLogIds(state).has(logId)
  const partition = log.partitions[number]
  if (partition === undefined) return true
  const end = wholePartition(partition, number).endOffset
  return baseOffset >= Math.max(end, contents.nextOffset(logId, number) ?? 0)
}

async function checkCached(
  fileSystem: FileSystem,
  where: string,
  name: string,
  findings: Findings,
): Promise<void> {
  const stat = await fileSystem.stat(where)
  if (stat === null) return
  const bytes = await fileSystem.read(where)
  findings.looked(bytes.length)
  if (sha256Hex(bytes) !== name)
    findings.note(where, 'cache', 'Not what its name says; it is fetched again when it is needed.')
}

/** Files below a directory, with their paths below the data directory. */
async function* filesBelow(
  fileSystem: FileSystem,
  dataDir: string,
  directory: string,
): AsyncGenerator<{ readonly path: string; readonly length: number }> {
  for (const name of await fileSystem.list(
    directory === '' ? dataDir : `${dataDir}/${directory}`,
  )) {
    const path = directory === '' ? name : `${directory}/${name}`
    const stat = await fileSystem.stat(`${dataDir}/${path}`)
    if (stat === null) continue
    if (stat.isDirectory) yield* filesBelow(fileSystem, dataDir, path)
    else yield { path, length: stat.length }
  }
}

function foreign(dataDir: string, reason: string): StratalogError {
  return new StratalogError(
    'directory_foreign',
    `${dataDir} is not a Stratalog data directory: ${reason}.`,
    { details: { path: dataDir, reason } },
  )
}
