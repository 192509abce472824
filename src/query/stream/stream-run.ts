/**
 * A continuous query under way. It reads the times of a log as records come, closes windows by them, and has DuckDB
 * give the rows of what is closed, straight from the log. Nothing of the records is kept in between.
 *
 * One turn: read what is there, up to a limit; give what is due; when nothing was there, wait. A reader that stops
 * asking stops it, and holds nothing but its place.
 */
import type { Timer } from '../../base/clock.ts'
import { StratalogError } from '../../base/errors.ts'
import { columnReader } from '../../format/column-values.ts'
import { type RecordBatch, endOffset, sliceRecordBatch } from '../../format/record-batch.ts'
import { DueRowsReader, type DueRows } from './due-rows.ts'
import { type TimedBatch, readPage } from './partition-page.ts'
import type { StreamResumePoint } from './resume-point.ts'
import type { LateRow, StreamPorts, StreamRequest, StreamedLog } from './stream-ports.ts'
import { StreamProgress } from './stream-progress.ts'
import { type StreamStatement, readStreamStatement } from './stream-statement.ts'

/** Records that one turn reads at most, so that windows are given while a long history is read. */
const TURN_RECORDS_MAX = 500_000
/** Late records and changed windows that are listed until the next rows are given. */
const LATE_MAX = 2_048

export interface StreamStats {
  /** Records that were read, those that WHERE leaves out too. */
  readonly records: number
  /** Of these, the ones that came too late for a window that they lie in. */
  readonly late: number
  /** Rows that were given. */
  readonly rows: number
  /** Windows that end at or before this are closed; null before the first record. */
  readonly watermark: Date | null
  /** What is kept between two windows. */
  readonly stateBytes: number
}

export class StreamRun {
  readonly #ports: StreamPorts
  readonly #request: StreamRequest
  readonly #statement: StreamStatement
  readonly #log: StreamedLog
  readonly #progress: StreamProgress
  readonly #due: DueRowsReader
  /** By partition: where a query that does not go on ends. */
  readonly #ends: readonly number[]
  /** By partition: when something was last there to read, on the engine's clock. */
  readonly #activeAt: number[]
  #emittedAt: number
  /** Of what is due, rows that were given. */
  #given: number
  #rows = 0

  static async open(ports: StreamPorts, request: StreamRequest): Promise<StreamRun> {
    let log: StreamedLog | null = null
    const statement = await readStreamStatement(
      request.sql,
      (name) => {
        log = ports.openLog(name)
        return { timeColumn: log.timeColumn, columns: log.columns() ?? [] }
      },
      async (sql, parameters) =>
        (await ports.query(sql, parameters, { signal: request.signal })).toArray(),
    )
    const run = new StreamRun(ports, request, statement, log ?? ports.openLog(statement.log))
    if (run.#log.columns() !== null) await run.#due.check()
    return run
  }

  private constructor(
    ports: StreamPorts,
    request: StreamRequest,
    statement: StreamStatement,
    log: StreamedLog,
  ) {
    this.#ports = ports
    this.#request = request
    this.#statement = statement
    this.#log = log
    this.#progress = openProgress(request, statement, log)
    this.#due = new DueRowsReader(ports, request, statement, log, this.#progress)
    this.#given = request.resume?.given ?? 0
    const now = ports.clock.monotonic()
    this.#ends = this.#progress.partitions.map((_, partition) => log.rangeOf(partition).end)
    this.#activeAt = this.#ends.map(() => now)
    this.#emittedAt = now
  }

  get stats(): StreamStats {
    const { counts, watermark, bytes } = this.#progress
    const { value } = watermark
    return {
      ...counts,
      rows: this.#rows,
      watermark: Number.isFinite(value) ? new Date(value) : null,
      stateBytes: bytes,
    }
  }

  /** All that was given so far. */
  resumePoint(): StreamResumePoint {
    const { sql, log } = this.#statement
    return {
      version: 1,
      log,
      logId: this.#log.id,
      sql,
      ...this.#progress.state(),
      given: this.#given,
    }
  }

  /** The reader has taken rows. */
  gave(rows: number): void {
    this.#given += rows
    this.#rows += rows
  }

  /** Ends when the signal fires, and when there is no more of a query that does not go on. */
  async *dueRows(): AsyncGenerator<DueRows, void, undefined> {
    const { live, resume, signal } = this.#request
    if (resume !== null) {
      yield* this.#emit()
      // It had come to its end, and there is nothing new since.
      if (resume.isEnding && !live && this.#nextPartition(this.#readableEnds()) === null) return
      await this.#settle()
    }
    while (!signal.aborted) {
      const hasRead = await this.#read()
      if (this.#isDue()) {
        yield* this.#emit()
        await this.#settle()
      } else if (hasRead) continue
      else if (live) await this.#wait()
      else {
        this.#progress.end()
        yield* this.#emit()
        // The windows that are open are not closed for that: whoever resumes with more records has them again.
        return
      }
    }
  }

  #isDue(): boolean {
    const { isFull, hasDueWindows } = this.#progress
    if (this.#request.emit === 'close') return isFull || hasDueWindows
    return isFull || this.#changesDueIn() <= 0
  }

  /** How long changes are held back yet; Infinity where there are none to give. */
  #changesDueIn(): number {
    if (this.#request.emit !== 'change' || !this.#progress.hasNews) return Infinity
    return this.#emittedAt + this.#request.emitIntervalMs - this.#ports.clock.monotonic()
  }

  /** Gives what is due, without the rows that were given of it before a resumption. */
  async *#emit(): AsyncGenerator<DueRows, void, undefined> {
    let skipped = this.#given
    for await (const { columns, batches } of this.#due.read()) {
      const rest: RecordBatch[] = []
      for (const batch of batches) {
        const skip = Math.min(skipped, batch.length)
        skipped -= skip
        const { baseOffset } = batch
        if (skip < batch.length)
          rest.push(sliceRecordBatch(batch, baseOffset + skip, endOffset(batch)))
      }
      if (rest.length > 0) yield { columns, batches: rest }
    }
  }

  /** Everything that was due was given. */
  async #settle(): Promise<void> {
    const isSession = this.#statement.spec.kind === 'session'
    this.#progress.settle(isSession ? await this.#due.oldestOpen() : -Infinity)
    this.#given = 0
    this.#emittedAt = this.#ports.clock.monotonic()
    const { bytes } = this.#progress
    this.#ports.metrics.gauge('stratalog_stream_state_bytes', bytes, { log: this.#log.name })
  }

  /** Reads what is there now, or some of it; false when nothing was. */
  async #read(): Promise<boolean> {
    const { clock, metrics } = this.#ports
    const { records, late } = this.#progress.counts
    // What is appended meanwhile is for the next turn: the windows that close do not wait for it.
    const ends = this.#readableEnds()
    let partition = this.#nextPartition(ends)
    const hasRead = partition !== null
    while (partition !== null && !this.#progress.isFull) {
      await this.#readPage(partition, ends[partition] ?? 0)
      this.#activeAt[partition] = clock.monotonic()
      // Others have to get to their appends.
      await clock.yield()
      if (this.#progress.counts.records - records >= TURN_RECORDS_MAX) break
      partition = this.#nextPartition(ends)
    }
    const { counts } = this.#progress
    const log = this.#log.name
    metrics.count('stratalog_stream_records_total', counts.records - records, { log })
    metrics.count('stratalog_stream_late_total', counts.late - late, { log })
    return hasRead
  }

  #readableEnds(): readonly number[] {
    return this.#ends.map((last, partition) => {
      const { end } = this.#log.rangeOf(partition)
      return this.#request.live ? end : Math.min(end, last)
    })
  }

  /** The partition that is furthest behind of those that have something to read. */
  #nextPartition(ends: readonly number[]): number | null {
    const { partitions, watermark } = this.#progress
    let found: number | null = null
    for (const [partition, { next }] of partitions.entries()) {
      if (next >= (ends[partition] ?? 0)) continue
      if (found === null || watermark.timeOf(partition) < watermark.timeOf(found)) found = partition
    }
    return found
  }

  async #readPage(partition: number, end: number): Promise<void> {
    const { skipGaps, signal } = this.#request
    const range = { start: this.#nextOf(partition), end }
    const isWhole = typeof this.#request.late === 'function'
    const page = readPage(this.#log, partition, range, { isWhole, skipGaps, signal })
    try {
      for (;;) {
        const item = await page.next()
        if (item.done === true) {
          this.#progress.skipTo(partition, item.value)
          return
        }
        const isTaken = await this.#take(partition, item.value)
        if (!isTaken) return
      }
    } finally {
      await page.return(0)
    }
  }

  /** False when only a part of the batch was taken, because what is due has to be given first. */
  async #take(partition: number, { batch, times }: TimedBatch): Promise<boolean> {
    const { late: policy } = this.#request
    const { rows, late } = this.#progress.take(partition, batch.baseOffset, times)
    if (typeof policy === 'function' && late.length > 0)
      await policy(late.map((row) => lateRow(batch, partition, row)))
    return rows === times.length
  }

  #nextOf(partition: number): number {
    return this.#progress.partitions[partition]?.next ?? 0
  }

  /** Until there is something to read, a partition has been silent for long, or changes are due. */
  async #wait(): Promise<void> {
    const { clock } = this.#ports
    const delay = Math.min(this.#silence(), this.#changesDueIn())
    if (delay <= 0) return clock.yield()
    const { signal } = this.#request
    const stop = new AbortController()
    const either = AbortSignal.any([stop.signal, signal])
    let timer: Timer | null = null
    const ends = this.#progress.partitions.map(({ next }, partition) =>
      this.#log.waitFor(partition, next, either),
    )
    if (delay < Infinity) {
      const passed = Promise.withResolvers<void>()
      timer = clock.setTimer(delay, passed.resolve)
      ends.push(passed.promise)
    }
    try {
      await Promise.race(ends)
    } finally {
      timer?.cancel()
      stop.abort()
      await Promise.allSettled(timer === null ? ends : ends.slice(0, -1))
    }
  }

  /** Leaves out partitions that are silent for long; how long until the next of them would be. */
  #silence(): number {
    const { watermark, partitions } = this.#progress
    // One that is alone holds nobody up.
    if (partitions.length === 1) return Infinity
    const now = this.#ports.clock.monotonic()
    let delay = Infinity
    for (const [partition, activeAt] of this.#activeAt.entries()) {
      if (watermark.isIdle(partition)) continue
      const left = activeAt + this.#request.idleTimeoutMs - now
      if (left <= 0) watermark.setIdle(partition, true)
      delay = Math.min(delay, left)
    }
    return delay
  }
}

function openProgress(
  request: StreamRequest,
  { spec, sql, log: name }: StreamStatement,
  log: StreamedLog,
): StreamProgress {
  const { resume, from, late, latenessMs, since } = request
  const isUpdating = late === 'update'
  const options = { spec, latenessMs, isUpdating, since, lateMax: LATE_MAX }
  if (resume !== null) {
    const isSame = resume.log === name && resume.logId === log.id && resume.sql === sql
    if (isSame && resume.partitions.length === log.partitionCount) {
      assertReached(log, resume)
      return StreamProgress.resume(options, resume)
    }
    throw new StratalogError(
      'argument_invalid',
      'resumePoint is of another statement or log; it goes with its statement, word for word.',
      { details: { log: resume.log, sql: resume.sql } },
    )
  }
  if (typeof from === 'number' && log.partitionCount > 1)
    throw new StratalogError(
      'argument_invalid',
      `Log '${name}' has ${log.partitionCount} partitions: an offset names no place in it; use since.`,
    )
  const starts = Array.from({ length: log.partitionCount }, (_, partition) => {
    if (from === 'now') return log.rangeOf(partition).end
    return Math.max(from ?? 0, log.newestStart(partition, Infinity))
  })
  return StreamProgress.begin(options, starts)
}

/** A log that lost its end, or another of its name, gives these offsets to other records. */
function assertReached(log: StreamedLog, { partitions }: StreamResumePoint): void {
  for (const { partition, next } of partitions) {
    const { end } = log.rangeOf(partition)
    if (next <= end) continue
    throw new StratalogError(
      'offset_not_found',
      `Log '${log.name}', partition ${partition} ends at ${end}, before the resume point at ${next}.`,
      { details: { log: log.name, partition, endOffset: end, offset: next } },
    )
  }
}

function lateRow(
  { schema, columns, baseOffset }: RecordBatch,
  partition: number,
  row: number,
): LateRow {
  const values = schema.fields.flatMap(({ name }, index): [string, unknown][] => {
    const column = columns[index]
    return column === undefined ? [] : [[name, columnReader(column)(row)]]
  })
  return { ...Object.fromEntries(values), _offset: baseOffset + row, _partition: partition }
}
