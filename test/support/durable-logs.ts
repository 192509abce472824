/**
 * Logs over a directory, a WAL and an archive in memory, through many lives: the machine can be made to lose its power
 * at any call that changes a store, and what is left is opened again. What a test drives is the engine's own code; only
 * the putting together is done here.
 */
import { DATA_DIR } from './tiering.ts'
import { writer } from './manifests.ts'
import { ENGINE_ID, WAL_DIRECTORY } from './wal.ts'
import { StratalogError } from '../../src/base/errors.ts'
import { MemoryLogger } from '../../src/base/logger.ts'
import { MemoryMetrics } from '../../src/base/metrics.ts'
import { type Random, seededRandom } from '../../src/base/random.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { alterLog } from '../../src/engine/alter-log.ts'
import { pullFromArchive } from '../../src/engine/archive-connection.ts'
import type { StorageChanges } from '../../src/engine/config.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { LogRegistry } from '../../src/engine/log-registry.ts'
import { type PolicyChange, commitPolicy } from '../../src/engine/policy-committer.ts'
import { readableLog } from '../../src/engine/readable-log.ts'
import { RecordStream } from '../../src/engine/record-stream.ts'
import type { StorageSurroundings } from '../../src/engine/storage-policy.ts'
import { applyEdits } from '../../src/format/manifest-builder.ts'
import type { LogDefinition, ManifestState } from '../../src/format/manifest.ts'
import { AckQueue } from '../../src/log/ack-queue.ts'
import type { LiveLog } from '../../src/log/live-log.ts'
import { manifestFilesInDirectory, manifestFilesInStore } from '../../src/log/manifest-files.ts'
import { ManifestStore } from '../../src/log/manifest-store.ts'
import type { Partition } from '../../src/log/partition.ts'
import { Recovery } from '../../src/log/recovery.ts'
import { bytesInDirectory, bytesInStore } from '../../src/log/segment-copies.ts'
import { SegmentPins } from '../../src/log/segment-pins.ts'
import { SlabPool } from '../../src/log/slab-pool.ts'
import { scanWal } from '../../src/log/wal-scan.ts'
import { type Wal, createInlineWal } from '../../src/log/wal.ts'
import type { FileSystem } from '../../src/storage/file-system.ts'
import { MemoryFileSystem } from '../../src/storage/memory-file-system.ts'
import { MemoryObjectStore } from '../../src/storage/memory-object-store.ts'
import { MemorySyncFileSystem } from '../../src/storage/memory-sync-file-system.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import { ArchiveWriter } from '../../src/tiering/archive-writer.ts'
import { DiskBudget } from '../../src/tiering/disk-budget.ts'
import { TieringScheduler } from '../../src/tiering/scheduler.ts'
import { inlineEncoder } from '../../src/tiering/segment-encoder.ts'

const CHANGES: ReadonlySet<string> = new Set([
  'create',
  'putIfAbsent',
  'rename',
  'remove',
  'makeDirectory',
  'syncDirectory',
  'put',
])

export class Machine {
  readonly clock: VirtualClock = new VirtualClock()
  readonly files: MemoryFileSystem
  readonly walFiles: MemorySyncFileSystem
  readonly objects: MemoryObjectStore = new MemoryObjectStore({ url: 'memory://archive' })
  /** Calls that change a store until the power goes; Infinity: it stays. */
  powerLeft: number = Infinity
  /** A call by its name that fails, and changes nothing, while all others work. */
  failing: string | null = null
  /** Whether a call, which may be one that reads, is answered with an error though it was done. */
  unheard: (name: string) => boolean = () => false

  constructor(random: Random) {
    this.files = new MemoryFileSystem({ random })
    this.walFiles = new MemorySyncFileSystem({ random })
    this.walFiles.faults = () => {
      this.spendPower()
      return undefined
    }
  }

  /** What is not synced may be lost; the archive keeps what it has. */
  crash(): void {
    this.files.crash()
    this.walFiles.crash()
    this.powerLeft = Infinity
  }

  spendPower(): void {
    if (this.powerLeft-- <= 0) throw new StratalogError('file_system_failed', 'the power is cut')
  }

  /** A store whose changes take power. */
  powered<Store extends FileSystem | ObjectStore>(store: Store): Store {
    return new Proxy(store, {
      get: (target, name) => {
        const value = Reflect.get(target, name) as unknown
        if (typeof name !== 'string') return value
        if (typeof value !== 'function') return value
        if (!CHANGES.has(name) && name !== 'read') return value.bind(target) as unknown
        return async (...given: unknown[]): Promise<unknown> => {
          if (CHANGES.has(name)) this.spendPower()
          if (name === this.failing) throw new StratalogError('disk_full', `no space for ${name}`)
          const result = (await Reflect.apply(value, target, given)) as unknown
          if (this.unheard(name))
            throw new StratalogError('file_system_failed', `no answer to ${name}`)
          return result
        }
      },
    })
  }
}

export interface Life {
  readonly log: LiveLog
  readonly wal: Wal
  readonly manifest: ManifestStore
  readonly archive: ArchiveWriter
  readonly registry: LogRegistry
  readonly scheduler: TieringScheduler
  /** Lets the WAL write and sync what it has. */
  readonly run: () => void
  /** From here on the WAL goes on by itself. */
  readonly runAlone: () => void
  /** Every record that a reader sees, gaps left out. */
  readonly rows: (partition?: number) => Promise<Record<string, unknown>[]>
  /** The machine's clock, which moves only by `advance`. */
  readonly now: () => number
  readonly advance: (ms: number) => void
  /** Changes the policy of the log, as the engine does. */
  readonly alter: (storage: StorageChanges) => Promise<void>
}

/** Opens what lies in the machine; the log is made when it is not there. */
export async function openLife(machine: Machine, definition: LogDefinition): Promise<Life> {
  const { clock } = machine
  const fileSystem = machine.powered<FileSystem>(machine.files)
  const store = machine.powered<ObjectStore>(machine.objects)
  for (const directory of ['', '/manifest', '/tmp', '/segments'])
    await fileSystem.makeDirectory(`${DATA_DIR}${directory}`)
  const claim = async (files: Parameters<typeof ManifestStore.open>[0]): Promise<ManifestStore> => {
    const opened = await ManifestStore.open(files, { clock })
    await opened.claim(writer(`w${opened.state.epoch}`), ENGINE_ID)
    return opened
  }
  const manifest = await claim(manifestFilesInDirectory(fileSystem, DATA_DIR))
  await createIn(manifest, definition)
  const pins = new SegmentPins()
  const acks = new AckQueue<Partition>()
  const logPorts: { wal: Wal | null; acks: AckQueue<Partition>; room: null } = {
    wal: null,
    acks,
    room: null,
  }
  const registry = new LogRegistry(
    {
      pool: new SlabPool({ freeBytesMax: 1 << 20, poison: true }),
      pins,
      now: () => clock.now(),
      segmentBytes: (tier, _segment, location) =>
        tier === 'disk'
          ? bytesInDirectory(machine.files, DATA_DIR, location)
          : bytesInStore(machine.objects, location),
    },
    logPorts,
    clock,
  )
  const archive = new ArchiveWriter({
    store,
    clock,
    openManifest: () => claim(manifestFilesInStore(store)),
  })
  const pulled = pullFromArchive(manifest.state, (await archive.manifest()).state)
  for (const state of applyEdits(manifest.state, pulled).logs.values()) registry.add(state)
  const { wal, run, runAlone } = recoverWal(machine, manifest.state, registry, acks)
  await manifest.commit(pulled)
  logPorts.wal = wal
  const scheduler = new TieringScheduler({
    engineId: ENGINE_ID,
    clock,
    random: seededRandom(manifest.state.epoch),
    logger: new MemoryLogger(),
    metrics: new MemoryMetrics(),
    disk: { fileSystem, dataDir: DATA_DIR, manifest },
    archive,
    diskBudget: new DiskBudget({ maxBytes: null, watermark: 0.9 }),
    pins,
    wal,
    encoder: inlineEncoder(clock),
    logs: () => registry.all(),
  })
  const log = registry.get(definition.name)
  const rows = (partition = 0): Promise<Record<string, unknown>[]> =>
    new RecordStream(
      readableLog(log, () => {}),
      { partition, onGap: 'skip' },
    ).toArray()
  const engine = {
    surroundings: SURROUNDINGS,
    lowerTiers: { commitPolicy: (change: PolicyChange) => commitPolicy(manifest, archive, change) },
  } as unknown as Engine
  const alter = (storage: StorageChanges): Promise<void> => alterLog(engine, log, { storage })
  const now = (): number => clock.now()
  const advance = (ms: number): void => clock.advance(ms)
  const driven = { run, runAlone, rows, alter, now, advance }
  return { log, wal, manifest, archive, registry, scheduler, ...driven }
}

const SURROUNDINGS: StorageSurroundings = {
  hasDataDir: true,
  hasArchive: true,
  hasSnapshotPlace: false,
  evictionPolicy: 'fifo',
  evictionWatermark: 0.9,
}

async function createIn(manifest: ManifestStore, log: LogDefinition): Promise<void> {
  if (manifest.state.logs.has(log.id)) return
  const startOffsets = Array.from({ length: log.partitions }, () => 0)
  await manifest.commit([{ kind: 'log-created', log, startOffsets }])
}

function recoverWal(
  machine: Machine,
  { epoch, walLsn }: ManifestState,
  registry: LogRegistry,
  acks: AckQueue<Partition>,
): Pick<Life, 'wal' | 'run' | 'runAlone'> {
  const recovery = new Recovery(registry.byId, new Set())
  const recovered = scanWal(machine.walFiles, WAL_DIRECTORY, {
    engineId: ENGINE_ID,
    fromLsn: walLsn,
    onFrame: (frame, payload) => recovery.apply(frame, payload),
  })
  recovery.finish()
  const turns: (() => void)[] = []
  let isAlone = false
  const run = (): void => {
    for (let turn = turns.shift(); turn !== undefined; turn = turns.shift()) turn()
  }
  const wal = createInlineWal({
    fileSystem: machine.walFiles,
    directory: WAL_DIRECTORY,
    engineId: ENGINE_ID,
    epoch,
    recovered,
    ringBytes: 1 << 16,
    sizes: { fileBytesMin: 1 << 12, fileBytesMax: 1 << 16, zeroAheadBytes: 1 << 11 },
    schedule: (turn) => {
      turns.push(turn)
      if (isAlone) queueMicrotask(run)
    },
  })
  wal.onDurable((lsn) => acks.settle(lsn))
  wal.onFailure((failure) => acks.withdraw(wal.durableLsn, false, () => failure))
  const runAlone = (): void => {
    isAlone = true
    run()
  }
  return { wal, run, runAlone }
}
