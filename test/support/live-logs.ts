/** Live logs without an engine around them: over a WAL in memory, or none. */
import { HYBRID_POLICY, logDefinition } from './manifests.ts'
import { type OpenTestWalOptions, type TestWal, openTestWal } from './wal.ts'
import { columnReader } from '../../src/format/column-values.ts'
import type { LogDefinition, SegmentEntry, StoragePolicy, Tier } from '../../src/format/manifest.ts'
import type { RecordBatch } from '../../src/format/record-batch.ts'
import type { Row } from '../../src/format/schema-inference.ts'
import type { Schema } from '../../src/format/schema.ts'
import type { Location } from '../../src/format/segment-entry.ts'
import { AckQueue } from '../../src/log/ack-queue.ts'
import type { AppendTerms } from '../../src/log/append-terms.ts'
import { type AppendResult, LiveLog, type MemoryRoom } from '../../src/log/live-log.ts'
import type { LogView } from '../../src/log/log-view.ts'
import { MemoryAccount } from '../../src/log/memory-account.ts'
import { Partition } from '../../src/log/partition.ts'
import { Recovery } from '../../src/log/recovery.ts'
import { SegmentPins } from '../../src/log/segment-pins.ts'
import { SlabPool } from '../../src/log/slab-pool.ts'
import type { Wal } from '../../src/log/wal.ts'
import type { SyncFileSystem } from '../../src/storage/file-system.ts'

export const MEMORY_POLICY: StoragePolicy = {
  ...HYBRID_POLICY,
  mode: 'memory',
  ack: 'memory',
  wal: false,
  archiveAfter: null,
  diskTtl: null,
}

/** What live logs share: recycled slabs are poisoned, so that a use after release shows. */
export class Surroundings {
  pool: SlabPool = new SlabPool({ freeBytesMax: 8 * 1024 * 1024, poison: true })
  readonly pins: SegmentPins = new SegmentPins()
  readonly acks: AckQueue<Partition> = new AckQueue()
  readonly wal: Wal | null
  /** The clock that records expire by; unset, none does. */
  now: () => number = () => -Infinity
  onExpiring: (partition: Partition) => void = () => {}
  room: MemoryRoom | null = null
  /** The bytes of a segment's copy; unset, segments are not read. */
  copy: (tier: Tier, location: Location) => Promise<Uint8Array> = () =>
    Promise.reject(new Error('segments of this log are not read'))

  constructor(wal: Wal | null = null) {
    this.wal = wal
    wal?.onDurable((durableLsn) => this.acks.settle(durableLsn))
    wal?.onFailure((failure) => this.acks.withdraw(wal.durableLsn, false, () => failure))
  }
}

export interface LiveLogOptions {
  readonly definition?: Partial<LogDefinition>
  readonly policy?: StoragePolicy
  readonly schemas?: readonly Schema[]
  /** By partition. */
  readonly segments?: readonly Iterable<SegmentEntry>[]
}

export function liveLog(around: Surroundings, options: LiveLogOptions = {}): LiveLog {
  const policy = options.policy ?? (around.wal === null ? MEMORY_POLICY : HYBRID_POLICY)
  const definition = logDefinition(1, { timeColumn: null, policy, ...options.definition })
  const memory = new MemoryAccount(around.pool)
  memory.setBudget(policy.maxMemoryBytes, policy.evictionWatermark)
  const partitions = Array.from(
    { length: definition.partitions },
    (_, partition) =>
      new Partition(
        {
          logId: definition.id,
          partition,
          timeColumn: definition.timeColumn ?? '_time',
          startOffset: 0,
          segments: options.segments?.[partition] ?? [],
          memory,
        },
        policy.ack,
        {
          pool: around.pool,
          pins: around.pins,
          now: () => around.now(),
          onExpiring: (expiring) => around.onExpiring(expiring),
          segmentBytes: (tier, _segment, location) => ({
            length: location.length,
            path: null,
            position: 0,
            read: async ({ start, end }) => {
              const bytes = await around.copy(tier, location)
              return bytes.subarray(location.position + start, location.position + end)
            },
          }),
        },
      ),
  )
  return new LiveLog(definition, options.schemas ?? [], partitions, around)
}

/** A log over a WAL in memory, with what the WAL holds of it. */
export interface RecoveredLog {
  readonly log: LiveLog
  readonly around: Surroundings
  readonly testWal: TestWal
  readonly recovery: Recovery
}

const ROOMY: OpenTestWalOptions = {
  ringBytes: 1 << 16,
  sizes: { fileBytesMin: 1 << 14, fileBytesMax: 1 << 18, zeroAheadBytes: 1 << 12 },
}

export function recoverLog(
  fileSystem: SyncFileSystem,
  options: LiveLogOptions & { readonly wal?: OpenTestWalOptions } = {},
): RecoveredLog {
  const testWal = openTestWal(fileSystem, { ...ROOMY, ...options.wal })
  const around = new Surroundings(testWal.wal)
  const log = liveLog(around, options)
  const recovery = new Recovery(new Map([[log.id, log]]), new Set())
  for (const { frame, payload } of testWal.frames) recovery.apply(frame, payload)
  return { log, around, testWal, recovery }
}

/** Appends rows to one partition, at the log's own level; nothing waits for it. */
export function appendRows(
  log: LiveLog,
  rows: readonly Row[],
  partition = 0,
  time = 1_000,
  terms?: AppendTerms,
): Promise<AppendResult> {
  return log.append(log.partition(partition), { kind: 'rows', rows }, log.policy.ack, time, terms)
}

/** Every record that lies in RAM in a view of a partition, with its offset. */
export function hotRows(view: LogView, partition = 0): Row[] {
  const sources = view.partitions[partition]?.sources ?? []
  return sources.flatMap((source) => (source.tier === 'memory' ? batchRows(source.batch) : []))
}

export function batchRows(batch: RecordBatch): Row[] {
  const readers = batch.columns.map((column) => columnReader(column))
  return Array.from({ length: batch.length }, (_, row) => {
    const entries = batch.schema.fields.map(
      (field, index) => [field.name, readers[index]?.(row)] as const,
    )
    return {
      _offset: batch.baseOffset + row,
      ...Object.fromEntries(entries.filter(([name]) => name !== '_time')),
    }
  })
}

/** What is visible in RAM of a partition now; the view is released. */
export function visibleRows(log: LiveLog, partition = 0): Row[] {
  const view = log.view()
  try {
    return hotRows(view, partition)
  } finally {
    view.release()
  }
}
