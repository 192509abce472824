import { systemClock } from '../base/clock.ts'
import { StratalogError, isStratalogError, throwIfAborted } from '../base/errors.ts'
import { parseLogName } from '../base/log-name.ts'
import { systemRandom } from '../base/random.ts'
import type { Duration } from '../base/units.ts'
import { toWire } from '../base/wire-value.ts'
import type { AlterLogOptions } from '../engine/alter-log.ts'
import type { AppendOptions } from '../engine/append-options.ts'
import { assertOptions, assertStatement } from './check-call.ts'
import type { CreateLogOptions } from '../engine/create-log.ts'
import type { SnapshotDescription } from '../engine/describe-snapshot.ts'
import type { ForkOptions } from '../engine/fork-options.ts'
import type { MemoryMetrics } from '../engine/memory-metrics.ts'
import { type CheckedStatement, PreparedQuery } from '../base/prepared-query.ts'
import type { PrepareOptions, QueryOptions } from '../engine/query-options.ts'
import type { ConsumeOptions } from '../engine/shorthands.ts'
import type { SnapshotOptions } from '../engine/snapshots.ts'
import type { EngineStatus } from '../engine/status.ts'
import type { AppendResult } from '../log/live-log.ts'
import { type QueryParameters, checkedParameters } from '../base/query-parameters.ts'
import { Appender } from './appender.ts'
import { Jobs } from './jobs.ts'
import { QueryRows } from './query-rows.ts'
import { textOfTime } from './read-records.ts'
import { RemoteLog } from './remote-log.ts'
import { RemoteWindows, type StreamQueryOptions } from './remote-windows.ts'
import type { Row } from './row-batch.ts'
import { Transport, pathOf } from './transport.ts'

export interface ConnectOptions {
  /** `stl_…`, for a server with tokens. */
  readonly token?: string
  /** How often a request is sent again at most, where that does no harm. Default 5; 0: never. */
  readonly retries?: number
  /** How long an attempt waits for its answer, in ms; queries and live reads have all the time. Default 30 s. */
  readonly timeoutMs?: number
  /** Ends the attempts to reach the server. */
  readonly signal?: AbortSignal
  /** In place of the platform's. */
  readonly fetch?: typeof globalThis.fetch
}

const RETRIES = 5
const TIMEOUT_MS = 30_000

/** Of an append to a log that others are making. */
const FIRST_USE_ATTEMPTS = 20

/**
 * Reaches a server, and resolves with what an engine is in the program: logs, reads, SQL.
 *
 * @throws StratalogError `url_invalid`, `server_unavailable`, `aborted`.
 * @example
 * const db = await connect('http://127.0.0.1:8080', { token })
 * await db.log('clicks').append({ user_id: 7, event: 'view' })
 */
export async function connect(url: string, options: ConnectOptions = {}): Promise<Client> {
  const { token, retries = RETRIES, timeoutMs = TIMEOUT_MS, signal } = options
  const transport = new Transport({
    url: baseOf(url),
    token,
    retries,
    timeoutMs,
    fetch: options.fetch ?? globalThis.fetch.bind(globalThis),
    clock: systemClock,
    random: systemRandom,
  })
  await transport.json('/healthz', { isRepeatable: true, signal })
  return new Client(transport)
}

/** @throws StratalogError `url_invalid`. */
function baseOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : null
  const isServer = parsed !== null && /^https?:$/.test(parsed.protocol)
  if (isServer && parsed.search === '' && parsed.hash === '' && parsed.username === '')
    return parsed.href.replace(/\/$/, '')
  throw new StratalogError('url_invalid', `A server is named as http://host:port; got ${url}.`, {
    details: { url },
  })
}

/** A server as a program sees it. Cheap; nothing is held open between requests. */
export class Client implements AsyncDisposable {
  readonly #transport: Transport
  /** Restores, replays and drills that the server does. */
  readonly jobs: Jobs
  readonly #appenders = new Map<string, Appender>()

  /** `connect` makes one. */
  constructor(transport: Transport) {
    this.#transport = transport
    this.jobs = new Jobs(transport)
  }

  /** Creates a log. @throws StratalogError `log_exists`, `log_name_invalid`, `schema_invalid`, `config_invalid`. */
  async createLog(name: string, options: CreateLogOptions = {}): Promise<RemoteLog> {
    const body = { name: parseLogName(name), ...options }
    await this.#transport.json('/v1/logs', { method: 'POST', body, isRepeatable: false })
    return this.log(name)
  }

  /** Changes the policy of a log. @throws StratalogError as `Stratalog.alterLog`. */
  async alterLog(name: string, options: AlterLogOptions): Promise<RemoteLog> {
    const path = pathOf('logs', parseLogName(name))
    await this.#transport.json(path, { method: 'PATCH', body: options, isRepeatable: true })
    return this.log(name)
  }

  /** Deletes a log with all its records. @throws StratalogError `log_not_found`, and as `Stratalog.deleteLog`. */
  async deleteLog(name: string): Promise<void> {
    const log = parseLogName(name)
    this.#appenders.delete(log)
    await this.#transport.json(pathOf('logs', log), { method: 'DELETE', isRepeatable: false })
  }

  /** Makes a log that shares the data of another up to a point. @throws StratalogError as `Stratalog.fork`. */
  async fork(log: string, as: string, options: ForkOptions = {}): Promise<RemoteLog> {
    const { at, ...rest } = options as ForkOptions & { readonly at?: Date | string | number }
    const body = { as, ...rest, ...(at === undefined ? {} : { at: textOfTime(at) }) }
    const path = pathOf('logs', parseLogName(log), 'fork')
    await this.#transport.json(path, { method: 'POST', body, isRepeatable: false })
    return this.log(as)
  }

  /** A log by its name. Whether there is one, its first use says. @throws StratalogError `log_name_invalid`. */
  log(name: string): RemoteLog {
    this.#transport.assertOpen()
    const key = parseLogName(name)
    let appender = this.#appenders.get(key)
    if (appender === undefined) {
      appender = new Appender(this.#transport, key)
      this.#appenders.set(key, appender)
    }
    return new RemoteLog(key, this.#transport, appender)
  }

  /** Every log, by name. */
  async logs(): Promise<readonly RemoteLog[]> {
    interface Page {
      readonly logs: readonly { readonly name: string }[]
      readonly next: string | null
    }
    const found: RemoteLog[] = []
    for (let after: string | null = ''; after !== null;) {
      const parameters = after === '' ? {} : { after }
      const page: Page = await this.#transport.json<Page>('/v1/logs', {
        parameters,
        isRepeatable: true,
      })
      for (const { name } of page.logs) found.push(this.log(name))
      after = page.next
    }
    return found
  }

  /** Appends to a log by name; on its first use the log is created with the engine's defaults. */
  produce(
    name: string,
    records: object | readonly object[],
    options: AppendOptions = {},
  ): Promise<AppendResult> {
    return this.#produce(name, {}, (log) => log.append(records, options))
  }

  /** Appends to a log of mode `memory`, which is created so on its first use; the records are gone `ttl` after it. */
  produceWithTtl(
    name: string,
    records: object | readonly object[],
    ttl: Duration,
  ): Promise<AppendResult> {
    const options: CreateLogOptions = { storage: { mode: 'memory' } }
    return this.#produce(name, options, (log) => log.append(records, { ttl }))
  }

  /** Up to `limit` records from offset `from` on, as objects. */
  async consume(
    name: string,
    from: number,
    limit: number,
    options: ConsumeOptions = {},
  ): Promise<Row[]> {
    return this.log(name)
      .read({ ...options, from, limit })
      .toArray()
  }

  /**
   * Runs one SQL statement over all tiers; each log is a table of its name. Who leaves the rows early, or whose signal
   * fires, ends it on the server.
   * @throws StratalogError as `Stratalog.query`.
   * @example
   * const result = await db.query('SELECT event, count(*) AS n FROM clicks GROUP BY event')
   * console.log(await result.toArray())
   */
  async query(
    sql: string,
    parameters: QueryParameters = [],
    options: QueryOptions = {},
  ): Promise<QueryRows> {
    this.#transport.assertOpen()
    assertStatement(sql)
    assertOptions(options, 'query')
    const { signal, asOf, ...rest } = options
    throwIfAborted(signal)
    const body = {
      sql,
      parameters: toWire(checkedParameters(parameters)),
      ...rest,
      ...(asOf === undefined ? {} : { asOf: textOfTime(asOf) }),
    }
    const open = (ending: AbortSignal): Promise<Response> =>
      this.#transport.open('/v1/sql', {
        method: 'POST',
        parameters: { format: 'rows' },
        body,
        isRepeatable: true,
        isLong: true,
        signal: ending,
      })
    return QueryRows.of(open, signal)
  }

  /**
   * Checks a statement on the server now, and runs it later, as often as it is asked to.
   * @throws StratalogError as `Stratalog.prepare`.
   * @example
   * const ofUser = await db.prepare('SELECT count(*) AS n FROM clicks WHERE user_id = $1')
   * console.log(await (await ofUser.query([7])).toArray())
   */
  async prepare(
    sql: string,
    options: PrepareOptions = {},
  ): Promise<PreparedQuery<QueryRows, QueryOptions>> {
    this.#transport.assertOpen()
    assertStatement(sql)
    assertOptions(options, 'prepare')
    const { signal, ...limits } = options
    throwIfAborted(signal)
    const checked: CheckedStatement = await this.#transport.json('/v1/sql/prepare', {
      method: 'POST',
      body: { sql, ...limits },
      isRepeatable: true,
      isLong: true,
      signal,
    })
    return new PreparedQuery(sql, checked, (...query) => this.query(...query))
  }

  /**
   * Follows a log and gives the rows of its windows as they close, as `Stratalog.streamSql`; one that breaks off goes
   * on behind the last row. It begins with the first row that is asked for.
   * @throws StratalogError from the iteration: as `Stratalog.streamSql`, `queue_full`, `server_unavailable`.
   * @example
   * const sql = 'SELECT count(*) AS n FROM clicks GROUP BY TUMBLE(_time, INTERVAL 1 MINUTE)'
   * for await (const row of db.streamSql(sql)) console.log(row)
   */
  streamSql(sql: string, options: StreamQueryOptions = {}): RemoteWindows {
    this.#transport.assertOpen()
    assertOptions(options, 'streamSql')
    const late: unknown = options.late
    if (typeof late === 'function')
      throw new StratalogError('argument_invalid', `late is 'drop' or 'update' over HTTP.`)
    return new RemoteWindows(this.#transport, sql, options)
  }

  /** Names this moment of all logs, or of some. @throws StratalogError as `Stratalog.snapshot`. */
  snapshot(options: SnapshotOptions = {}): Promise<SnapshotDescription> {
    const request = { method: 'POST', body: options, isRepeatable: false, isLong: true } as const
    return this.#transport.json('/v1/snapshots', request)
  }

  /** All snapshots, oldest first. */
  async snapshots(): Promise<readonly SnapshotDescription[]> {
    interface Answer {
      readonly snapshots: readonly SnapshotDescription[]
    }
    return (await this.#transport.json<Answer>('/v1/snapshots', { isRepeatable: true })).snapshots
  }

  /** Deletes a snapshot by name or id. @throws StratalogError `snapshot_not_found`. */
  deleteSnapshot(nameOrId: string): Promise<SnapshotDescription> {
    const path = pathOf('snapshots', nameOrId)
    return this.#transport.json(path, { method: 'DELETE', isRepeatable: false })
  }

  /** Every log, partition and tier: bytes, records, offsets, lag, last error. */
  status(): Promise<EngineStatus> {
    return this.#transport.json('/v1/status', { isRepeatable: true })
  }

  /** What the memory tier of the server holds, against its budget, and what it let go of. */
  memoryMetrics(): Promise<MemoryMetrics> {
    return this.#transport.json('/v1/memory', { isRepeatable: true })
  }

  /** The client is used no more; the server goes on. */
  async close(): Promise<void> {
    this.#transport.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #produce(
    name: string,
    options: CreateLogOptions,
    append: (log: RemoteLog) => Promise<AppendResult>,
  ): Promise<AppendResult> {
    const log = this.log(name)
    for (let attempt = 0; ; attempt++) {
      try {
        return await append(log)
      } catch (error) {
        const isMissing = isStratalogError(error) && error.code === 'log_not_found'
        if (!isMissing || attempt > FIRST_USE_ATTEMPTS) throw error
      }
      try {
        await this.createLog(name, options)
      } catch (error) {
        // Somebody else is making it, and may not be done.
        if (!isStratalogError(error) || error.code !== 'log_exists') throw error
        await this.#transport.pause(1, undefined)
      }
    }
  }
}
