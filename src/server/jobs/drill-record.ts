/** The last drill of the server's own archive: in the status, in the metrics, and in the log where it failed. */
import type { Clock } from '../../base/clock.ts'
import type { Logger } from '../../base/logger.ts'
import type { Metrics } from '../../base/metrics.ts'
import type { DrillReport } from '../../replay/drill-report.ts'

/** Reasons of a verdict in a status and in a line of the log. */
const REASONS_MAX = 10

export interface DrillStatus {
  /** When it ended: ISO 8601, UTC. */
  readonly time: string
  readonly verdict: 'PASS' | 'FAIL'
  /** The first ones. */
  readonly reasons: readonly string[]
  readonly coverage: number
  readonly rtoMs: number
  readonly rpoMs: number | null
  readonly rpoRecords: number | null
  readonly hashEqual: boolean | null
}

export class DrillRecord {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #metrics: Metrics
  #last: DrillStatus | null = null

  constructor(ports: {
    readonly clock: Clock
    readonly logger: Logger
    readonly metrics: Metrics
  }) {
    this.#clock = ports.clock
    this.#logger = ports.logger
    this.#metrics = ports.metrics
  }

  /** Null before there was one. */
  get last(): DrillStatus | null {
    return this.#last
  }

  note(report: DrillReport): void {
    const { verdict, coverage, rtoMs, rpoMs, rpoRecords, hashEqual } = report
    const now = this.#clock.now()
    const reasons = report.reasons.slice(0, REASONS_MAX)
    const time = new Date(now).toISOString()
    this.#last = { time, verdict, reasons, coverage, rtoMs, rpoMs, rpoRecords, hashEqual }
    const fields = { verdict, coverage, rtoMs, rpoMs, rpoRecords }
    if (verdict === 'PASS') this.#logger.info('a drill passed', fields)
    else this.#logger.warn('A drill of the archive failed.', { ...fields, reasons })
    const metrics = this.#metrics
    metrics.count('stratalog_drills_total', 1, { verdict })
    metrics.gauge('stratalog_drill_passed', verdict === 'PASS' ? 1 : 0)
    metrics.gauge('stratalog_drill_time_seconds', now / 1_000)
    metrics.gauge('stratalog_drill_coverage', coverage)
    metrics.gauge('stratalog_drill_rto_ms', rtoMs)
    if (rpoMs !== null) metrics.gauge('stratalog_drill_rpo_ms', rpoMs)
    if (rpoRecords !== null) metrics.gauge('stratalog_drill_rpo_records', rpoRecords)
  }
}
