/**
 * Live logs over a WAL that goes on by itself, on a disk and a clock in memory: the parts of an engine that have to do
 * with a failing disk. Nothing runs by itself but microtasks; time moves when told to.
 */
import { HYBRID_POLICY } from './manifests.ts'
import { MEMORY_POLICY, Surroundings, liveLog, visibleRows } from './live-logs.ts'
import { ENGINE_ID, SMALL_RING_BYTES, SMALL_SIZES, WAL_DIRECTORY } from './wal.ts'
import { MemoryLogger } from '../../src/base/logger.ts'
import { MemoryMetrics } from '../../src/base/metrics.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import type { StoragePolicy } from '../../src/format/manifest.ts'
import { DiskHealth } from '../../src/log/disk-health.ts'
import type { LiveLog } from '../../src/log/live-log.ts'
import { Recovery } from '../../src/log/recovery.ts'
import { ResumableWal } from '../../src/log/resumable-wal.ts'
import { recoverCut } from '../../src/log/wal-cut.ts'
import { type WalRecovered, scanWal } from '../../src/log/wal-scan.ts'
import { type Wal, createInlineWal } from '../../src/log/wal.ts'
import type { MemorySyncFileSystem } from '../../src/storage/memory-sync-file-system.ts'

export const DISK_POLICY: StoragePolicy = { ...HYBRID_POLICY, ack: 'disk' }
export const MEMORY_ACK_POLICY: StoragePolicy = { ...HYBRID_POLICY, ack: 'memory' }

export interface DiskBench {
  readonly clock: VirtualClock
  readonly logger: MemoryLogger
  readonly metrics: MemoryMetrics
  readonly disk: DiskHealth
  readonly wal: ResumableWal
  /** By policy: acknowledged on disk, in memory, and without a WAL. */
  readonly durable: LiveLog
  readonly fast: LiveLog
  readonly ram: LiveLog
  /** The epoch under which the WAL was opened last. */
  readonly epoch: () => number
  /** While false nothing of the WAL's turns runs: a disk that does not answer. */
  isRunning: boolean
  /** Runs what is ready, and what that makes ready. */
  settle(): Promise<void>
  /** Moves time until the disk works, or `ms` have passed. */
  heal(ms?: number): Promise<void>
}

/** What a probe writes: not of the WAL, so faults can be told apart. */
const PROBE = `${WAL_DIRECTORY}/probe~0.tmp`

export interface DiskBenchOptions {
  readonly epoch?: number
  readonly stuckAfterMs?: number
}

export function diskBench(
  fileSystem: MemorySyncFileSystem,
  { epoch: firstEpoch = 1, stuckAfterMs = 10_000 }: DiskBenchOptions = {},
): DiskBench {
  const clock = new VirtualClock()
  const logger = new MemoryLogger()
  const metrics = new MemoryMetrics()
  const disk = new DiskHealth({ clock, logger, metrics })
  const turns: (() => void)[] = []
  let epoch = firstEpoch
  const open = (recovered: WalRecovered): Wal =>
    createInlineWal({
      fileSystem,
      directory: WAL_DIRECTORY,
      engineId: ENGINE_ID,
      epoch,
      recovered,
      ringBytes: SMALL_RING_BYTES,
      sizes: SMALL_SIZES,
      schedule: (turn) => turns.push(turn),
      measuresSyncs: true,
    })
  const around: Surroundings & { wal: Wal | null } = new Surroundings()
  const durable = liveLog(around, { policy: DISK_POLICY, definition: { id: 1, partitions: 2 } })
  const fast = liveLog(around, { policy: MEMORY_ACK_POLICY, definition: { id: 2 } })
  const ram = liveLog(around, { policy: MEMORY_POLICY, definition: { id: 3 } })
  const logs = [durable, fast, ram]
  const recovery = new Recovery(new Map(logs.map((log) => [log.id, log])), new Set())
  const recovered = scanWal(fileSystem, WAL_DIRECTORY, {
    engineId: ENGINE_ID,
    fromLsn: 0,
    onFrame: (frame, payload) => recovery.apply(frame, payload),
  })
  const wal = new ResumableWal(open(recovered), {
    clock,
    disk,
    acks: around.acks,
    logs: () => logs,
    metrics,
    stuckAfterMs,
    probe: async () => {
      const file = fileSystem.open(PROBE, 'create')
      try {
        file.write(new Uint8Array(64), 0)
        file.sync()
      } finally {
        fileSystem.remove(PROBE)
      }
    },
    reopen: async (cut) => {
      if (cut.isNewEpoch) epoch++
      const options = { fileSystem, directory: WAL_DIRECTORY, engineId: ENGINE_ID, cut }
      const damagedLsns = new Set<number>()
      const pause = async (): Promise<void> => {}
      return open(await recoverCut({ ...options, checkpointLsn: 0, damagedLsns, pause }))
    },
  })
  around.wal = wal
  const bench = {
    clock,
    logger,
    metrics,
    disk,
    wal,
    durable,
    fast,
    ram,
    epoch: () => epoch,
    isRunning: true,
    settle: async () => {
      for (let idle = 0; idle < 12; idle++) {
        while (bench.isRunning && turns.length > 0) {
          turns.shift()?.()
          idle = 0
        }
        await Promise.resolve()
      }
    },
    heal: async (ms = 60_000) => {
      await bench.settle()
      for (let passed = 0; passed < ms && disk.state !== 'working'; passed += 50) {
        clock.advance(50)
        await bench.settle()
      }
    },
  }
  return bench
}

/** The numbers in column `n` that a reader sees, in order. */
export function numbersOf(log: LiveLog, partition = 0): unknown[] {
  return visibleRows(log, partition).map((row) => row['n'])
}
