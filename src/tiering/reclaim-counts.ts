import type { Metrics } from '../base/metrics.ts'
import type { EvictionPolicy } from '../format/manifest.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Reclaimed } from '../log/memory-account.ts'
import type { Eviction } from '../log/eviction.ts'
import { memoryOf } from './log-memory.ts'

/** Counts what was dropped from its only copy: for the engine, for each log, and as metrics by policy. */
export class ReclaimCounts {
  readonly #metrics: Metrics
  readonly total: Reclaimed = {
    evictedRecords: {},
    evictedBatches: 0,
    evictedBytes: 0,
    expiredRecords: 0,
  }

  constructor(metrics: Metrics) {
    this.#metrics = metrics
  }

  evicted(log: LiveLog, evictions: readonly Eviction[]): void {
    const policy: EvictionPolicy = log.policy.evictionPolicy
    let [records, batches, bytes] = [0, 0, 0]
    for (const eviction of evictions) {
      records += eviction.records
      batches += eviction.isWhole ? 1 : 0
      bytes += eviction.bytes
    }
    for (const counts of [this.total, memoryOf(log).reclaimCounts]) {
      counts.evictedRecords[policy] = (counts.evictedRecords[policy] ?? 0) + records
      counts.evictedBatches += batches
      counts.evictedBytes += bytes
    }
    this.#metrics.count('stratalog_evicted_records_total', records, { policy })
    this.#metrics.count('stratalog_evicted_bytes_total', bytes, { policy })
  }

  expired(own: Reclaimed, records: number): void {
    own.expiredRecords += records
    this.total.expiredRecords += records
    this.#metrics.count('stratalog_expired_records_total', records)
  }
}
