/** The result of a query, read once while it comes: as rows, or collected. */
import { StratalogError, throwIfAborted } from '../base/errors.ts'
import type { ResultColumn } from '../query/protocol.ts'
import type { QueryStats } from '../query/query-result.ts'
import type { Field } from '../format/schema.ts'
import { answerLines, brokenOff } from './answer-lines.ts'
import { errorOfLine, valuesOf } from './read-records.ts'
import { type Row, rowsOf } from './row-batch.ts'

type Line = Readonly<Record<string, unknown>>
type Lines = AsyncGenerator<Line, void, undefined>

/** Rows that `toArray` collects at most, as of the engine. */
const COLLECTED_ROWS_MAX = 10_000_000

export class QueryRows implements AsyncIterable<Row>, AsyncDisposable {
  readonly columns: readonly ResultColumn[]
  /** Names and types of the rows; of two columns with one name, the second is `name:1`. */
  readonly fields: readonly Field[]
  readonly #lines: Lines
  readonly #ender: AbortController
  readonly #stats = Promise.withResolvers<QueryStats>()
  #isRead = false

  private constructor(head: Line, lines: Lines, ender: AbortController) {
    this.columns = head['columns'] as readonly ResultColumn[]
    this.fields = head['fields'] as readonly Field[]
    this.#lines = lines
    this.#ender = ender
    // Who does not ask for them is not told of a failure by them.
    this.#stats.promise.catch(() => {})
  }

  /** Resolves when the server has said what the columns are. @param open sends the query, until its signal fires. */
  static async of(
    open: (signal: AbortSignal) => Promise<Response>,
    signal: AbortSignal | undefined,
  ): Promise<QueryRows> {
    const ender = new AbortController()
    const ending = signal === undefined ? ender.signal : AbortSignal.any([signal, ender.signal])
    const lines = answerLines(await open(ending), ending)
    const head = await lines.next()
    if (head.done === true) {
      throwIfAborted(ending)
      throw brokenOff()
    }
    if (head.value['error'] !== undefined) throw errorOfLine(head.value['error'])
    return new QueryRows(head.value, lines, ender)
  }

  /** What the query took. Resolves when the last row was read; rejects with its error. */
  get stats(): Promise<QueryStats> {
    return this.#stats.promise
  }

  /** The rows as objects. Leaving the loop early ends the query. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Row, void, undefined> {
    for await (const rows of this.#chunks()) yield* rows
  }

  /** Every row as an object. @throws StratalogError `query_limit` for more than ten million. */
  async toArray(): Promise<Row[]> {
    const all: Row[] = []
    for await (const rows of this.#chunks()) {
      if (all.length + rows.length > COLLECTED_ROWS_MAX)
        throw new StratalogError(
          'query_limit',
          `The query has more than ${COLLECTED_ROWS_MAX} rows; read them as they come instead of collecting them.`,
        )
      for (const row of rows) all.push(row)
    }
    return all
  }

  /** Ends the query, read to its end or not. Who waits for rows gets `aborted`. */
  async close(): Promise<void> {
    this.#isRead = true
    this.#end()
    await this.#lines.return()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async *#chunks(): AsyncGenerator<Row[], void, undefined> {
    if (this.#isRead) throw new StratalogError('argument_invalid', 'A query result is read once.')
    this.#isRead = true
    const names = this.fields.map(({ name }) => name)
    try {
      for await (const { rows, error, end, stats } of this.#lines) {
        if (error !== undefined) throw errorOfLine(error)
        if (rows !== undefined) yield rowsOf(names, valuesOf(rows))
        if (end !== true) continue
        this.#stats.resolve(stats as QueryStats)
        return
      }
      throwIfAborted(this.#ender.signal)
      throw brokenOff()
    } catch (error) {
      this.#stats.reject(error)
      throw error
    } finally {
      this.#end()
    }
  }

  /** Of a query that is over, nothing changes by it. */
  #end(): void {
    this.#ender.abort()
    this.#stats.reject(new StratalogError('aborted', 'The query was closed before its end.'))
  }
}
