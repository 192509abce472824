/**
 * SQL over all tiers: the main thread's side. DuckDB runs in a worker, or in processes; this side pins views, prunes
 * and fetches segments, bounds how many queries run, and ends those that are aborted, late or left.
 *
 * Every query sees one consistent state: the views of all its logs are pinned in one synchronous stretch, and released
 * only after the worker said that DuckDB is done with them.
 */
import { StratalogError, throwIfAborted } from '../base/errors.ts'
import type { CheckedStatement } from '../base/prepared-query.ts'
import type { DatabaseOptions } from './protocol.ts'
import { setQueryGauges } from './query-meter.ts'
import { type QueryParameters, checkedParameters } from '../base/query-parameters.ts'
import type { QueryPorts } from './query-ports.ts'
import type { QueryResult } from './query-result.ts'
import { QueryExecution } from './query-execution.ts'
import { QuerySlots } from './query-slots.ts'
import type { QueryWorker } from './query-worker.ts'
import { QueryWorkers } from './query-workers.ts'

/** Where DuckDB runs: in a thread of this process, or for each query that runs in a process of its own. */
export type QueryIsolation = 'thread' | 'process'

export interface QueryLimits extends DatabaseOptions {
  readonly isolation: QueryIsolation
  /** Queries that execute at once; each holds a thread of the process's pool. */
  readonly concurrencyMax: number
  /** Queries that wait for their turn. */
  readonly queueMax: number
  readonly timeoutMs: number
}

export const DEFAULT_QUERY_LIMITS: QueryLimits = {
  isolation: 'thread',
  threads: 2,
  memoryBytesMax: 1024 ** 3,
  concurrencyMax: 2,
  queueMax: 1000,
  timeoutMs: 300_000,
}

/** The state that is asked, in place of the present one. */
export type QueriedState = Partial<Pick<QueryPorts, 'viewOf' | 'logFacts' | 'snapshots'>>

export interface QueryOptions extends QueriedState {
  readonly signal?: AbortSignal
  /** From the call to the last row, waiting included. */
  readonly timeoutMs?: number
  /** More rows than this end the query with `query_limit`. */
  readonly maxRows?: number
  /** The same of the bytes that the rows take in Arrow's layout; absent, what is collected has the limit of that. */
  readonly maxBytes?: number
}

export class QueryRunner {
  readonly #ports: QueryPorts
  readonly #limits: QueryLimits
  readonly #slots: QuerySlots
  readonly #running = new Set<QueryExecution>()
  /** Files that queries found damaged while the archive has their segments. */
  readonly #damaged = new Set<string>()
  readonly #workers: QueryWorkers
  #isClosed = false

  constructor(ports: QueryPorts, limits: QueryLimits = DEFAULT_QUERY_LIMITS) {
    this.#ports = ports
    this.#limits = limits
    this.#workers = new QueryWorkers(ports, limits, limits.isolation === 'thread')
    this.#slots = new QuerySlots(limits.concurrencyMax, limits.queueMax, (running, waiting) =>
      setQueryGauges(ports.metrics, running, waiting),
    )
  }

  /**
   * Runs one statement that reads. Resolves when its columns are known; rows follow as they are read.
   *
   * @throws StratalogError `query_invalid`, `query_forbidden`, `argument_invalid`, `log_not_found`, `query_limit`,
   * `queue_full`, `aborted`, `timeout`, `engine_closed`, and what reading a segment can throw.
   */
  async query(
    sql: string,
    parameters: QueryParameters = [],
    options: QueryOptions = {},
  ): Promise<QueryResult> {
    const execution = this.#execution(sql, parameters, options)
    return execution.start(this.#slots, () => this.#openWorker())
  }

  /**
   * Checks a statement against the tables that there are, and runs nothing. It waits for its turn as a query does.
   *
   * @throws StratalogError as `query`.
   */
  async check(sql: string, options: QueryOptions = {}): Promise<CheckedStatement> {
    const execution = this.#execution(sql, [], options)
    return execution.check(this.#slots, () => this.#openWorker())
  }

  #execution(sql: string, parameters: QueryParameters, options: QueryOptions): QueryExecution {
    if (this.#isClosed) throw closed()
    throwIfAborted(options.signal)
    const ports = this.#ports
    const { viewOf = ports.viewOf, logFacts = ports.logFacts } = options
    const { snapshots = ports.snapshots } = options
    const execution = new QueryExecution(
      { ...ports, viewOf, logFacts, snapshots },
      {
        sql,
        parameters: checkedParameters(parameters),
        damaged: this.#damaged,
        rowsMax: options.maxRows ?? Infinity,
        bytesMax: options.maxBytes ?? null,
        timeoutMs: options.timeoutMs ?? this.#limits.timeoutMs,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      },
    )
    this.#running.add(execution)
    void execution.settled.then(() => this.#running.delete(execution))
    return execution
  }

  #openWorker(): QueryWorker {
    if (this.#isClosed) throw closed()
    return this.#workers.open()
  }

  /** Ends every query, waits until DuckDB has let go, and stops the worker. */
  async close(): Promise<void> {
    this.#isClosed = true
    const running = [...this.#running]
    await Promise.all(running.map((execution) => execution.cancel(closed())))
    await this.#workers.close()
  }
}

function closed(): StratalogError {
  return new StratalogError('engine_closed', 'The engine is closed.')
}
