/** What queries say of themselves to the metrics port. */
import type { ErrorCode } from '../base/errors.ts'
import type { Metrics } from '../base/metrics.ts'
import type { QueryStats } from './query-result.ts'

export interface EndedQuery {
  /** `ok`, or the code of the error that ended it. */
  readonly outcome: ErrorCode | 'ok'
  /** From the call to its end, waiting for its turn included. */
  readonly elapsedMs: number
  /** Of its result. */
  readonly rows: number
  /** Null where it ended before they were known. */
  readonly stats: QueryStats | null
}

export function countQuery(metrics: Metrics, query: EndedQuery): void {
  const { outcome, elapsedMs, rows, stats } = query
  metrics.count('stratalog_queries_total', 1, { outcome })
  metrics.observe('stratalog_query_ms', elapsedMs)
  metrics.count('stratalog_query_rows_total', rows)
  if (stats === null) return
  for (const [tier, records] of Object.entries(stats.recordsByTier))
    metrics.count('stratalog_query_records_total', records, { tier })
  for (const [tier, bytes] of Object.entries(stats.bytesByTier))
    metrics.count('stratalog_query_bytes_total', bytes, { tier })
  metrics.count('stratalog_query_requests_total', stats.requests)
}

export function setQueryGauges(metrics: Metrics, running: number, waiting: number): void {
  metrics.gauge('stratalog_queries', running, { state: 'running' })
  metrics.gauge('stratalog_queries', waiting, { state: 'waiting' })
}
