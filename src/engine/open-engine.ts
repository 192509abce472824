/**
 * The composition root: from configuration and ports to a running engine.
 *
 * Opening a data directory, in order, because each step relies on the one before:
 * 1. it is ours or empty; 2. the kernel lock is held, and unfinished files are removed; 3. the manifest is read, is not
 *    behind the WAL, and is claimed for a new epoch;
 * 4. the archive, when it can be reached, says what only it knows; 5. the WAL is scanned and its records come back into
 *    RAM; 6. the manifest learns what the archive said;
 * 7. a new WAL file is begun; 8. segments that no manifest names are removed; 9. the scheduler starts.
 * A crash in any of them leaves a directory that opens to the same state.
 */
import { type ErrorCode, isStratalogError } from '../base/errors.ts'
import { randomHex } from '../base/random.ts'
import { parseBytes } from '../base/units.ts'
import { applyEdits } from '../format/manifest-builder.ts'
import type { ManifestEdit, ManifestState, Writer } from '../format/manifest.ts'
import { CACHE_DIRECTORY, LOCK_FILE } from '../format/paths.ts'
import { AckQueue } from '../log/ack-queue.ts'
import { bytesInDirectory } from '../log/segment-copies.ts'
import { SegmentPins } from '../log/segment-pins.ts'
import { SlabPool } from '../log/slab-pool.ts'
import type { Wal } from '../log/wal.ts'
import { QueryRunner } from '../query/query-runner.ts'
import { currentLockHolder } from '../storage/directory-lock.ts'
import { NodeFileSystem } from '../storage/node-file-system.ts'
import type { FileSystem } from '../storage/file-system.ts'
import { type OpenedObjectStore, openObjectStore } from '../storage/open-object-store.ts'
import { ArchiveWriter } from '../tiering/archive-writer.ts'
import type { TieringContext } from '../tiering/context.ts'
import { MemoryGovernor } from '../tiering/governor.ts'
import { TieringScheduler } from '../tiering/scheduler.ts'
import { assertNothingNew, openArchiveManifest, pullFromArchive } from './archive-connection.ts'
import { ColdCache } from './cold-cache.ts'
import { logCommitter } from './log-committer.ts'
import { removeOrphans } from './data-directory.ts'
import {
  type ConfigProblem,
  type StratalogOptions,
  configError,
  optionProblems,
  withoutProblems,
} from './config.ts'
import type { Engine } from './engine.ts'
import {
  availableMemoryBytes,
  environmentVariables,
  hostName,
  isDebug,
  processId,
  temporaryDirectory,
} from './environment.ts'
import { LogRegistry } from './log-registry.ts'
import { type EnginePorts, resolvePorts } from './ports.ts'
import { archiveFallback, archiveSegmentBytes, unpinnedSegmentBytes } from './segment-bytes.ts'
import { policyProblems } from './storage-policy.ts'
import { type Access, type Closers, lockHolder, openDirectory } from './open-directory.ts'
import { openWal, scanDirectoryWal } from './wal-opening.ts'
import { spawnQueryWorker } from './workers/spawn-query-worker.ts'

/** Free slabs kept for reuse. */
const FREE_SLAB_BYTES_MAX = 64 * 1024 * 1024
/** Disk that SQL may use for copies of archived segments. */
const COLD_CACHE_BYTES_MAX = 4 * 1024 ** 3
/** How often a directory is opened for reading while its writer lets go of what is being read. */
const READ_ATTEMPTS_MAX = 5

/**
 * @throws StratalogError `config_invalid`, `directory_foreign`, `directory_in_use`, `format_unsupported`, `corrupt`
 * kinds.
 */
export async function openEngine(
  given: StratalogOptions,
  givenPorts: Partial<EnginePorts>,
  access: Access,
): Promise<Engine> {
  const options = checkOptions(given)
  const ports = resolvePorts(options, givenPorts)
  for (let attempt = 1; ; attempt++) {
    const closers: Closers = []
    try {
      return await assemble(options, ports, access, closers)
    } catch (error) {
      await closeAll(closers, ports)
      if (access === 'write' || attempt === READ_ATTEMPTS_MAX || !mayHaveMoved(error)) throw error
    }
  }
}

/** Whether a writer that went on between two looks at its directory explains the error. */
function mayHaveMoved(error: unknown): boolean {
  const codes: readonly ErrorCode[] = ['wal_corrupt', 'manifest_corrupt', 'file_not_found']
  return isStratalogError(error) && codes.includes(error.code)
}

async function assemble(
  options: StratalogOptions,
  ports: EnginePorts,
  access: Access,
  closers: Closers,
): Promise<Engine> {
  const { clock, random, logger, metrics } = ports
  const fileSystem: FileSystem = new NodeFileSystem()
  const writer: Writer = {
    id: randomHex(random, 16),
    pid: processId(),
    host: hostName(),
    since: clock.now(),
  }
  const store = await openStore(options, ports, fileSystem, closers)
  const directory =
    options.dataDir === undefined
      ? null
      : await openDirectory(options.dataDir, fileSystem, ports, access, writer, closers)
  const engineId = directory?.manifest.state.engineId ?? randomHex(random, 16)
  /** From here on, what the archive knows more can no longer be taken over. */
  let isOpen = false
  const archive =
    store === null || access === 'read'
      ? null
      : new ArchiveWriter({
          store,
          openManifest: () =>
            openArchiveManifest({
              store,
              engineId,
              writer,
              clock,
              logger: logger.child('archive'),
              check: (known) => {
                if (directory === null) return
                if (isOpen) assertNothingNew(directory.manifest.state, known)
                else pullFromArchive(directory.manifest.state, known)
              },
            }),
        })
  const pulled =
    archive === null || directory === null
      ? []
      : await pull(archive, directory.manifest.state, ports)
  isOpen = true

  const pool = new SlabPool({ freeBytesMax: FREE_SLAB_BYTES_MAX, poison: isDebug() })
  const pins = new SegmentPins()
  const acks = new AckQueue()
  const walSlot: { wal: Wal | null } = { wal: null }
  const registry = new LogRegistry(
    {
      pool,
      pins,
      segmentBytes: (tier, segment, location) =>
        tier === 'object'
          ? archiveSegmentBytes(store, segment, location)
          : access === 'write'
            ? bytesInDirectory(fileSystem, options.dataDir ?? '', location)
            : unpinnedSegmentBytes(fileSystem, options.dataDir ?? '', store, segment, location),
      fallback: archiveFallback(store, logger.child('segments'), access === 'write'),
    },
    {
      get wal() {
        return walSlot.wal
      },
      acks,
    },
  )
  closers.push(async () => registry.close())
  if (directory !== null) {
    const state = applyEdits(directory.manifest.state, pulled)
    for (const log of state.logs.values()) registry.add(log)
    const scanned = scanDirectoryWal(directory, registry, ports)
    // Only now: the scan refuses an archive that holds other records than the WAL does.
    if (pulled.length > 0) await directory.manifest.commit(pulled)
    if (access === 'write') {
      walSlot.wal = await openWal({ directory, scanned, acks, ports, closers })
      // Last: what no manifest names is evidence until the WAL has shown that nothing is missing.
      await removeOrphans(fileSystem, directory.dataDir, directory.manifest.state, logger)
    }
  }

  const tiering: TieringContext = {
    engineId,
    clock,
    random,
    logger: logger.child('tiering'),
    metrics,
    disk: directory,
    archive,
    pins,
    wal: walSlot.wal,
    logs: () => registry.all(),
  }
  const scheduler = new TieringScheduler(tiering)
  closers.push(() => scheduler.close())
  if (access === 'write' && directory !== null) scheduler.start()
  const maxBytes =
    options.maxMemoryBytes === undefined
      ? Math.floor(availableMemoryBytes() / 2)
      : parseBytes(options.maxMemoryBytes, 'maxMemoryBytes')
  const evictionWatermark = options.evictionWatermark ?? 0.9
  const governor = new MemoryGovernor({
    pool,
    maxBytes,
    watermark: evictionWatermark,
    clock,
    metrics,
    logs: () => registry.all(),
    relieve: () => scheduler.relieve(),
  })
  const coldCache = openColdCache(options, fileSystem, store, access)
  closers.push(() => coldCache.close())
  const queries = new QueryRunner({
    clock,
    logger: logger.child('query'),
    viewOf: (name) => registry.get(name).view(),
    hasLog: (name) => registry.has(name),
    spawn: spawnQueryWorker,
    segmentPath: (source) => coldCache.acquire(source),
  })
  closers.push(() => queries.close())

  return {
    engineId,
    ports,
    registry,
    governor,
    scheduler,
    tiering,
    archive,
    store,
    coldCache,
    queries,
    defaults: options.defaults ?? {},
    surroundings: {
      hasDataDir: directory !== null,
      hasArchive: store !== null,
      evictionPolicy: options.evictionPolicy ?? 'fifo',
      evictionWatermark,
    },
    isReadOnly: access === 'read',
    writer: () => {
      if (directory === null) return null
      return access === 'write'
        ? lockHolder(writer)
        : currentLockHolder(`${directory.dataDir}/${LOCK_FILE}`)
    },
    commitLog: logCommitter(directory?.manifest ?? null),
    failure: () => acks.failure,
    close: () => closeAll(closers, ports),
  }
}

async function openStore(
  options: StratalogOptions,
  ports: EnginePorts,
  fileSystem: FileSystem,
  closers: Closers,
): Promise<OpenedObjectStore | null> {
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

function openColdCache(
  options: StratalogOptions,
  fileSystem: FileSystem,
  store: OpenedObjectStore | null,
  access: Access,
): ColdCache {
  const { dataDir } = options
  const directory = async (): Promise<{ path: string; dispose: () => Promise<void> }> => {
    if (dataDir !== undefined && access === 'write') {
      return { path: `${dataDir}/${CACHE_DIRECTORY}`, dispose: async () => {} }
    }
    const path = await temporaryDirectory()
    return { path, dispose: () => fileSystem.removeDirectory(path) }
  }
  return new ColdCache({ fileSystem, store, bytesMax: COLD_CACHE_BYTES_MAX, directory })
}

/**
 * Combinations that no single key shows are judged too when keys are wrong, over the keys that are right.
 * @throws StratalogError `config_invalid` with every problem.
 */
function checkOptions(given: unknown): StratalogOptions {
  const problems = optionProblems(given)
  const sound = withoutProblems(given, problems)
  // A key that is there but wrong is not a key that is missing.
  const isWrong = (key: string): boolean => problems.some(({ path }) => path === key)
  const all = [...problems, ...combinationProblems(sound, isWrong)]
  if (all.length > 0) throw configError(all)
  return given as StratalogOptions
}

function combinationProblems(
  options: StratalogOptions,
  isWrong: (key: string) => boolean,
): readonly ConfigProblem[] {
  const problems: ConfigProblem[] = []
  const hasDataDir = options.dataDir !== undefined || isWrong('dataDir')
  const hasArchive = options.archive !== undefined || isWrong('archive')
  if (hasArchive && !hasDataDir) {
    problems.push({
      path: 'dataDir',
      given: undefined,
      allowed: 'a directory, because there is an archive',
    })
  }
  const isOnS3 = options.archive?.toLowerCase().startsWith('s3:') === true || isWrong('archive')
  if (options.s3 !== undefined && !isOnS3) {
    problems.push({ path: 's3', given: options.s3, allowed: 'nothing without an archive on s3://' })
  }
  const around = {
    hasDataDir,
    hasArchive,
    evictionPolicy: options.evictionPolicy ?? 'fifo',
    evictionWatermark: options.evictionWatermark ?? 0.9,
  } as const
  // What goes with a mode that nobody can tell is not known.
  if (isWrong('defaults.mode')) return problems
  return [...problems, ...policyProblems(options.defaults ?? {}, around, 'defaults')]
}

async function closeAll(closers: Closers, ports: EnginePorts): Promise<void> {
  for (const close of closers.splice(0).reverse()) {
    try {
      await close()
    } catch (error) {
      ports.logger.warn('Closing a part of the engine failed.', { reason: String(error) })
    }
  }
}
