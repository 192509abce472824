/**
 * Continuous queries over HTTP, as NDJSON: `{"row":…}` for each row as windows close, and behind each group of rows
 * `{"resumePoint":…}`, with which another request goes on behind them. A quiet answer repeats where it is. What ends it
 * before its time is its last line, `{"problem":…}`, as an answer of its own would have had it.
 */
import type { Clock, Timer } from '../../base/clock.ts'
import { StratalogError } from '../../base/errors.ts'
import type { StreamSqlOptions } from '../../engine/stream-options.ts'
import type { Stratalog } from '../../engine/stratalog.ts'
import { VALUE_BYTES_MAX } from '../../format/limits.ts'
import type { RecordBatch } from '../../format/record-batch.ts'
import { toNdjson } from '../../query/ndjson.ts'
import type { WindowStream } from '../../query/stream/window-stream.ts'
import type { Exchange } from '../exchange.ts'
import { RequestProblem, problemOf } from '../http-error.ts'
import { SQL_STREAMS_MAX, SSE_KEEP_ALIVE_MS } from '../limits.ts'
import { assertKnownKeys, assertKnownParameters, given } from './parameters.ts'
import { MEDIA_TYPES } from './record-answer.ts'

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
  assertKnownParameters(exchange.query, [])
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
    await send(exchange, db, clock, sql, options)
  } finally {
    running.count--
  }
}

async function send(
  exchange: Exchange,
  db: Stratalog,
  clock: Clock,
  sql: string,
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const signal = AbortSignal.any([exchange.gone, exchange.stopping])
  await using stream = db.streamSql(sql, given({ ...options, signal }))
  // What is wrong with the statement is answered with a status of its own.
  await stream.open()
  exchange.begin(200, {
    'content-type': MEDIA_TYPES.ndjson,
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  })
  exchange.response.flushHeaders()
  await new Answer(exchange, stream, clock).send()
}

function tooMany(): StratalogError {
  return new StratalogError(
    'queue_full',
    `${SQL_STREAMS_MAX} continuous queries run; ask again when one has ended.`,
    { details: { running: SQL_STREAMS_MAX } },
  )
}

class Answer {
  readonly #exchange: Exchange
  readonly #stream: WindowStream
  readonly #clock: Clock
  #keepAlive: Timer | null = null

  constructor(exchange: Exchange, stream: WindowStream, clock: Clock) {
    this.#exchange = exchange
    this.#stream = stream
    this.#clock = clock
  }

  async send(): Promise<void> {
    try {
      this.#rest()
      for await (const batch of this.#stream.batches()) {
        const isThere = await this.#write(this.#rowLines(batch) + this.#resumeLine())
        if (!isThere) return
        this.#rest()
      }
      await this.#write(this.#resumeLine())
    } catch (error) {
      const { status, body } = problemOf(error, this.#exchange.id)
      // The log has more of it than an answer may.
      if (status >= 500) throw error
      await this.#write(`${JSON.stringify({ problem: body })}\n`)
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
      this.#exchange.response.write(this.#resumeLine())
      this.#rest()
    })
  }

  #rowLines({ schema, columns, length }: RecordBatch): string {
    const names = schema.fields.map(({ name }) => name)
    const sqlTypes = this.#stream.columns?.map(({ type }) => type) ?? []
    const rows = toNdjson({ names, sqlTypes, columns, length }).split('\n')
    return rows.map((row) => (row === '' ? '' : `{"row":${row}}\n`)).join('')
  }

  #resumeLine(): string {
    return `${JSON.stringify({ resumePoint: this.#stream.resumePoint })}\n`
  }
}
