/** An archive: its manifest, every object that the manifest names, its snapshots, and objects that nothing names. */
import type { Clock } from '../../base/clock.ts'
import { isStratalogError, StratalogError, throwIfAborted } from '../../base/errors.ts'
import { silentLogger } from '../../base/logger.ts'
import { decodeIdentity } from '../../format/identity.ts'
import type { ManifestState, Snapshot } from '../../format/manifest.ts'
import {
  IDENTITY_FILE,
  MANIFEST_DIRECTORY,
  type SegmentName,
  parsePath,
} from '../../format/paths.ts'
import { wholePartition } from '../../log/archive-view.ts'
import { type ManifestPosition, loadManifest } from '../../log/manifest-chain.ts'
import { manifestFilesInStore } from '../../log/manifest-files.ts'
import { readingStore, segmentsAt } from '../../log/pack-contents.ts'
import { fetchWhole } from '../../log/segment-copies.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { type CheckedManifest, checkManifest, lostManifest } from './check-manifest.ts'
import { checkPacks } from './check-packs.ts'
import { type DamagedManifest, RemainsCheck } from './check-remains.ts'
import { lookAgain } from './look-again.ts'
import { snapshotSegments } from '../../snapshot/check.ts'
import {
  type CheckedCopies,
  type CopyReading,
  checkContinuity,
  checkCopy,
  checkSnapshots,
  namedSegments,
} from './check-segments.ts'
import type { Findings, OtherCopy } from './verify-report.ts'

export interface ArchivePlace {
  readonly store: ObjectStore
  readonly signal: AbortSignal | undefined
  readonly onBytes: (bytes: number) => void
  readonly clock: Clock
}

/** @throws StratalogError `archive_not_found` when nothing there is an archive. */
export async function checkArchiveManifest(
  { store, signal }: ArchivePlace,
  findings: Findings,
): Promise<CheckedManifest> {
  const files = manifestFilesInStore(store)
  const manifest = await checkManifest(files, findings, signal)
  const { position, damage } = manifest
  const identity = await readIdentity(store, findings)
  if (position.number === 0 && damage === null) {
    await assertArchive(store, identity !== 'missing')
    const reason = 'There is no manifest; nothing here can be opened.'
    return { position, damage: lostManifest(files, 'missing', reason, findings) }
  }
  const { engineId } = position.state
  const where = `${store.url}/${IDENTITY_FILE}`
  if (identity === 'missing') {
    findings.file(where, 'missing', 'It says whose archive this is, and is not there.', true)
  } else if (identity !== null && position.number > 0 && identity !== engineId) {
    const reason = `It names engine ${identity}, and the manifest is of engine ${engineId}.`
    findings.file(where, 'swapped', reason, false)
  }
  return manifest
}

/** What is left where the manifest is damaged: see `RemainsCheck`. */
export async function checkArchiveRemains(
  place: ArchivePlace,
  manifest: DamagedManifest,
  findings: Findings,
  copies: CheckedCopies,
): Promise<RemainsCheck> {
  const check = new RemainsCheck(objectReading(place), manifest, findings, copies)
  const keys = new Set<string>()
  for await (const { key } of place.store.list('')) {
    const kind = parsePath(key)?.kind
    if (kind === 'segment' || kind === 'pack') keys.add(key)
  }
  await check.segments(keys)
  return check
}

/** The engine that it names; null when it is damaged, which is a finding then. */
async function readIdentity(store: ObjectStore, findings: Findings): Promise<string | null> {
  const where = `${store.url}/${IDENTITY_FILE}`
  try {
    const bytes = await store.get(IDENTITY_FILE)
    findings.looked(bytes.length)
    const { kind, engineId } = decodeIdentity(bytes, store.url)
    if (kind === 'archive') return engineId
    findings.file(where, 'swapped', 'It says that this is a data directory.', false)
    return null
  } catch (error) {
    if (!isStratalogError(error)) throw error
    if (error.code === 'object_not_found') return 'missing'
    if (error.code === 'format_unsupported') findings.file(where, 'format', error.message, false)
    else if (error.code === 'directory_foreign' || error.code === 'object_corrupt')
      findings.file(where, 'checksum', error.message, false)
    else throw error
    return null
  }
}

async function assertArchive(store: ObjectStore, hasIdentity: boolean): Promise<void> {
  if (hasIdentity) return
  for await (const { key } of store.list('')) {
    if (parsePath(key) !== null) return
  }
  const message = `${store.url} is not an archive: nothing of one lies there. Check bucket and prefix.`
  throw new StratalogError('archive_not_found', message, { details: { url: store.url } })
}

function objectReading({ store, signal, onBytes }: ArchivePlace): CopyReading {
  return {
    tier: 'object',
    read: (location) => fetchWhole(store, location, signal),
    readAll: (object) => store.get(object, signal === undefined ? {} : { signal }),
    whereIs: (object) => `${store.url}/${object}`,
    onBytes,
    signal,
  }
}

/** All that a restore of one snapshot needs. */
export async function checkSnapshotObjects(
  place: ArchivePlace,
  state: ManifestState,
  snapshot: Snapshot,
  findings: Findings,
  copies: CheckedCopies,
): Promise<void> {
  const reading = objectReading(place)
  for (const named of snapshotSegments(state, snapshot))
    await checkCopy(named, reading, findings, copies)
  checkSnapshots(state, [snapshot], place.store.url, findings)
}

/** The object copies of segments. */
export async function checkArchiveCopies(
  place: ArchivePlace,
  { state }: ManifestPosition,
  findings: Findings,
  copies: CheckedCopies,
): Promise<void> {
  const reading = objectReading(place)
  for (const named of namedSegments(state)) await checkCopy(named, reading, findings, copies)
  await checkPacks(namedSegments(state), reading, findings)
}

/** Continuity, snapshots, and names. */
export async function checkArchiveRest(
  place: ArchivePlace,
  { state }: ManifestPosition,
  findings: Findings,
): Promise<void> {
  const { store } = place
  checkContinuity(state, `${store.url}/${MANIFEST_DIRECTORY}`, findings)
  checkSnapshots(state, state.snapshots.values(), store.url, findings)
  await checkNames(place, state, findings)
}

const ORPHAN = 'The manifest did not name it when it was read.'
const UNREADABLE =
  'What it holds cannot be told, for its index is damaged, or it is gone since: `tier collect` leaves it alone.'

/** A writer puts an object before it commits, so the newest manifest decides what is unnamed. */
async function checkNames(
  { store, signal, clock }: ArchivePlace,
  state: ManifestState,
  findings: Findings,
): Promise<void> {
  const unnamed: string[] = []
  const named = namesOf(state)
  for await (const { key } of store.list('')) {
    throwIfAborted(signal)
    const parsed = parsePath(key)
    if (parsed === null || parsed.kind === 'temporary' || parsed.kind === 'wal')
      findings.note(`${store.url}/${key}`, 'foreign', 'Not an object of Stratalog.')
    else if ((parsed.kind === 'segment' || parsed.kind === 'pack') && !named.has(key))
      unnamed.push(key)
  }
  if (unnamed.length === 0) return
  const behind = new Set<string>()
  const unreadable = new Set<string>()
  await lookAgain(clock, signal, async () => {
    const newest = (await loadManifest(manifestFilesInStore(store), silentLogger)).position.state
    const names = namesOf(newest)
    behind.clear()
    for (const key of unnamed) {
      if (names.has(key)) continue
      const held = await segmentsAt(key, readingStore(store))
      if (held.length === 0) unreadable.add(key)
      if (held.some((segment) => isBehind(newest, segment))) behind.add(key)
    }
    return behind.size > 0
  })
  for (const key of unnamed) {
    if (behind.has(key)) continue
    const reason = unreadable.has(key) ? `${ORPHAN} ${UNREADABLE}` : ORPHAN
    findings.note(`${store.url}/${key}`, 'orphan', reason)
  }
  for (const key of behind) {
    const reason = `${key} holds records behind all that the manifest names: the end of the manifest is missing.`
    findings.file(`${store.url}/${MANIFEST_DIRECTORY}`, 'stale', reason, false)
  }
}

function namesOf(state: ManifestState): ReadonlySet<string> {
  const names = new Set<string>()
  for (const { segment } of namedSegments(state)) {
    if (segment.object !== null) names.add(segment.object.object)
  }
  // What is retired and waits for its collection.
  for (const { partitions } of state.logs.values())
    for (const { retired = [] } of partitions)
      for (const { segment } of retired) names.add(segment.object?.object ?? '')
  return names
}

function isBehind(state: ManifestState, { logId, partition, baseOffset }: SegmentName): boolean {
  const log = state.logs.get(logId)
  if (log === undefined) return !state.deletedLogIds.has(logId)
  if (log.deletedAt !== undefined) return false
  const known = log.partitions[partition]
  return known === undefined || baseOffset >= wholePartition(known, partition).endOffset
}

/** Whether the archive is that of a directory's engine; a finding where it is not. */
export function isOfEngine(
  engineId: string,
  archive: ManifestState,
  url: string,
  findings: Findings,
): boolean {
  if (engineId === archive.engineId) return true
  const reason = `It belongs to engine ${archive.engineId}, and the data directory to ${engineId}.`
  findings.file(url, 'foreign', reason, false)
  return false
}

/** What a directory counts on in the archive, and the archive's manifest does not name. */
export function checkUploads(
  local: ManifestState,
  archive: ManifestState,
  url: string,
  findings: Findings,
): void {
  if (!isOfEngine(local.engineId, archive, url, findings)) return
  const names = namesOf(archive)
  for (const { log, partition, segment } of namedSegments(local)) {
    if (segment.object === null || names.has(segment.object.object)) continue
    const { baseOffset: from, endOffset: to, sha256 } = segment
    const records = { log: log.definition.name, partition, from, to }
    const reason = `The data directory has uploaded these records as ${segment.object.object}, which the archive's manifest does not name.`
    const other: OtherCopy =
      segment.disk === null
        ? { kind: 'none', readable: false }
        : { kind: 'segment', sha256, tier: 'disk' }
    const where = `${url}/${MANIFEST_DIRECTORY}`
    findings.problems.push({ where, position: null, kind: 'stale', ...records, reason, other })
  }
}
