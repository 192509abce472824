/**
 * Continuous queries over HTTP, as NDJSON: `{"row":…}` for each row as windows close, and behind each group of rows
 * `{"resumePoint":…}`, with which another request goes on behind them. A quiet answer repeats where it is. What ends it
 * before its time is its last line, `{"problem":…}`, as an answer of its own would have had it.
 *
 * With `format=rows`, for the client of this package, the lines are as of record-lines.ts: `fields` and `columns` where
 * they change, `rows` with the `resumePoint` behind them, a `resumePoint` alone, `error`, and at the end of the query,
 * though not when the server stops, `end` with the last one.
 */
import type { Clock, Timer } from '../../base/clock.ts'
import { StratalogError } from '../../base/errors.ts'
import { fromWire } from '../../base/wire-value.ts'
import type { StreamSqlOptions } from '../../engine/stream-options.ts'
import type { Stratalog } from '../../engine/stratalog.ts'
import { VALUE_BYTES_MAX } from '../../format/limits.ts'
import type { RecordBatch } from '../../format/record-batch.ts'
import { toNdjson } from '../../query/ndjson.ts'
import { valueReader } from '../../query/result-values.ts'
import type { WindowStream } from '../../query/stream/window-stream.ts'
import type { Exchange } from '../exchange.ts'
import { type Problem, RequestProblem } from '../http-error.ts'
import { SQL_STREAMS_MAX, SSE_KEEP_ALIVE_MS } from '../limits.ts'
import { assertKnownKeys, assertKnownParameters, given } from './parameters.ts'
import { MEDIA_TYPES } from './record-answer.ts'
import { rowsOf as wireRows } from './record-lines.ts'

/** Not `maxStateBytes`: it is the server's memory. */
const OPTIONS = [
  'parameters',
  'lateness',
  'late',
  'emit',
  'emitInterval',
  'idleTimeout',
  'from',
  'since',
  'live',
  'resumePoint',
  'onGap',
] as const satisfies readonly (keyof StreamSqlOptions)[]

/** How many run on a server. */
export interface RunningStreams {
  count: number
}

/**
 * Ends with the query, when the client goes, and when the server stops.
 * @throws StratalogError `queue_full` where SQL_STREAMS_MAX run, and as `Stratalog.streamSql`; RequestProblem.
 */
export async function streamSql(
  exchange: Exchange,
  db: Stratalog,
  clock: Clock,
  running: RunningStreams,
): Promise<void> {
  assertKnownParameters(exchange.query, ['format'])
  const format = exchange.query.get('format') ?? 'ndjson'
  if (format !== 'ndjson' && format !== 'rows')
    throw new RequestProblem('request_invalid', 'format is one of ndjson, rows.')
  const body = await exchange.jsonBody(VALUE_BYTES_MAX)
  assertKnownKeys(body, ['sql', ...OPTIONS])
  const { sql, ...options } = body
  if (typeof sql !== 'string') throw new RequestProblem('request_invalid', 'sql is text.')
  const { parameters = [] } = options
  if (typeof parameters !== 'object' || parameters === null)
    throw new RequestProblem('request_invalid', 'parameters is an array, or an object by name.')
  if (running.count >= SQL_STREAMS_MAX) throw tooMany()
  running.count++
  try {
    const values = format === 'rows' ? fromWire(parameters) : parameters
    await send(exchange, { db, clock, format }, sql, { ...options, parameters: values })
  } finally {
    running.count--
  }
}

async function send(
  exchange: Exchange,
  { db, clock, format }: { db: Stratalog; clock: Clock; format: StreamFormat },
  sql: string,
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const signal = AbortSignal.any([exchange.gone, exchange.stopping])
  await using stream = db.streamSql(sql, given({ ...options, signal }))
  // What is wrong with the statement is answered with a status of its own.
  await stream.open()
  exchange.begin(200, {
    'content-type': MEDIA_TYPES[format],
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  })
  exchange.response.flushHeaders()
  const lines = format === 'rows' ? new TypedLines(stream) : new PlainLines(stream)
  await new Answer(exchange, stream, clock, lines).send()
}

function tooMany(): StratalogError {
  return new StratalogError(
    'queue_full',
    `${SQL_STREAMS_MAX} continuous queries run; ask again when one has ended.`,
    { details: { running: SQL_STREAMS_MAX } },
  )
}

type StreamFormat = 'ndjson' | 'rows'

/** What an answer is written in. */
interface StreamLines {
  rows(batch: RecordBatch): string
  resume(): string
  end(): string
  /** Null for what the log has more of than an answer may. */
  failure(problem: Problem): string | null
}

const lineOf = (line: object): string => `${JSON.stringify(line)}\n`

class PlainLines implements StreamLines {
  readonly #stream: WindowStream

  constructor(stream: WindowStream) {
    this.#stream = stream
  }

  rows({ schema, columns, length }: RecordBatch): string {
    const names = schema.fields.map(({ name }) => name)
    const sqlTypes = this.#stream.columns?.map(({ type }) => type) ?? []
    const rows = toNdjson({ names, sqlTypes, columns, length }).split('\n')
    return rows.map((row) => (row === '' ? '' : `{"row":${row}}\n`)).join('') + this.resume()
  }

  resume(): string {
    return lineOf({ resumePoint: this.#stream.resumePoint })
  }

  end(): string {
    return this.resume()
  }

  failure({ status, body }: Problem): string | null {
    return status >= 500 ? null : lineOf({ problem: body })
  }
}

class TypedLines implements StreamLines {
  readonly #stream: WindowStream
  #head = ''

  constructor(stream: WindowStream) {
    this.#stream = stream
  }

  rows({ schema: { fields }, columns: data, length }: RecordBatch): string {
    const columns = this.#stream.columns ?? []
    const head = lineOf({ fields, columns })
    const isNew = head !== this.#head
    this.#head = head
    const readers = data.map((column, index) => valueReader(column, columns[index]?.type ?? ''))
    const rows = wireRows(readers, length)
    return (isNew ? head : '') + lineOf({ rows, ...this.#point() })
  }

  resume(): string {
    return lineOf(this.#point())
  }

  end(): string {
    return lineOf({ end: true, ...this.#point() })
  }

  failure({ body }: Problem): string {
    return lineOf({ error: body })
  }

  #point(): object {
    const { resumePoint } = this.#stream
    return resumePoint === null ? {} : { resumePoint }
  }
}

class Answer {
  readonly #exchange: Exchange
  readonly #stream: WindowStream
  readonly #clock: Clock
  readonly #lines: StreamLines
  #keepAlive: Timer | null = null

  constructor(exchange: Exchange, stream: WindowStream, clock: Clock, lines: StreamLines) {
    this.#exchange = exchange
    this.#stream = stream
    this.#clock = clock
    this.#lines = lines
  }

  async send(): Promise<void> {
    try {
      this.#rest()
      for await (const batch of this.#stream.batches()) {
        const isThere = await this.#write(this.#lines.rows(batch))
        if (!isThere) return
        this.#rest()
      }
      // One that the server ends is not over.
      const isOver = !this.#exchange.stopping.aborted
      await this.#write(isOver ? this.#lines.end() : this.#lines.resume())
    } catch (error) {
      const line = this.#lines.failure(this.#exchange.problemOf(error))
      if (line === null) throw error
      await this.#write(line)
    } finally {
      this.#keepAlive?.cancel()
    }
    this.#exchange.response.end()
  }

  #write(lines: string): Promise<boolean> {
    this.#keepAlive?.cancel()
    return this.#exchange.write(lines)
  }

  /** Nothing is there to write: says from time to time how far the query is. */
  #rest(): void {
    this.#keepAlive = this.#clock.setTimer(SSE_KEEP_ALIVE_MS, () => {
      this.#exchange.response.write(this.#lines.resume())
      this.#rest()
    })
  }
}
