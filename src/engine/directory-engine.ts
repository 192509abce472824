/**
 * Opens an engine over a data directory.
 *
 * In order, because each step relies on the one before:
 * 1. it is ours or empty; 2. the kernel lock is held, and unfinished files are removed; 3. the manifest is read, and is
 *    not behind the WAL;
 * 4. the archive, when it can be reached, says what only it knows, and is claimed where the WAL does not contradict it;
 * 5. the records of the WAL come back into RAM;
 * 6. the manifest is claimed for a new epoch, and learns what the archive said: until here nothing changed. Where RAM
 *    is short this comes before the first flush of what was read;
 * 7. a new WAL file is begun; 8. segments that no manifest names are removed; 9. the scheduler starts.
 * A crash in any of them leaves a directory that opens to the same state.
 */
import { type ErrorCode, StratalogError, isStratalogError } from '../base/errors.ts'
import { once } from '../base/once.ts'
import { randomHex } from '../base/random.ts'
import { parseBytes } from '../base/units.ts'
import { WAL_BYTES_MAX } from '../format/limits.ts'
import { applyEdits } from '../format/manifest-builder.ts'
import type { ManifestEdit, Writer } from '../format/manifest.ts'
import { LOCK_FILE, type SegmentName } from '../format/paths.ts'
import { AckQueue } from '../log/ack-queue.ts'
import type { ArchiveBytes } from '../log/archive-view.ts'
import { DiskHealth } from '../log/disk-health.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition, PartitionPorts } from '../log/partition.ts'
import { bytesInDirectory } from '../log/segment-copies.ts'
import { SegmentPins } from '../log/segment-pins.ts'
import type { ResumableWal } from '../log/resumable-wal.ts'
import { diskFailed } from '../log/wal-files.ts'
import type { Wal } from '../log/wal.ts'
import type { FileSystem } from '../storage/file-system.ts'
import { WatchedFileSystem } from '../storage/watched-file-system.ts'
import type { OpenedObjectStore } from '../storage/open-object-store.ts'
import type { PacedObjectStore } from '../storage/paced-object-store.ts'
import { ArchiveWriter } from '../tiering/archive-writer.ts'
import type { TieringContext } from '../tiering/context.ts'
import { diskShortage } from '../tiering/disk-shortage.ts'
import { RecoveryRelief } from '../tiering/recovery-relief.ts'
import { TieringScheduler } from '../tiering/scheduler.ts'
import { adoptSegments, syncAdopted } from './adopt-segments.ts'
import { notedSettings, openArchiveStore } from './archive-store.ts'
import { assertNothingNew, openArchiveManifest, pullFromArchive } from './archive-connection.ts'
import { ArchiveFence, watchFence, writerGuard } from './archive-fence.ts'
import { archiveUse } from './archive-use.ts'
import { type Closers, closeAll } from './closers.ts'
import type { S3Options, StratalogOptions } from './config.ts'
import { removeOrphans } from './data-directory.ts'
import { recoverDirectoryWal } from './directory-recovery.ts'
import type { Engine } from './engine.ts'
import { type ColdParts, directoryParts, passingParts } from './cold-parts.ts'
import { loadQueries } from './load-queries.ts'
import { commitLogTo } from './log-committer.ts'
import type { LogRegistry } from './log-registry.ts'
import {
  type LostInSnapshot,
  type PlacedLog,
  assertRestorable,
  loadLogs,
  placedIn,
  placedLogs,
  type DamagedSnapshots,
  withSoundSnapshots,
} from './load-snapshot.ts'
import { loadColdTerms } from './load-terms.ts'
import { keptSnapshots } from './keep-snapshots.ts'
import { type MemoryTier, openMemoryTier } from './memory-engine.ts'
import { type Access, type OpenedDirectory, lockHolder, openDirectory } from './open-directory.ts'
import { Policies } from './policies.ts'
import type { EnginePorts } from './ports.ts'
import { type QuarantinePlace, keepingDamage } from './quarantine.ts'
import { lowerTiersOf } from './lower-tiers-of.ts'
import { assertSameHistory } from './same-history.ts'
import { pull } from './pull.ts'
import { openScrubber } from './open-scrubber.ts'
import { Queries } from './queries.ts'
import { archiveFallback, archiveSegmentBytes, unpinnedSegmentBytes } from './segment-bytes.ts'
import { type SnapshotPlace, openSnapshotPlace } from './snapshot-place.ts'
import { assertKeepsAll, snapshotUrl } from './snapshot-url.ts'
import { surroundingsOf } from './storage-policy.ts'
import { openReadArchive } from './source-archive.ts'
import type { StoragePorts } from './storage-ports.ts'
import { storageOf } from './system-storage.ts'
import { bytesOnDisk, diskBudgetOf, hasPacks, pacedStore, tierLimitsOf } from './tier-budgets.ts'
import { openWal } from './wal-opening.ts'

/** How often a directory is opened for reading while its writer lets go of what is being read. */
const READ_ATTEMPTS_MAX = 5

/** What every step of opening is given. */
interface Opening {
  readonly options: StratalogOptions
  readonly dataDir: string
  readonly ports: EnginePorts
  readonly access: Access
  readonly writer: Writer
  readonly storage: StoragePorts
  /** The data directory's files: what its disk may lose ends the epoch of the WAL. */
  readonly dataFiles: FileSystem
  readonly late: LateWal
  readonly fence: ArchiveFence
  readonly closers: Closers
  /** Snapshots at a `snapshotLocation` that are not to be used; null: none is. */
  readonly damaged: DamagedSnapshots | null
  /** Whether it is looked again when a writer that goes on may have moved what is being read. */
  readonly looksAgain: boolean
}

/** Filled in once there is one. */
interface LateWal {
  wal: ResumableWal | null
}

/** The directory, and the archive where there is one. */
interface Places {
  readonly directory: OpenedDirectory
  /** The archive's store, for reading. */
  readonly store: OpenedObjectStore | null
  readonly archive: ArchiveWriter | null
  /** The store as its writer has it, where that has a bandwidth. */
  readonly pace: PacedObjectStore | null
  /** What the archive knows more than the directory's manifest. */
  readonly pulled: readonly ManifestEdit[]
  /** A `snapshotLocation` beside the archive; null without one. */
  readonly place: SnapshotPlace | null
  /** What it has of logs in RAM. */
  readonly placed: readonly PlacedLog[]
}

/**
 * @throws StratalogError `directory_foreign`, `directory_in_use`, `file_not_found`, `format_unsupported`,
 * `archive_foreign`, `archive_diverged`, `config_invalid`, `corrupt` kinds.
 */
export function openDirectoryEngine(
  options: StratalogOptions,
  dataDir: string,
  ports: EnginePorts,
  access: Access,
): Promise<Engine> {
  const restores = options.restoreOnOpen !== false
  return withSoundSnapshots(
    (damaged) =>
      openSoundly({ options, dataDir, ports, access, damaged: restores ? damaged : null }),
    ports.logger,
  )
}

/** As it is configured, with snapshots that are not to be used. @throws SnapshotDamaged, and as the above. */
async function openSoundly(
  wanted: Pick<Opening, 'options' | 'dataDir' | 'ports' | 'access' | 'damaged'>,
): Promise<Engine> {
  const { ports, access } = wanted
  const storage = storageOf(ports)
  for (let attempt = 1; ; attempt++) {
    const closers: Closers = []
    const writer = thisWriter(ports, storage)
    const late: LateWal = { wal: null }
    const dataFiles = new WatchedFileSystem(storage.fileSystem, (error) =>
      late.wal?.abandon(diskFailed(error)),
    )
    const files = { storage, dataFiles, late, fence: new ArchiveFence() }
    const looksAgain = access === 'read' && attempt < READ_ATTEMPTS_MAX
    try {
      return await assemble({ ...wanted, writer, closers, ...files, looksAgain })
    } catch (error) {
      await closeAll(closers, ports.logger)
      if (!looksAgain || !mayHaveMoved(error)) throw error
    }
  }
}

/** Whether a writer that went on between two looks at its directory explains the error. */
function mayHaveMoved(error: unknown): boolean {
  const codes: readonly ErrorCode[] = ['wal_corrupt', 'manifest_corrupt', 'file_not_found']
  return isStratalogError(error) && codes.includes(error.code)
}

function thisWriter({ random, clock }: EnginePorts, { processName }: StoragePorts): Writer {
  return { id: randomHex(random, 16), ...processName, since: clock.now() }
}

async function assemble(opening: Opening): Promise<Engine> {
  const { options, dataDir, ports, access, writer, storage, closers } = opening
  const places = await openPlaces(opening)
  const { directory, store, archive } = places
  const pins = new SegmentPins()
  const acks = new AckQueue<Partition>()
  const disk = access === 'write' ? new DiskHealth(ports) : null
  let scheduler: TieringScheduler | null = null
  const logs = ports.logger.child('segments')
  const openParts = (): ColdParts =>
    access === 'write'
      ? directoryParts(storage, dataDir, options.maxCacheBytes, logs)
      : passingParts(storage, logs)
  const parts = store === null ? null : openParts()
  if (parts !== null) closers.push(() => parts.close())
  const archiveBytes: ArchiveBytes | null =
    store === null || parts === null
      ? null
      : (segment, location) => parts.bytes(store, segment.sha256, location)
  const logOf = (id: number): LiveLog | undefined => registry.byId.get(id)
  const readArchive = store && openReadArchive({ store, ...directory, logOf, ...ports }, closers)
  const successor = archive === null && archiveBytes && readArchive?.lookup(archiveBytes)
  const own = segmentPorts(opening, archiveBytes, pins)
  const segments = { ...own, successor: successor || null }
  const memory = openMemoryTier(options, ports, {
    segments,
    acks,
    relieve: async () => scheduler?.relieve(),
    shortage: () => diskShortage(tiering),
  })
  const { registry, governor } = memory
  closers.push(async () => registry.close())
  const { clock, random, logger, metrics } = ports
  const tiering: TieringContext = {
    engineId: directory.manifest.state.engineId,
    clock,
    random,
    logger: logger.child('tiering'),
    metrics,
    disk: directory,
    archive,
    source: directory.manifest.state.archive === undefined ? null : readArchive,
    diskBudget: diskBudgetOf(options),
    pins,
    wal: null,
    walBytesMax: parseBytes(options.walBytesMax ?? WAL_BYTES_MAX, 'walBytesMax'),
    encoder: storage.encoder(clock),
    logs: () => registry.all(),
  }
  closers.push(() => tiering.encoder.close())
  const evidence =
    access === 'read' ? null : { dataDir, fileSystem: storage.fileSystem, logger: ports.logger }
  const wal = await keepingDamage(evidence, ['wal', 'segment'], () =>
    recover(opening, places, { memory, acks, disk, tiering, evidence }),
  )
  if (wal !== null) memory.setWal(wal)
  memory.enforceBudget()
  await loadColdTerms(registry.all(), segments)
  const lost = await loadPlaced(opening, places, memory)
  tiering.diskBudget.hold(bytesOnDisk(registry.all()), hasPacks(registry.all()))
  const opened = new TieringScheduler({ ...tiering, wal }, tierLimitsOf(options))
  // Who reads beside a writer moves nothing: not on time, not for want of RAM, and not at closing.
  if (access === 'write') {
    scheduler = opened
    closers.push(() => opened.close())
    closers.push(async () => places.pace?.lift())
    opened.start()
    watchFence(opening, { archive, registry, scheduler: opened })
  }
  const scrubber = openScrubber(options, { ...tiering, wal }, evidence, closers)
  const queries = directoryQueries(opening, registry, store)
  closers.push(() => queries.close())
  closers.push(async () => governor.close())
  const surroundings = surroundingsOf(options, snapshotUrl(options) !== null)
  const lowerTiers = lowerTiersOf({ ...tiering, wal }, opened, registry, scrubber, places.place)
  return {
    engineId: directory.engineId === '' ? null : directory.engineId,
    ports,
    registry,
    governor,
    lowerTiers,
    deleteLog: (log) => lowerTiers.delete(log),
    snapshots: keptSnapshots(options, closers, {
      archive,
      place: places.place,
      registry,
      scheduler: access === 'read' ? null : opened,
      ports,
      tiering: { ...tiering, wal },
      lost,
    }),
    archiveUse: archiveUse(store, parts, clock, () => archive?.state ?? directory.manifest.state),
    queries,
    policies: new Policies(options.defaults ?? {}, surroundings),
    surroundings,
    isReadOnly: access === 'read',
    writer: () =>
      access === 'write'
        ? lockHolder(writer)
        : storage.currentLockHolder(`${dataDir}/${LOCK_FILE}`),
    commitLog: commitLogTo(directory.manifest),
    disk,
    diskBudget: tiering.diskBudget,
    assertWriter: writerGuard(opening, directory.lock),
    failure: () => disk?.refusal ?? null,
    close: () => closeAll(closers, ports.logger),
  }
}

async function loadPlaced(
  { damaged, ports }: Opening,
  { place, placed }: Places,
  memory: MemoryTier,
): Promise<readonly LostInSnapshot[]> {
  if (place === null) return []
  const lost = await loadLogs(place, placed, memory, ports)
  for (const key of damaged?.objects ?? []) place.archive.damaged.add(key)
  return lost
}

/** Steps 1 to 4. */
async function openPlaces(opening: Opening): Promise<Places> {
  const { options, dataDir, ports, access, writer, storage, dataFiles, fence, closers } = opening
  const { clock, logger } = ports
  const { archive: url, s3 } = options
  const store = url === undefined ? null : await openStore(opening, url, s3)
  const files = { ...storage, dataDir, fileSystem: dataFiles, evidenceFiles: storage.fileSystem }
  const directory = await openDirectory(files, ports, access, writer, closers)
  const { archive: noted } = directory.manifest.state
  // Of a directory that was restored without its bytes: for reading, nothing is written there.
  const readable =
    store ?? (noted && (await openStore(opening, noted.url, notedSettings(noted, s3)))) ?? null
  if (access === 'read')
    return {
      directory,
      store: readable,
      archive: null,
      pace: null,
      pulled: [],
      place: null,
      placed: [],
    }
  const place = await openPlace(opening, directory)
  const placed = place === null ? [] : placedLogs(place.state, opening.damaged?.ids ?? null)
  if (place !== null) await assertRestorable(place, placed)
  if (store === null)
    return { directory, store: readable, archive: null, pace: null, pulled: [], place, placed }
  const { manifest, engineId } = directory
  const pace = pacedStore(store, options, clock)
  /** From here on, what the archive knows more can no longer be taken over. */
  let isOpen = false
  const wal = { directory, fileSystem: storage.syncFileSystem, logger }
  const archive = new ArchiveWriter({
    store: pace ?? store,
    clock,
    deletedLogIds: () => manifest.state.deletedLogIds,
    openManifest: () =>
      openArchiveManifest({
        store,
        engineId,
        writer,
        clock,
        logger: logger.child('archive'),
        onFenced: (error) => fence.close(error),
        check: async (known) => {
          if (isOpen) return assertNothingNew(manifest.state, known)
          const edits = pullFromArchive(manifest.state, known)
          if (edits.length > 0)
            await assertSameHistory(wal, applyEdits(manifest.state, edits), store)
        },
      }),
  })
  const pulled = await pull(archive, directory, ports)
  if (place !== null)
    assertKeepsAll(applyEdits(manifest.state, pulled).logs.values(), place.store.url)
  isOpen = true
  return { directory, store, archive, pace, pulled, place, placed }
}

async function openPlace(
  { options, ports, writer, closers }: Opening,
  directory: OpenedDirectory,
): Promise<SnapshotPlace | null> {
  const url = snapshotUrl(options)
  if (url === null) return null
  assertKeepsAll(directory.manifest.state.logs.values(), url)
  const place = await openSnapshotPlace(url, options, ports, writer, directory)
  closers.push(() => place.store.close())
  return place
}

async function openStore(
  { ports, closers }: Opening,
  url: string,
  s3: S3Options | undefined,
): Promise<OpenedObjectStore> {
  const store = await openArchiveStore(url, s3, ports)
  closers.push(() => store.close())
  return store
}

function segmentPorts(
  { dataDir, ports, access, storage: { fileSystem } }: Opening,
  archive: ArchiveBytes | null,
  pins: SegmentPins,
): Omit<PartitionPorts, 'pool'> {
  return {
    pins,
    segmentBytes: (tier, segment, location) =>
      tier === 'object'
        ? archiveSegmentBytes(archive, segment, location)
        : access === 'write'
          ? bytesInDirectory(fileSystem, dataDir, location)
          : unpinnedSegmentBytes(fileSystem, dataDir, archive, segment, location),
    fallback: archiveFallback(archive, ports.logger.child('segments'), access === 'write'),
  }
}

/** What recovery fills, and what it has to do with. */
interface Recovering {
  readonly memory: MemoryTier
  readonly acks: AckQueue<Partition>
  readonly disk: DiskHealth | null
  readonly tiering: TieringContext
  readonly evidence: QuarantinePlace | null
}

/** Steps 5 to 8: what the manifest and the WAL hold is live. The WAL that takes appends; null for reading. */
async function recover(
  { ports, writer, storage, dataFiles, late, closers, looksAgain }: Opening,
  { directory, pulled, placed }: Places,
  { memory, acks, disk, tiering, evidence }: Recovering,
): Promise<Wal | null> {
  const { manifest, dataDir } = directory
  const { registry, governor } = memory
  const pulledState = applyEdits(manifest.state, pulled)
  const adopted = await adoptSegments(dataFiles, dataDir, pulledState, ports.logger)
  const state = applyEdits(pulledState, adopted)
  for (const log of state.logs.values()) registry.add(placedIn(log, placed))
  const claim = once(async () => {
    await claimAsRead(directory, writer)
    await syncAdopted(dataFiles, dataDir, adopted)
    if (pulled.length + adopted.length > 0) await manifest.commit([...pulled, ...adopted])
  })
  const scanned = await recoverDirectoryWal({
    directory,
    fileSystem: storage.syncFileSystem,
    registry,
    acks,
    ports,
    isArchiveAhead: pulled.length > 0,
    relief: disk === null ? null : new RecoveryRelief(tiering, () => governor),
    claim,
    memoryBytes: () => governor.usedBytes,
    evidence,
    mayHaveMoved: looksAgain,
  })
  if (disk === null) return null
  await claim()
  const opening = { directory, writer, registry, scanned, acks, disk, ports, storage, closers }
  const wal = await openWal(opening)
  late.wal = wal
  // Last: what no manifest names is evidence until the WAL has shown that nothing is missing.
  const isUnknown = (segment: SegmentName): boolean => isBeyond(segment, registry)
  await removeOrphans(dataFiles, dataDir, manifest.state, isUnknown, ports.logger)
  return wal
}

/** Claims the manifest as it was read: what came in between would not be in RAM. @throws `writer_fenced`. */
async function claimAsRead({ manifest, engineId }: OpenedDirectory, writer: Writer): Promise<void> {
  const { number } = manifest
  await manifest.claim(writer, engineId)
  if (manifest.number === number + 1) return
  throw new StratalogError(
    'writer_fenced',
    `${manifest.location} was written by another process while it was opened. Open it again.`,
    { details: { location: manifest.location, number, found: manifest.number - 1 } },
  )
}

/** Whether a segment begins behind all that its log has: it is evidence then, and not left over. */
function isBeyond({ logId, partition, baseOffset }: SegmentName, registry: LogRegistry): boolean {
  const known = registry.byId.get(logId)?.partitions[partition]
  return known !== undefined && baseOffset >= known.nextOffset
}

function directoryQueries(
  { options, dataDir, ports, access }: Opening,
  registry: LogRegistry,
  store: OpenedObjectStore | null,
): Queries {
  const logs = { ...registry.queried, store, dataDir: access === 'write' ? dataDir : null }
  return new Queries(() => loadQueries(logs, ports, options))
}
