/**
 * The executors of tier moves with everything around them in memory: a data directory, a WAL, an archive and a clock
 * that moves when told to. Every step that reaches a store is noted in order, and may be made to fail.
 */
import { MEMORY_POLICY, Surroundings, type LiveLogOptions, liveLog } from './live-logs.ts'
import { HYBRID_POLICY, logDefinition, writer } from './manifests.ts'
import { ENGINE_ID, WAL_DIRECTORY } from './wal.ts'
import { StratalogError, type ErrorCode } from '../../src/base/errors.ts'
import { MemoryLogger } from '../../src/base/logger.ts'
import { MemoryMetrics } from '../../src/base/metrics.ts'
import { seededRandom } from '../../src/base/random.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import type { StoragePolicy } from '../../src/format/manifest.ts'
import type { LiveLog } from '../../src/log/live-log.ts'
import { manifestFilesInDirectory, manifestFilesInStore } from '../../src/log/manifest-files.ts'
import { ManifestStore } from '../../src/log/manifest-store.ts'
import { scanWal } from '../../src/log/wal-scan.ts'
import { type Wal, createInlineWal } from '../../src/log/wal.ts'
import type { FileSystem } from '../../src/storage/file-system.ts'
import { MemoryFileSystem } from '../../src/storage/memory-file-system.ts'
import { MemoryObjectStore } from '../../src/storage/memory-object-store.ts'
import { MemorySyncFileSystem } from '../../src/storage/memory-sync-file-system.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import { ArchiveWriter } from '../../src/tiering/archive-writer.ts'
import type { DiskContext, TieringContext } from '../../src/tiering/context.ts'
import { DiskBudget } from '../../src/tiering/disk-budget.ts'
import { TieringScheduler } from '../../src/tiering/scheduler.ts'
import { inlineEncoder } from '../../src/tiering/segment-encoder.ts'
import { TIER_LIMITS, type TierLimits } from '../../src/tiering/tier-limits.ts'

export { HYBRID_POLICY, MEMORY_POLICY }

export const DATA_DIR = '/data'

/** One call of a store, such as `disk rename segments/…` or `object put manifest/…`. */
export type StepFault = (step: string) => ErrorCode | Promise<void> | null

export interface Bench {
  readonly clock: VirtualClock
  readonly logger: MemoryLogger
  readonly metrics: MemoryMetrics
  readonly around: Surroundings
  readonly wal: Wal
  readonly walFiles: MemorySyncFileSystem
  readonly files: MemoryFileSystem
  readonly objects: MemoryObjectStore
  readonly disk: DiskContext
  readonly archive: ArchiveWriter
  readonly diskBudget: DiskBudget
  readonly context: TieringContext
  readonly scheduler: TieringScheduler
  /** Every call that changes a store, in order. */
  readonly steps: string[]
  /** Makes calls fail before they happen, or wait. */
  fault: StepFault
  /** Makes calls that happened be answered with an error. */
  lostReply: (step: string) => boolean
  /** Adds a log to the manifest and makes it live. */
  addLog(options?: LiveLogOptions): Promise<LiveLog>
}

export interface BenchOptions {
  readonly hasArchive?: boolean
  readonly walBytesMax?: number
  readonly maxDiskBytes?: number
  readonly limits?: TierLimits
}

export async function tieringBench({
  hasArchive = true,
  walBytesMax,
  maxDiskBytes,
  limits = TIER_LIMITS,
}: BenchOptions = {}): Promise<Bench> {
  const clock = new VirtualClock()
  const logger = new MemoryLogger()
  const metrics = new MemoryMetrics()
  const files = new MemoryFileSystem()
  const objects = new MemoryObjectStore({ url: 'memory://archive' })
  const walFiles = new MemorySyncFileSystem()
  const wal = memoryWal(walFiles)
  const around = new Surroundings(wal)
  around.copy = (tier, { object }) =>
    tier === 'disk' ? files.read(`${DATA_DIR}/${object}`) : objects.get(object)
  const logs: LiveLog[] = []
  let lastId = 0
  const steps: string[] = []
  const faults: Pick<Bench, 'fault' | 'lostReply'> = { fault: () => null, lostReply: () => false }
  const through = async <T>(step: string, call: () => Promise<T>): Promise<T> => {
    // Nothing waits for the name that says how far the manifest has come.
    if (!step.includes(' newest.')) steps.push(step)
    const fault = faults.fault(step)
    if (typeof fault === 'string') throw new StratalogError(fault, `planted: ${step}`)
    if (fault !== null) await fault
    const result = await call()
    if (faults.lostReply(step))
      throw new StratalogError('store_unavailable', `planted: no answer to ${step}`)
    return result
  }
  const fileSystem = notedFiles(files, through)
  const store = notedObjects(objects, through)
  for (const directory of ['manifest', 'tmp', 'segments'])
    await files.makeDirectory(`${DATA_DIR}/${directory}`)
  const openManifest = async (
    place: Parameters<typeof ManifestStore.open>[0],
  ): Promise<ManifestStore> => {
    const manifest = await ManifestStore.open(place, { clock })
    await manifest.claim(writer('w'), ENGINE_ID)
    return manifest
  }
  const disk: DiskContext = {
    fileSystem,
    dataDir: DATA_DIR,
    manifest: await openManifest(manifestFilesInDirectory(fileSystem, DATA_DIR)),
  }
  const archive = new ArchiveWriter({
    store,
    clock,
    openManifest: () => openManifest(manifestFilesInStore(store)),
  })
  const diskBudget = new DiskBudget({ maxBytes: maxDiskBytes ?? null, watermark: 0.9 })
  diskBudget.hold(0)
  const context: TieringContext = {
    engineId: ENGINE_ID,
    clock,
    random: seededRandom(3),
    logger,
    metrics,
    disk,
    archive: hasArchive ? archive : null,
    diskBudget,
    pins: around.pins,
    wal,
    ...(walBytesMax === undefined ? {} : { walBytesMax }),
    encoder: inlineEncoder(clock),
    logs: () => logs,
  }
  const addLog = async (options: LiveLogOptions = {}): Promise<LiveLog> => {
    const id = ++lastId
    const log = liveLog(around, {
      ...options,
      definition: logDefinition(id, {
        timeColumn: null,
        policy: options.policy ?? HYBRID_POLICY,
        ...options.definition,
      }),
    })
    const startOffsets = log.partitions.map((partition) => partition.startOffset)
    await disk.manifest.commit([{ kind: 'log-created', log: log.definition, startOffsets }])
    logs.push(log)
    return log
  }
  const scheduler = new TieringScheduler(context, limits)
  return Object.assign(faults, {
    clock,
    logger,
    metrics,
    around,
    wal,
    walFiles,
    files,
    objects,
    disk,
    archive,
    diskBudget,
    context,
    scheduler,
    steps,
    addLog,
  })
}

function memoryWal(fileSystem: MemorySyncFileSystem): Wal {
  const recovered = scanWal(fileSystem, WAL_DIRECTORY, {
    engineId: ENGINE_ID,
    fromLsn: 0,
    onFrame: () => {},
  })
  return createInlineWal({
    fileSystem,
    directory: WAL_DIRECTORY,
    engineId: ENGINE_ID,
    epoch: 1,
    recovered,
    ringBytes: 1 << 16,
    sizes: { fileBytesMin: 1 << 14, fileBytesMax: 1 << 18, zeroAheadBytes: 1 << 12 },
    schedule: queueMicrotask,
  })
}

type Through = <T>(step: string, call: () => Promise<T>) => Promise<T>

function notedFiles(files: MemoryFileSystem, through: Through): FileSystem {
  const shown = (path: string): string => path.replace(`${DATA_DIR}/`, '')
  return {
    open: (path) => files.open(path),
    read: (path) => files.read(path),
    list: (path) => files.list(path),
    stat: (path) => files.stat(path),
    makeDirectory: (path) => files.makeDirectory(path),
    removeDirectory: (path) => files.removeDirectory(path),
    create: async (path) => {
      const file = await through(`disk create ${shown(path)}`, () => files.create(path))
      return {
        write: (bytes) => through(`disk write ${shown(path)}`, () => file.write(bytes)),
        sync: () => through(`disk sync ${shown(path)}`, () => file.sync()),
        close: () => file.close(),
      }
    },
    putIfAbsent: (path, bytes) =>
      through(`disk put ${shown(path)}`, () => files.putIfAbsent(path, bytes)),
    rename: (from, to) => through(`disk rename ${shown(to)}`, () => files.rename(from, to)),
    remove: (path) => through(`disk remove ${shown(path)}`, () => files.remove(path)),
    syncDirectory: (path) =>
      through(`disk syncDirectory ${shown(path)}`, () => files.syncDirectory(path)),
  }
}

function notedObjects(objects: MemoryObjectStore, through: Through): ObjectStore {
  return {
    url: objects.url,
    put: (key, bytes, options) =>
      through(`object put ${key}`, () => objects.put(key, bytes, options)),
    get: (key, options) => through(`object get ${key}`, () => objects.get(key, options)),
    head: (key, options) => through(`object head ${key}`, () => objects.head(key, options)),
    list: (prefix, options) => objects.list(prefix, options),
    remove: (key) => through(`object remove ${key}`, () => objects.remove(key)),
    listUnfinished: (prefix, options) => (objects as ObjectStore).listUnfinished(prefix, options),
    abortUnfinished: (unfinished) => (objects as ObjectStore).abortUnfinished(unfinished),
    probe: (options) => objects.probe(options),
    close: () => objects.close(),
  }
}

/** The steps without numbers and hashes: what was done to which kind of thing. */
export function outline(steps: readonly string[]): string[] {
  const short = steps.map((step) => step.replace(/(manifest|segments|packs|tmp)(\/.*)?$/, '$1'))
  return short.filter((step, index) => step !== short[index - 1])
}

export function isManifestPut(tier: 'disk' | 'object', step: string): boolean {
  return step.startsWith(`${tier} put manifest/`)
}

/** Moves the policy's ages into reach: every tier move is due at once. */
export function eager(changes: Partial<StoragePolicy> = {}): StoragePolicy {
  return { ...HYBRID_POLICY, memoryTtl: 0, diskAfter: 0, archiveAfter: 0, diskTtl: 0, ...changes }
}
