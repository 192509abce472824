/**
 * What appends say of themselves to the metrics port: how many there were and of how many records, by level, and of
 * some how long they took and how big they were. A single append takes less than a look at the clock and a port call,
 * so counts are handed over once a second, and of the levels that wait for no archive one append of many is measured.
 */
import type { Clock, Timer } from '../base/clock.ts'
import { type Metrics, noMetrics } from '../base/metrics.ts'
import type { AckLevel } from '../format/manifest.ts'
import { appendPayloadBytes } from '../format/wal-payload.ts'
import type { AppendResult } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'

/** One append of so many is measured, and besides the first of each second, so that few are measured all. */
const MEASURED_OF = 256

const PUBLISHED_EVERY_MS = 1_000

/** Where an append that is measured began. */
export interface MeasuredAppend {
  readonly level: AckLevel
  readonly startedAt: number
  readonly partition: Partition
  readonly offset: number
}

interface LevelCounts {
  appends: number
  records: number
  /** Appends that are not measured before the next one is. */
  passed: number
}

export class AppendMeter {
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #levels: Readonly<Record<AckLevel, LevelCounts>> = {
    memory: { appends: 0, records: 0, passed: 0 },
    disk: { appends: 0, records: 0, passed: 0 },
    object: { appends: 0, records: 0, passed: 0 },
  }
  #timer: Timer | null = null

  constructor(clock: Clock, metrics: Metrics) {
    this.#clock = clock
    this.#metrics = metrics
  }

  /** Null for an append that is not measured. */
  begin(level: AckLevel, partition: Partition): MeasuredAppend | null {
    if (this.#levels[level].passed > 0) return null
    return { level, startedAt: this.#clock.monotonic(), partition, offset: partition.nextOffset }
  }

  /** One record that was appended in the stretch that `begin` was called in. */
  row(
    appended: Promise<AppendResult>,
    level: AckLevel,
    measured: MeasuredAppend | null,
  ): Promise<AppendResult> {
    this.#count(level, 1)
    if (measured === null) {
      this.#levels[level].passed--
      return appended
    }
    this.#measureSize(measured)
    if (level !== 'memory') return this.#measureTime(appended, measured)
    this.#observeTime(measured)
    return appended
  }

  /** Whatever else is appended, at the end of the stretch that `begin` was called in. */
  append(
    appended: Promise<AppendResult>,
    level: AckLevel,
    measured: MeasuredAppend | null,
  ): Promise<AppendResult> {
    if (measured === null) this.#levels[level].passed--
    else this.#measureSize(measured)
    return appended.then((result) => {
      if (result.isDuplicate === true) return result
      this.#count(level, result.count)
      if (measured !== null) this.#observeTime(measured)
      return result
    })
  }

  /** Hands over what was counted up to now. */
  publish(): void {
    this.#timer?.cancel()
    this.#timer = null
    for (const [level, counts] of Object.entries(this.#levels)) {
      counts.passed = 0
      const { appends, records } = counts
      if (appends === 0) continue
      this.#metrics.count('stratalog_appends_total', appends, { level })
      this.#metrics.count('stratalog_append_records_total', records, { level })
      counts.appends = 0
      counts.records = 0
    }
  }

  #count(level: AckLevel, records: number): void {
    const counts = this.#levels[level]
    counts.appends++
    counts.records += records
    this.#timer ??= this.#clock.setTimer(PUBLISHED_EVERY_MS, () => this.publish())
  }

  /** Of what was applied at once; what waits for room goes without. */
  #measureSize({ level, partition, offset }: MeasuredAppend): void {
    if (level !== 'object') this.#levels[level].passed = MEASURED_OF - 1
    const end = partition.nextOffset
    const batch = end > offset ? partition.batchAt(offset) : undefined
    if (batch === undefined) return
    const { columns } = batch.view(offset, end)
    this.#metrics.observe('stratalog_append_records', end - offset, { level })
    const bytes = appendPayloadBytes(columns, 0, end - offset)
    this.#metrics.observe('stratalog_append_bytes', bytes, { level })
  }

  async #measureTime(
    appended: Promise<AppendResult>,
    measured: MeasuredAppend,
  ): Promise<AppendResult> {
    const result = await appended
    this.#observeTime(measured)
    return result
  }

  #observeTime({ level, startedAt }: MeasuredAppend): void {
    const elapsedMs = this.#clock.monotonic() - startedAt
    this.#metrics.observe('stratalog_append_ack_ms', elapsedMs, { level })
  }
}

/** Null where nobody is told: then nothing is counted. */
export function appendMeter(clock: Clock, metrics: Metrics): AppendMeter | null {
  return metrics === noMetrics ? null : new AppendMeter(clock, metrics)
}
