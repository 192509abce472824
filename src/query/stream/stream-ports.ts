/** What a continuous query needs around it, and what it is asked for. */
import type { Clock } from '../../base/clock.ts'
import type { Metrics } from '../../base/metrics.ts'
import type { Range } from '../../base/range.ts'
import type { LogView } from '../../log/log-view.ts'
import type { QueryParameters } from '../../base/query-parameters.ts'
import type { QueryResult } from '../query-result.ts'
import type { QueryOptions } from '../query-runner.ts'
import type { StreamResumePoint } from './resume-point.ts'

/** A log that a query follows. Everything throws `log_not_found` or `engine_closed` once the log is gone. */
export interface StreamedLog {
  readonly id: number
  readonly name: string
  readonly timeColumn: string
  readonly partitionCount: number
  /** Names of the user's columns; null before the first record of a log without a schema. */
  columns(): readonly string[] | null
  /** Offsets of a partition that are readable now. */
  rangeOf(partition: number): Range
  /** Where the newest `count` readable records of a partition begin; Infinity: all of them. */
  newestStart(partition: number, count: number): number
  /** A pinned first part of `[from, to)` of one partition; the caller releases it. */
  viewOf(partition: number, from: number, to: number): LogView
  /** A pinned view of these offsets, by partition; the caller releases it. */
  pin(ranges: ReadonlyMap<number, Range>): LogView
  /** Resolves when the offset is visible, or on abort. */
  waitFor(partition: number, offset: number, signal: AbortSignal): Promise<void>
}

export interface StreamPorts {
  readonly clock: Clock
  readonly metrics: Metrics
  /** @throws StratalogError `log_not_found`. */
  readonly openLog: (name: string) => StreamedLog
  /** Pins the present state of another log that a word of the statement names. */
  readonly viewOf: (name: string) => LogView
  readonly query: (
    sql: string,
    parameters: QueryParameters,
    options: QueryOptions,
  ) => Promise<QueryResult>
}

/** A record that came too late, with `_offset` and `_partition`. */
export type LateRow = Readonly<Record<string, unknown>>

/** What takes the records that came too late; reading goes on when it resolves. */
export type LateOutput = (records: readonly LateRow[]) => void | Promise<void>

export interface StreamRequest {
  readonly sql: string
  readonly parameters: QueryParameters
  readonly latenessMs: number
  readonly late: 'drop' | 'update' | LateOutput
  readonly emit: 'close' | 'change'
  readonly emitIntervalMs: number
  readonly idleTimeoutMs: number
  /** An offset, of a log of one partition; `now`: what is appended from here on; null: from the beginning. */
  readonly from: number | 'now' | null
  /** Records at or after this time, in ms. */
  readonly since: number
  readonly live: boolean
  readonly skipGaps: boolean
  readonly stateBytesMax: number
  readonly resume: StreamResumePoint | null
  readonly signal: AbortSignal
}
