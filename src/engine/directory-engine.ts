/**
 * Opens an engine over a data directory.
 *
 * In order, because each step relies on the one before:
 * 1. it is ours or empty; 2. the kernel lock is held, and unfinished files are removed; 3. the manifest is read, is not
 *    behind the WAL, and is claimed for a new epoch;
 * 4. the archive, when it can be reached, says what only it knows; 5. the WAL is scanned and its records come back into
 *    RAM; 6. the manifest learns what the archive said;
 * 7. a new WAL file is begun; 8. segments that no manifest names are removed; 9. the scheduler starts.
 * A crash in any of them leaves a directory that opens to the same state.
 */
import { type ErrorCode, isStratalogError } from '../base/errors.ts'
import { randomHex } from '../base/random.ts'
import { applyEdits } from '../format/manifest-builder.ts'
import type { ManifestEdit, ManifestState, Writer } from '../format/manifest.ts'
import { CACHE_DIRECTORY, LOCK_FILE } from '../format/paths.ts'
import { AckQueue } from '../log/ack-queue.ts'
import type { PartitionPorts } from '../log/partition.ts'
import { bytesInDirectory } from '../log/segment-copies.ts'
import { SegmentPins } from '../log/segment-pins.ts'
import type { Wal } from '../log/wal.ts'
import { currentLockHolder } from '../storage/directory-lock.ts'
import { NodeFileSystem } from '../storage/node-file-system.ts'
import { type OpenedObjectStore, openObjectStore } from '../storage/open-object-store.ts'
import { ArchiveWriter } from '../tiering/archive-writer.ts'
import { TieringScheduler } from '../tiering/scheduler.ts'
import { assertNothingNew, openArchiveManifest, pullFromArchive } from './archive-connection.ts'
import { type Closers, closeAll } from './closers.ts'
import type { StratalogOptions } from './config.ts'
import { removeOrphans } from './data-directory.ts'
import type { Engine } from './engine.ts'
import { environmentVariables, processId } from './environment.ts'
import { hostName } from './host.ts'
import { commitLogTo } from './log-committer.ts'
import type { LogRegistry } from './log-registry.ts'
import { type LowerTiers, noArchiveForSnapshot } from './lower-tiers.ts'
import { openMemoryTier } from './memory-engine.ts'
import { type Access, type OpenedDirectory, lockHolder, openDirectory } from './open-directory.ts'
import { Policies } from './policies.ts'
import { commitPolicy } from './policy-committer.ts'
import type { EnginePorts } from './ports.ts'
import { Queries } from './queries.ts'
import { archiveFallback, archiveSegmentBytes, unpinnedSegmentBytes } from './segment-bytes.ts'
import { createSnapshot, listSnapshots } from './snapshots.ts'
import { surroundingsOf } from './storage-policy.ts'
import { openWal, scanDirectoryWal } from './wal-opening.ts'

/** How often a directory is opened for reading while its writer lets go of what is being read. */
const READ_ATTEMPTS_MAX = 5

/** What every step of opening is given. */
interface Opening {
  readonly options: StratalogOptions
  readonly dataDir: string
  readonly ports: EnginePorts
  readonly access: Access
  readonly writer: Writer
  readonly fileSystem: NodeFileSystem
  readonly closers: Closers
}

/** The directory, and the archive where there is one. */
interface Places {
  readonly directory: OpenedDirectory
  /** The archive's store, for reading. */
  readonly store: OpenedObjectStore | null
  readonly archive: ArchiveWriter | null
  /** What the archive knows more than the directory's manifest. */
  readonly pulled: readonly ManifestEdit[]
}

/**
 * @throws StratalogError `directory_foreign`, `directory_in_use`, `file_not_found`, `format_unsupported`,
 * `archive_foreign`, `archive_diverged`, `corrupt` kinds.
 */
export async function openDirectoryEngine(
  options: StratalogOptions,
  dataDir: string,
  ports: EnginePorts,
  access: Access,
): Promise<Engine> {
  const fileSystem = new NodeFileSystem()
  for (let attempt = 1; ; attempt++) {
    const closers: Closers = []
    const writer = thisWriter(ports)
    try {
      return await assemble({ options, dataDir, ports, access, writer, fileSystem, closers })
    } catch (error) {
      await closeAll(closers, ports.logger)
      if (access === 'write' || attempt === READ_ATTEMPTS_MAX || !mayHaveMoved(error)) throw error
    }
  }
}

/** Whether a writer that went on between two looks at its directory explains the error. */
function mayHaveMoved(error: unknown): boolean {
  const codes: readonly ErrorCode[] = ['wal_corrupt', 'manifest_corrupt', 'file_not_found']
  return isStratalogError(error) && codes.includes(error.code)
}

function thisWriter({ random, clock }: EnginePorts): Writer {
  return { id: randomHex(random, 16), pid: processId(), host: hostName(), since: clock.now() }
}

async function assemble(opening: Opening): Promise<Engine> {
  const { options, dataDir, ports, access, writer, closers } = opening
  const places = await openPlaces(opening)
  const { directory, store, archive } = places
  const pins = new SegmentPins()
  const acks = new AckQueue()
  let scheduler: TieringScheduler | null = null
  const memory = openMemoryTier(options, ports, {
    segments: segmentPorts(opening, store, pins),
    acks,
    relieve: async () => scheduler?.relieve(),
  })
  const { registry, governor } = memory
  closers.push(async () => registry.close())
  const wal = await recover(opening, places, registry, acks)
  if (wal !== null) memory.setWal(wal)
  memory.enforceBudget()
  scheduler = new TieringScheduler({
    engineId: directory.manifest.state.engineId,
    clock: ports.clock,
    random: ports.random,
    logger: ports.logger.child('tiering'),
    metrics: ports.metrics,
    disk: directory,
    archive,
    pins,
    wal,
    logs: () => registry.all(),
  })
  const opened = scheduler
  closers.push(() => opened.close())
  if (access === 'write') opened.start()
  const queries = directoryQueries(opening, registry, store)
  closers.push(() => queries.close())
  closers.push(async () => governor.close())
  const surroundings = surroundingsOf(options)
  return {
    ports,
    registry,
    governor,
    lowerTiers: lowerTiers(places, scheduler, registry, ports),
    queries,
    policies: new Policies(options.defaults ?? {}, surroundings),
    surroundings,
    isReadOnly: access === 'read',
    writer: () =>
      access === 'write' ? lockHolder(writer) : currentLockHolder(`${dataDir}/${LOCK_FILE}`),
    commitLog: commitLogTo(directory.manifest),
    failure: () => acks.failure,
    close: () => closeAll(closers, ports.logger),
  }
}

/** Steps 1 to 4. */
async function openPlaces(opening: Opening): Promise<Places> {
  const { dataDir, ports, access, writer, fileSystem, closers } = opening
  const { clock, logger } = ports
  const store = await openStore(opening)
  const directory = await openDirectory(dataDir, fileSystem, ports, access, writer, closers)
  if (store === null || access === 'read') return { directory, store, archive: null, pulled: [] }
  const { manifest } = directory
  const { engineId } = manifest.state
  /** From here on, what the archive knows more can no longer be taken over. */
  let isOpen = false
  const archive = new ArchiveWriter({
    store,
    openManifest: () =>
      openArchiveManifest({
        store,
        engineId,
        writer,
        clock,
        logger: logger.child('archive'),
        check: (known) => {
          if (isOpen) assertNothingNew(manifest.state, known)
          else pullFromArchive(manifest.state, known)
        },
      }),
  })
  const pulled = await pull(archive, manifest.state, ports)
  isOpen = true
  return { directory, store, archive, pulled }
}

async function openStore({
  options,
  ports,
  fileSystem,
  closers,
}: Opening): Promise<OpenedObjectStore | null> {
  if (options.archive === undefined) return null
  const { clock, random, metrics, logger } = ports
  const store = await openObjectStore(options.archive, {
    ...(options.s3 === undefined ? {} : { s3: options.s3 }),
    fileSystem,
    clock,
    random,
    metrics,
    logger,
    environment: environmentVariables(),
  })
  closers.push(() => store.close())
  return store
}

/** A store that is away costs lag, not the start; anything else that is wrong with it is said now. */
async function pull(
  archive: ArchiveWriter,
  local: ManifestState,
  ports: EnginePorts,
): Promise<readonly ManifestEdit[]> {
  try {
    const remote = await archive.manifest()
    return pullFromArchive(local, remote.state)
  } catch (error) {
    if (!isStratalogError(error) || error.code !== 'store_unavailable') throw error
    ports.logger.warn('The archive cannot be reached; uploads wait until it can.', {
      reason: error.message,
    })
    return []
  }
}

function segmentPorts(
  { dataDir, ports, access, fileSystem }: Opening,
  store: OpenedObjectStore | null,
  pins: SegmentPins,
): Omit<PartitionPorts, 'pool'> {
  return {
    pins,
    segmentBytes: (tier, segment, location) =>
      tier === 'object'
        ? archiveSegmentBytes(store, segment, location)
        : access === 'write'
          ? bytesInDirectory(fileSystem, dataDir, location)
          : unpinnedSegmentBytes(fileSystem, dataDir, store, segment, location),
    fallback: archiveFallback(store, ports.logger.child('segments'), access === 'write'),
  }
}

/** Steps 5 to 8: what the manifest and the WAL hold is live. The WAL that takes appends; null for reading. */
async function recover(
  { ports, access, fileSystem, closers }: Opening,
  { directory, pulled }: Places,
  registry: LogRegistry,
  acks: AckQueue,
): Promise<Wal | null> {
  const { manifest, dataDir } = directory
  const state = applyEdits(manifest.state, pulled)
  for (const log of state.logs.values()) registry.add(log)
  const scanned = scanDirectoryWal(directory, registry, ports)
  // Only now: the scan refuses an archive that holds other records than the WAL does.
  if (pulled.length > 0) await manifest.commit(pulled)
  if (access === 'read') return null
  const wal = await openWal({ directory, scanned, acks, ports, closers })
  // Last: what no manifest names is evidence until the WAL has shown that nothing is missing.
  await removeOrphans(fileSystem, dataDir, manifest.state, ports.logger)
  return wal
}

function directoryQueries(
  { dataDir, ports, access }: Opening,
  registry: LogRegistry,
  store: OpenedObjectStore | null,
): Queries {
  return new Queries(async () => {
    const { openQueries } = await import('./open-queries.ts')
    return openQueries(
      {
        viewOf: (name) => registry.get(name).view(),
        hasLog: (name) => registry.has(name),
        store,
        cacheDirectory: access === 'write' ? `${dataDir}/${CACHE_DIRECTORY}` : null,
      },
      ports,
    )
  })
}

function lowerTiers(
  { directory, archive }: Places,
  scheduler: TieringScheduler,
  registry: LogRegistry,
  ports: EnginePorts,
): LowerTiers {
  return {
    scheduler,
    commitPolicy: (change) => commitPolicy(directory.manifest, archive, change),
    createSnapshot: async (options) => {
      if (archive === null) throw noArchiveForSnapshot()
      return createSnapshot({ archive, registry, scheduler, ports }, options)
    },
    listSnapshots: async () => (archive === null ? [] : listSnapshots(archive)),
  }
}
