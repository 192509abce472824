/**
 * SQL over all tiers: the main thread's side. DuckDB runs in a worker; this side pins views, prunes and fetches
 * segments, bounds how many queries run, and ends those that are aborted, late or left.
 *
 * Every query sees one consistent state: the views of all its logs are pinned in one synchronous stretch, and released
 * only after the worker said that DuckDB is done with them.
 */
import type { Clock } from '../base/clock.ts'
import { StratalogError, throwIfAborted } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import type { LogView, SegmentSource } from '../log/log-view.ts'
import type { DatabaseOptions, QueryParameters, WorkerChannel } from './protocol.ts'
import type { QueryResult } from './query-result.ts'
import { QueryExecution } from './query-execution.ts'
import { QuerySlots } from './query-slots.ts'
import { QueryWorker } from './query-worker.ts'

/** A local file that holds exactly the bytes of a segment. */
export interface LocalSegment {
  readonly path: string
  /** Whether it was there without asking the object store. */
  readonly isCached: boolean
  /** Requests that this took. */
  readonly requests: number
  /** The file may go when every holder has released it. */
  release(): void
}

export interface QueryPorts {
  readonly clock: Clock
  readonly logger: Logger
  /** Pins a log's present state, synchronously. @throws StratalogError `log_not_found`, naming the nearest log. */
  readonly viewOf: (logName: string) => LogView
  /** Whether there is a log of this name; asked for every word of a statement. */
  readonly hasLog: (logName: string) => boolean
  /** Starts a worker that runs a QueryHost. */
  readonly spawn: () => WorkerChannel
  /** A local file for a segment whose `bytes.path` is null. */
  readonly segmentPath: (source: SegmentSource, signal: AbortSignal) => Promise<LocalSegment>
}

export interface QueryLimits extends DatabaseOptions {
  /** Queries that execute at once; each holds a thread of the process's pool. */
  readonly concurrencyMax: number
  /** Queries that wait for their turn. */
  readonly queueMax: number
  readonly timeoutMs: number
}

export const DEFAULT_QUERY_LIMITS: QueryLimits = {
  threads: 2,
  memoryBytesMax: 1024 ** 3,
  concurrencyMax: 2,
  queueMax: 1000,
  timeoutMs: 300_000,
}

export interface QueryOptions {
  readonly signal?: AbortSignal
  /** From the call to the last row, waiting included. */
  readonly timeoutMs?: number
  /** More rows than this end the query with `query_limit`. */
  readonly maxRows?: number
}

export class QueryRunner {
  readonly #ports: QueryPorts
  readonly #limits: QueryLimits
  readonly #slots: QuerySlots
  readonly #running = new Set<QueryExecution>()
  #worker: QueryWorker | null = null
  #isClosed = false

  constructor(ports: QueryPorts, limits: QueryLimits = DEFAULT_QUERY_LIMITS) {
    this.#ports = ports
    this.#limits = limits
    this.#slots = new QuerySlots(limits.concurrencyMax, limits.queueMax)
  }

  /**
   * Runs one statement that reads. Resolves when its columns are known; rows follow as they are read.
   *
   * @throws StratalogError `query_invalid`, `query_forbidden`, `log_not_found`, `query_limit`, `queue_full`, `aborted`,
   * `timeout`, `engine_closed`, and what reading a segment can throw.
   */
  async query(sql: string, parameters: QueryParameters = [], options: QueryOptions = {}): Promise<QueryResult> {
    if (this.#isClosed) throw closed()
    throwIfAborted(options.signal)
    const execution = new QueryExecution(this.#ports, {
      sql,
      parameters,
      rowsMax: options.maxRows ?? Infinity,
      timeoutMs: options.timeoutMs ?? this.#limits.timeoutMs,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    })
    this.#running.add(execution)
    void execution.settled.then(() => this.#running.delete(execution))
    return execution.start(this.#slots, () => this.#openWorker())
  }

  /** Ends every query, waits until DuckDB has let go, and stops the worker. */
  async close(): Promise<void> {
    this.#isClosed = true
    const running = [...this.#running]
    for (const execution of running) execution.cancel(closed())
    await Promise.all(running.map((execution) => execution.settled))
    await this.#worker?.close()
    this.#worker = null
  }

  #openWorker(): QueryWorker {
    if (this.#isClosed) throw closed()
    if (this.#worker === null || this.#worker.hasExited) {
      this.#worker = new QueryWorker(this.#ports.spawn(), this.#ports.clock, this.#ports.logger, this.#limits)
    }
    return this.#worker
  }
}

function closed(): StratalogError {
  return new StratalogError('engine_closed', 'The engine is closed.')
}
