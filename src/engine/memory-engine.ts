/**
 * The RAM tier that every engine has, and the engine that has nothing else. Nothing here loads what only a disk, an
 * archive or a query needs: an engine in RAM is there within milliseconds.
 */
import { AssertionError } from '../base/assert.ts'
import { forwardTime } from '../base/clock.ts'
import { parseBytes } from '../base/units.ts'
import { AckQueue } from '../log/ack-queue.ts'
import type { LiveLog, LiveLogPorts } from '../log/live-log.ts'
import type { Partition, PartitionPorts } from '../log/partition.ts'
import { SegmentPins } from '../log/segment-pins.ts'
import { SlabPool } from '../log/slab-pool.ts'
import type { Wal } from '../log/wal.ts'
import type { DiskShortage } from '../tiering/disk-shortage.ts'
import type { Leave } from '../tiering/end-log.ts'
import { MemoryGovernor } from '../tiering/governor.ts'
import { type Closers, closeAll } from './closers.ts'
import type { StratalogOptions } from './config.ts'
import type { Engine } from './engine.ts'
import { availableMemoryBytes, isDebug } from './environment.ts'
import { loadQueries } from './load-queries.ts'
import { LogRegistry } from './log-registry.ts'
import { Policies } from './policies.ts'
import type { EnginePorts } from './ports.ts'
import { Queries } from './queries.ts'
import { surroundingsOf } from './storage-policy.ts'

/** Free slabs kept for reuse. */
const FREE_SLAB_BYTES_MAX = 32 * 1024 * 1024
/** Where the budget has room for them: what two flushes of segments of full size let go. */
const IDLE_CHUNK_BYTES_MAX = 128 * 1024 * 1024

/** The logs of an engine and the budget that they share. */
export interface MemoryTier {
  readonly registry: LogRegistry
  readonly governor: MemoryGovernor
  /** From here on logs that want a WAL write to this one. */
  readonly setWal: (wal: Wal) => void
  /** From here on the budget holds: recovery has to have its memory. */
  readonly enforceBudget: () => void
}

/** Ports that are filled in while an engine is put together. */
type Late<Ports> = { -readonly [Name in keyof Ports]: Ports[Name] }

/** What the RAM tier is told of what lies below it. */
export interface BelowMemory {
  readonly segments: Omit<PartitionPorts, 'pool' | 'now' | 'onExpiring'>
  readonly acks: AckQueue<Partition>
  /** Flushes what can be flushed and drops what is proven below. */
  readonly relieve: () => Promise<void>
  /** Whether what could be flushed finds no room on disk. */
  readonly shortage: () => DiskShortage | null
}

export function openMemoryTier(
  options: StratalogOptions,
  { clock, metrics }: EnginePorts,
  { segments, acks, relieve, shortage }: BelowMemory,
): MemoryTier {
  const pool = new SlabPool({
    freeBytesMax: FREE_SLAB_BYTES_MAX,
    idleBytesMax: IDLE_CHUNK_BYTES_MAX,
    poison: isDebug(),
  })
  const logPorts: Late<LiveLogPorts> = { wal: null, acks, room: null }
  const registry = new LogRegistry(
    {
      ...segments,
      pool,
      now: forwardTime(clock),
      onExpiring: (partition) => governor.watch(partition),
    },
    logPorts,
    clock,
  )
  const governor: MemoryGovernor = new MemoryGovernor({
    pool,
    maxBytes:
      options.maxMemoryBytes === undefined
        ? Math.floor(availableMemoryBytes() / 2)
        : parseBytes(options.maxMemoryBytes, 'maxMemoryBytes'),
    watermark: surroundingsOf(options).evictionWatermark,
    clock,
    metrics,
    logs: () => registry.all(),
    relieve,
    shortage,
  })
  return {
    registry,
    governor,
    setWal: (wal) => {
      logPorts.wal = wal
    },
    enforceBudget: () => {
      pool.limit = governor.maxBytes
      logPorts.room = governor
    },
  }
}

/** An engine without a data directory. One that only reads never has anything to read. */
export function openMemoryEngine(
  options: StratalogOptions,
  ports: EnginePorts,
  isReadOnly: boolean,
): Engine {
  const closers: Closers = []
  const { registry, governor, enforceBudget } = openMemoryTier(options, ports, {
    segments: { pins: new SegmentPins(), segmentBytes: noSegments },
    acks: new AckQueue(),
    relieve: () => Promise.resolve(),
    shortage: () => null,
  })
  closers.push(async () => registry.close())
  const logs = { ...registry.queried, store: null, dataDir: null }
  const queries = new Queries(() => loadQueries(logs, ports, options))
  closers.push(() => queries.close())
  closers.push(async () => governor.close())
  enforceBudget()
  let nextLogId = 1
  const surroundings = surroundingsOf(options)
  return {
    engineId: null,
    ports,
    registry,
    governor,
    lowerTiers: null,
    snapshots: null,
    archiveUse: null,
    queries,
    policies: new Policies(options.defaults ?? {}, surroundings),
    surroundings,
    isReadOnly,
    writer: () => null,
    commitLog: async (make) => make(nextLogId++),
    deleteLog: (log) => deleteInMemory(registry, log, async () => {}),
    disk: null,
    diskBudget: null,
    assertWriter: () => {},
    failure: () => null,
    close: () => closeAll(closers, ports.logger),
  }
}

/** `commit` makes it durable, where something would bring the log back. */
export async function deleteInMemory(
  registry: LogRegistry,
  log: LiveLog,
  commit: (leave: Leave) => Promise<void>,
): Promise<void> {
  const { endLog } = await import('../tiering/end-log.ts')
  await endLog(log, (isSure) => registry.remove(log, isSure), commit)
}

function noSegments(): never {
  throw new AssertionError('an engine in RAM has no segments')
}
