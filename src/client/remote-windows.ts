/** The rows of a continuous query of a server, through answers that break off: each row comes once. */
import { StratalogError } from '../base/errors.ts'
import { toWire } from '../base/wire-value.ts'
import type { StreamSqlOptions } from '../engine/stream-options.ts'
import type { Field } from '../format/schema.ts'
import type { ResultColumn } from '../query/protocol.ts'
import type { StreamResumePoint } from '../query/stream/resume-point.ts'
import { answerLines, brokenOff } from './answer-lines.ts'
import { errorOfLine, isBreak, textOfTime, valuesOf } from './read-records.ts'
import { type Row, rowsOf } from './row-batch.ts'
import type { Transport } from './transport.ts'

/** Of the engine's, without what only a process of its own can have: its memory, and a function for late records. */
export type StreamQueryOptions = Omit<StreamSqlOptions, 'late' | 'maxStateBytes'> & {
  readonly late?: 'drop' | 'update'
}

type Line = Readonly<Record<string, unknown>>

/**
 * As the engine's `WindowStream`: iterate once; leaving the loop ends the query, and so does its signal. Where its
 * connection breaks it goes on behind the last row that was given.
 */
export class RemoteWindows implements AsyncIterable<Row>, AsyncDisposable {
  readonly #transport: Transport
  readonly #sql: string
  readonly #options: StreamQueryOptions
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  #opening: Promise<Response> | null = null
  #hasBegun = false
  #isRead = false
  #names: readonly string[] = []
  #columns: readonly ResultColumn[] | null = null
  #resumePoint: StreamResumePoint | null = null

  /** `Client.streamSql` makes one. */
  constructor(transport: Transport, sql: string, options: StreamQueryOptions) {
    this.#transport = transport
    this.#sql = sql
    this.#options = options
    const { signal: own } = this.#stop
    this.#signal = options.signal === undefined ? own : AbortSignal.any([own, options.signal])
  }

  /**
   * All that was given, up to the row that was given last; null until the server has said it. Opened with it, the query
   * goes on behind that row.
   */
  get resumePoint(): StreamResumePoint | null {
    return this.#resumePoint
  }

  /** Of the rows that were given last, by DuckDB's names of types; null before the first. */
  get columns(): readonly ResultColumn[] | null {
    return this.#columns
  }

  /** Has the server check the statement, which the first row that is asked for does otherwise. */
  async open(): Promise<void> {
    await this.#request()
  }

  /** The rows as objects: the windows in the order of their ends. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Row, void, undefined> {
    if (this.#isRead)
      throw new StratalogError('argument_invalid', 'A continuous query is read once.')
    this.#isRead = true
    try {
      yield* this.#rows()
    } catch (error) {
      // Its signal ends a query that goes on, wherever the signal finds it.
      if (!this.#signal.aborted) throw error
    }
  }

  /** Ends the query, here and on the server. */
  async close(): Promise<void> {
    this.#isRead = true
    this.#stop.abort()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async *#rows(): AsyncGenerator<Row, void, undefined> {
    for (let attempt = 0; ;) {
      try {
        for await (const line of answerLines(await this.#request(), this.#signal)) {
          attempt = 0
          yield* this.#take(line)
          if (line['end'] === true) return
        }
        throw brokenOff()
      } catch (error) {
        if (!this.#mayGoOn(error, attempt)) throw error
      }
      this.#opening = null
      await this.#transport.pause(++attempt, this.#signal)
    }
  }

  /** One that follows a log goes on for as long as it takes, once it has begun; others as often as a read. */
  #mayGoOn(error: unknown, attempt: number): boolean {
    const { live = true, from } = this.#options
    // Where `now` was, only its resume point says.
    const isPlaced = this.#resumePoint !== null || from !== 'now'
    const isLeft = live || attempt < this.#transport.retries
    return !this.#signal.aborted && this.#hasBegun && isBreak(error) && isPlaced && isLeft
  }

  #request(): Promise<Response> {
    this.#opening ??= this.#begin()
    return this.#opening
  }

  async #begin(): Promise<Response> {
    const { signal: _signal, parameters, since, from, resumePoint, ...rest } = this.#options
    const point = this.#resumePoint ?? resumePoint ?? undefined
    const body = {
      sql: this.#sql,
      ...rest,
      parameters: parameters === undefined ? undefined : toWire(parameters),
      since: textOfTime(since),
      from: this.#resumePoint === null ? from : undefined,
      resumePoint: point,
    }
    const response = await this.#transport.open('/v1/sql/stream', {
      method: 'POST',
      parameters: { format: 'rows' },
      body,
      isRepeatable: true,
      isLong: true,
      signal: this.#signal,
    })
    this.#hasBegun = true
    return response
  }

  *#take(line: Line): Generator<Row, void, undefined> {
    const { fields, columns, rows, resumePoint, error } = line
    if (error !== undefined) throw errorOfLine(error)
    if (fields !== undefined) {
      this.#names = (fields as readonly Field[]).map(({ name }) => name)
      this.#columns = columns as readonly ResultColumn[]
    }
    if (resumePoint === undefined) return
    const point = resumePoint as StreamResumePoint
    const all = rows === undefined ? [] : rowsOf(this.#names, valuesOf(rows))
    // The point is behind all of them; it counts the rows that were given of what was due together.
    let given = point.given - all.length
    for (const row of all) {
      given++
      this.#resumePoint = { ...point, given }
      yield row
    }
    this.#resumePoint = point
  }
}
