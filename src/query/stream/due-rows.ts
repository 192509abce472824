/** Gives the rows of the windows that are due: which queries that takes, and their results, collected. */
import { StratalogError } from '../../base/errors.ts'
import type { Range } from '../../base/range.ts'
import { bigInt64View } from '../../format/column.ts'
import { type RecordBatch, recordBatchBytes } from '../../format/record-batch.ts'
import type { LogView } from '../../log/log-view.ts'
import type { QueryParameters } from '../../base/query-parameters.ts'
import type { ResultColumn } from '../protocol.ts'
import type { QueryOptions } from '../query-runner.ts'
import { pinWhole } from './partition-page.ts'
import type { StreamPorts, StreamRequest, StreamedLog } from './stream-ports.ts'
import type { StreamProgress } from './stream-progress.ts'
import { type StreamStatement, placedError } from './stream-statement.ts'
import { type DueWindows, dueSql, oldestStartSql } from './window-sql.ts'
import { endsWithin } from './window-spec.ts'

/** Rows of windows that were due together, in the order of windows. */
export interface DueRows {
  readonly columns: readonly ResultColumn[]
  readonly batches: readonly RecordBatch[]
}

/** A query over the windows of a long time may take long; it waits its turn like any other. */
const TIMEOUT_MS = 3_600_000

const ALL: Pick<DueWindows, 'from' | 'to' | 'newFrom' | 'late'> = {
  from: -Infinity,
  to: Infinity,
  newFrom: null,
  late: [],
}

export class DueRowsReader {
  readonly #ports: StreamPorts
  readonly #request: StreamRequest
  readonly #statement: StreamStatement
  readonly #log: StreamedLog
  readonly #progress: StreamProgress

  constructor(
    ports: StreamPorts,
    request: StreamRequest,
    statement: StreamStatement,
    log: StreamedLog,
    progress: StreamProgress,
  ) {
    this.#ports = ports
    this.#request = request
    this.#statement = statement
    this.#log = log
    this.#progress = progress
  }

  /** Finds what DuckDB has against the statement, before anything is read. @throws StratalogError `query_invalid`. */
  async check(): Promise<void> {
    const none = { ...ALL, after: 0, until: 0, since: 0 }
    await this.#rows(dueSql(this.#statement, none), new Map())
  }

  /** What is due, in the order in which it is given: the same again for the same progress. */
  async *read(): AsyncGenerator<DueRows, void, undefined> {
    for (const due of this.#due()) {
      const ranges = this.#rangesOf(due)
      if (ranges.size > 0) yield await this.#rows(dueSql(this.#statement, due), ranges)
    }
  }

  /** Where the oldest session begins that stays open, or may yet begin. */
  async oldestOpen(): Promise<number> {
    const { watermark, sessionFrom } = this.#progress
    if (watermark.value === -Infinity) return sessionFrom
    const { late } = this.#progress
    const open = { ...ALL, after: watermark.value, until: Infinity, since: this.#since, late }
    const ranges = this.#rangesOf(open)
    if (ranges.size === 0) return watermark.value
    const { batches } = await this.#rows(oldestStartSql(this.#statement, open), ranges)
    const [column] = batches[0]?.columns ?? []
    if (column === undefined || column.nullCount > 0) return watermark.value
    // Records from the watermark on may still come, and begin an older one.
    return Math.min(
      watermark.value,
      Math.floor(Number(bigInt64View(column.values)[0] ?? 0n) / 1000),
    )
  }

  get #since(): number {
    const { since } = this.#request
    return this.#changesSessions ? since : Math.max(since, this.#progress.sessionFrom)
  }

  /** Late records may join sessions of any time, those that are open with those that were given too. */
  get #changesSessions(): boolean {
    return this.#statement.spec.kind === 'session' && this.#progress.changed.length > 0
  }

  #due(): readonly DueWindows[] {
    const { horizon, dueHorizon, late, partitions } = this.#progress
    const emitted = partitions.map((partition) => partition.emitted)
    const changed = this.#changed(emitted)
    const open = { ...ALL, after: horizon, since: this.#since, late }
    if (this.#request.emit === 'change')
      return [...changed, { ...open, until: Infinity, newFrom: emitted }]
    return endsWithin(this.#statement.spec, horizon, dueHorizon)
      ? [...changed, { ...open, until: dueHorizon }]
      : changed
  }

  /** Windows that were given and have late records since; of sessions, those that were made longer or joined. */
  #changed(emitted: readonly number[]): readonly DueWindows[] {
    const { horizon, changed } = this.#progress
    const { since } = this.#request
    const given = { ...ALL, after: -Infinity, until: horizon, since, newFrom: emitted }
    if (this.#statement.spec.kind === 'session') return changed.length === 0 ? [] : [given]
    return runsOf(changed, this.#statement.spec.slideMs).map(({ start, end }) => ({
      ...given,
      from: start,
      to: end,
    }))
  }

  /** The offsets that hold the records of windows, by partition. */
  #rangesOf({ after }: DueWindows): ReadonlyMap<number, Range> {
    const ranges = new Map<number, Range>()
    for (const [partition, { start, next, open }] of this.#progress.partitions.entries()) {
      // What a late record changes may lie anywhere.
      const isAnywhere = after === -Infinity || this.#changesSessions
      const from = isAnywhere ? start : open.first(next)
      if (from < next) ranges.set(partition, { start: from, end: next })
    }
    return ranges
  }

  async #rows(sql: string, ranges: ReadonlyMap<number, Range>): Promise<DueRows> {
    const { signal, parameters } = this.#request
    const log = this.#log
    const viewOf = (name: string): LogView =>
      name === log.name ? pinWhole(log, ranges, this.#request.skipGaps) : this.#ports.viewOf(name)
    const options: QueryOptions = { signal, viewOf, timeoutMs: TIMEOUT_MS }
    try {
      return await this.#collect(sql, parameters, options)
    } catch (error) {
      throw placedError(error, this.#statement)
    }
  }

  /** Kept whole, so that a slow reader does not hold one of the few queries that run at once. */
  async #collect(
    sql: string,
    parameters: QueryParameters,
    options: QueryOptions,
  ): Promise<DueRows> {
    const result = await this.#ports.query(sql, parameters, options)
    const batches: RecordBatch[] = []
    let bytes = this.#progress.bytes
    for await (const batch of result.batches()) {
      bytes += recordBatchBytes(batch)
      if (bytes > this.#request.stateBytesMax) throw tooMuch(this.#request.stateBytesMax)
      batches.push(batch)
    }
    return { columns: result.columns, batches }
  }
}

/** Starts that follow each other by one slide, joined; bounds are inclusive. */
function runsOf(starts: readonly number[], slideMs: number): readonly Range[] {
  const runs: { start: number; end: number }[] = []
  for (const start of starts) {
    const last = runs.at(-1)
    if (last !== undefined && start === last.end + slideMs) last.end = start
    else runs.push({ start, end: start })
  }
  return runs
}

function tooMuch(stateBytesMax: number): StratalogError {
  return new StratalogError(
    'query_limit',
    `The rows of windows that are due together take more than ${stateBytesMax} bytes; make maxStateBytes larger, or windows or groups fewer.`,
    { details: { stateBytesMax } },
  )
}
