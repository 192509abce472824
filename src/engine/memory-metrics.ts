/** What the memory tier holds and what it let go of, as numbers: for people, for `/metrics` and for tests. */
import { present } from '../base/assert.ts'
import type { Metrics } from '../base/metrics.ts'
import type { EvictionPolicy } from '../format/manifest.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Reclaimed } from '../log/memory-account.ts'
import type { Engine } from './engine.ts'

/** Records that were evicted from their only copy, by the policy that chose them. */
export type EvictedRecords = Readonly<Partial<Record<EvictionPolicy, number>>>

/** The memory of one log. */
export interface LogMemory {
  /** What readers lease counts. */
  readonly usedBytes: number
  /** The log's own budget; null: the engine's alone. */
  readonly maxBytes: number | null
  /** Records in RAM, expired ones that were not taken back yet among them. */
  readonly recordCount: number
  /** Records that were evicted from their only copy. */
  readonly evictionCount: number
  readonly evictedRecords: EvictedRecords
  /** Records that were taken back after their time to live. */
  readonly expiredRecords: number
}

/** As of each log, and of all together; counts are since the engine was opened. */
export interface MemoryMetrics extends LogMemory {
  readonly maxBytes: number
  /** Of the budget. */
  readonly usagePercent: number
  /** Appends that wait for room now. */
  readonly waitingAppends: number
  /** By name, in the order of creation. */
  readonly perLog: Readonly<Record<string, LogMemory>>
}

const NOTHING_LOST = { evictionCount: 0, evictedRecords: {}, expiredRecords: 0 } as const

/** Costs a look at every partition. Also sets the gauges of the metrics port. */
export function memoryMetrics({ governor, registry, ports }: Engine): MemoryMetrics {
  // Without a prototype: a log may be called `constructor`.
  const perLog = Object.create(null) as Record<string, LogMemory>
  let recordCount = 0
  for (const log of registry.all()) {
    const memory = logMemory(log)
    perLog[log.name] = memory
    recordCount += memory.recordCount
  }
  const { usedBytes, maxBytes, waitingAppends, ...lost } = governor.usage()
  setGauges(ports.metrics, { usedBytes, maxBytes, recordCount, waitingAppends })
  return {
    usedBytes,
    maxBytes,
    usagePercent: Math.round((usedBytes / maxBytes) * 1000) / 10,
    recordCount,
    ...lostRecords(lost),
    waitingAppends,
    perLog,
  }
}

function logMemory(log: LiveLog): LogMemory {
  const account = present(log.partitions[0], 'a partition').logMemory
  const { usedBytes, maxBytes } = account
  let recordCount = 0
  for (const partition of log.partitions) recordCount += partition.hotRecords
  return {
    usedBytes,
    maxBytes: maxBytes === Infinity ? null : maxBytes,
    recordCount,
    ...(account.hasReclaimed ? lostRecords(account.reclaimed) : NOTHING_LOST),
  }
}

function lostRecords({
  evictedRecords,
  expiredRecords,
}: Pick<Reclaimed, 'evictedRecords' | 'expiredRecords'>): Pick<
  LogMemory,
  'evictionCount' | 'evictedRecords' | 'expiredRecords'
> {
  let evictionCount = 0
  for (const records of Object.values(evictedRecords)) evictionCount += records
  return { evictionCount, evictedRecords: { ...evictedRecords }, expiredRecords }
}

/** No log's name is a label: a process may have 100,000 of them. */
function setGauges(
  metrics: Metrics,
  figures: Pick<MemoryMetrics, 'usedBytes' | 'maxBytes' | 'recordCount' | 'waitingAppends'>,
): void {
  metrics.gauge('stratalog_memory_used_bytes', figures.usedBytes)
  metrics.gauge('stratalog_memory_budget_bytes', figures.maxBytes)
  metrics.gauge('stratalog_memory_records', figures.recordCount)
  metrics.gauge('stratalog_memory_waiting_appends', figures.waitingAppends)
}
