/**
 * One query on the main thread, from its turn to its last row. Whatever happens, it ends once: the worker has said its
 * last word (or died), the views and files are released, the slot is given back, and `settled` resolves.
 */
import { present } from '../base/assert.ts'
import type { Timer } from '../base/clock.ts'
import { StratalogError, toStratalogError } from '../base/errors.ts'
import { namesSnapshots } from './information-tables.ts'
import { PinnedTables, sqlWords } from './pinned-tables.ts'
import type { QueryParameters } from '../base/query-parameters.ts'
import type { CheckedStatement } from '../base/prepared-query.ts'
import type { ResultChunk, ToWorker } from './protocol.ts'
import { countQuery } from './query-meter.ts'
import {
  COLLECTED_BYTES_MAX,
  QueryResult,
  type QueryStats,
  type ResultSource,
} from './query-result.ts'
import type { QueryPorts } from './query-ports.ts'
import type { QuerySlots } from './query-slots.ts'
import { unknownTableError } from './unknown-table.ts'
import type { QueryListener, QueryMessage, QueryWorker } from './query-worker.ts'

export interface QueryRequest {
  readonly sql: string
  readonly parameters: QueryParameters
  /** Paths of files that are known to be damaged; the query adds what it finds. */
  readonly damaged: Set<string>
  readonly rowsMax: number
  /** Null for the limit of what is collected, and none of what is read as it comes. */
  readonly bytesMax: number | null
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

/** How far the worker may be ahead of the reader. */
const WINDOW_BYTES = 8 * 1024 * 1024

/** An interrupt that meets DuckDB between two calls is lost, so it is repeated until the query has ended. */
const CANCEL_INTERVAL_MS = 50

/** A query in a process of its own that goes on after so many is ended with its process. */
const CANCELS_MAX = 2

interface ReceivedChunk {
  readonly chunk: ResultChunk
  readonly bytes: number
}

export class QueryExecution implements QueryListener, ResultSource {
  readonly settled: Promise<void>
  readonly stats: Promise<QueryStats>
  /** Where the query has a limit of its own, that holds. */
  readonly collectedBytesMax: number
  readonly #ports: QueryPorts
  readonly #request: QueryRequest
  readonly #startedAt: number
  readonly #cancellation = new AbortController()
  readonly #settle: () => void
  readonly #resolveStats: (stats: QueryStats) => void
  readonly #rejectStats: (error: StratalogError) => void
  #deadline: Timer | null = null
  #cancelTimer: Timer | null = null
  #worker: QueryWorker | null = null
  #id = 0
  /** The worker knows of it, and will have a last word. */
  #isPosted = false
  #giveBackSlot: () => void = () => {}
  #tables: PinnedTables | null = null
  #chunks: ReceivedChunk[] = []
  #error: StratalogError | null = null
  #isEnded = false
  #hasGivenRows = false
  /** That the worker sent. */
  #rows = 0
  /** Whoever waits for the worker's next message. */
  #waiter: {
    readonly resolve: (message: QueryMessage) => void
    readonly reject: (error: StratalogError) => void
  } | null = null
  #reader: (() => void) | null = null

  constructor(ports: QueryPorts, request: QueryRequest) {
    this.#ports = ports
    this.#request = request
    this.collectedBytesMax = request.bytesMax === null ? COLLECTED_BYTES_MAX : Infinity
    this.#startedAt = ports.clock.monotonic()
    const settled = Promise.withResolvers<void>()
    this.settled = settled.promise
    this.#settle = settled.resolve
    const stats = Promise.withResolvers<QueryStats>()
    this.stats = stats.promise
    // Whoever asks for them sees the failure; nobody has to ask.
    this.stats.catch(() => {})
    this.#resolveStats = stats.resolve
    this.#rejectStats = stats.reject
  }

  /** Resolves when the columns are known. */
  start(slots: QuerySlots, openWorker: () => QueryWorker): Promise<QueryResult> {
    return this.#begin(slots, openWorker, () => this.#execute())
  }

  /** Resolves when the statement was checked, and the query is over. */
  check(slots: QuerySlots, openWorker: () => QueryWorker): Promise<CheckedStatement> {
    return this.#begin(slots, openWorker, () => this.#check())
  }

  async #begin<Result>(
    slots: QuerySlots,
    openWorker: () => QueryWorker,
    execute: () => Promise<Result>,
  ): Promise<Result> {
    try {
      this.#watch()
      await this.#takeSlot(slots)
      this.#worker = openWorker()
      this.#id = this.#worker.add(this)
      return await execute()
    } catch (error) {
      const reason = this.#error ?? toStratalogError(error)
      void this.cancel(reason)
      await this.settled
      throw reason
    }
  }

  /** Ends the query with `reason`; the first reason stays. */
  cancel(reason?: StratalogError): Promise<void> {
    if (this.#isEnded) return this.settled
    this.#error ??= reason ?? new StratalogError('aborted', 'The query was closed before its end.')
    this.#cancellation.abort(this.#error)
    this.#waiter?.reject(this.#error)
    this.#waiter = null
    if (this.#isPosted) this.#postCancel()
    else this.#end()
    return this.settled
  }

  async next(): Promise<ResultChunk | null> {
    for (;;) {
      if (this.#error !== null) throw this.#error
      const received = this.#chunks.shift()
      if (received !== undefined) {
        this.#hasGivenRows = true
        this.#post({ kind: 'consumed', query: this.#id, bytes: received.bytes })
        return received.chunk
      }
      if (this.#isEnded) return null
      await new Promise<void>((resolve) => {
        this.#reader = resolve
      })
    }
  }

  receive(message: QueryMessage): void {
    switch (message.kind) {
      case 'planned':
      case 'checked':
      case 'header':
        this.#waiter?.resolve(message)
        this.#waiter = null
        return
      case 'chunk':
        this.#chunks.push({ chunk: message.chunk, bytes: message.bytes })
        this.#rows += message.chunk.length
        this.#wakeReader()
        return
      case 'done':
        this.#end(message)
        return
      case 'failed': {
        const { code, details } = message.error
        const failure = new StratalogError(code, message.error.message, { details })
        this.#failed(unknownTableError(failure, this.#ports.viewOf))
      }
    }
  }

  lost(error: StratalogError): void {
    this.#error ??= error
    this.#end()
  }

  /** Ends the query, unless another copy of a damaged segment can be read and none of the rows was given yet. */
  #failed(failure: StratalogError): void {
    const worker = this.#worker
    const hasOtherCopy = this.#error === null && this.#tables?.turnToFallback(failure) === true
    if (!hasOtherCopy || this.#hasGivenRows || worker === null) {
      this.#error ??= failure
      this.#end()
      return
    }
    const waiter = this.#waiter
    this.#waiter = null
    this.#chunks = []
    this.#rows = 0
    const former = this.#id
    this.#id = worker.add(this)
    worker.forget(former)
    // Whoever waits for the header gets that of the new run; the rows come as if there had been no other.
    this.#plan(present(this.#tables, 'the tables of a query that ran')).then(
      (header) => waiter?.resolve(header),
      (reason: unknown) => {
        if (waiter === null) void this.cancel(toStratalogError(reason))
        else waiter.reject(toStratalogError(reason))
      },
    )
  }

  async #takeSlot(slots: QuerySlots): Promise<void> {
    const giveBack = await slots.take(this.#cancellation.signal)
    // Cancelled between the slot's coming free and this line, the query has ended without it.
    if (this.#isEnded) giveBack()
    else this.#giveBackSlot = giveBack
    if (this.#error !== null) throw this.#error
  }

  /** The steps of protocol.ts, up to the header. */
  async #execute(): Promise<QueryResult> {
    const tables = await this.#pin()
    const { columns, types } = await this.#plan(tables)
    return new QueryResult(columns, types, this)
  }

  async #check(): Promise<CheckedStatement> {
    const { sql } = this.#request
    const tables = await this.#pin()
    const check: ToWorker = { kind: 'check', query: this.#id, sql, tables: tables.bound }
    const { statement } = await this.#ask(check, 'checked')
    await this.settled
    return statement
  }

  async #pin(): Promise<PinnedTables> {
    const { sql, damaged } = this.#request
    const snapshots = namesSnapshots(sqlWords(sql)) ? await this.#ports.snapshots() : []
    if (this.#error !== null) throw this.#error
    const tables = PinnedTables.pin(sql, this.#ports, snapshots, damaged)
    this.#tables = tables
    return tables
  }

  async #plan(tables: PinnedTables): Promise<Extract<QueryMessage, { readonly kind: 'header' }>> {
    const { sql, parameters, rowsMax, bytesMax } = this.#request
    const bind: ToWorker = {
      kind: 'bind',
      query: this.#id,
      sql,
      parameters,
      tables: tables.bound,
    }
    const { scans } = await this.#ask(bind, 'planned')
    const sources = await tables.openSources(scans, this.#ports, this.#cancellation.signal)
    const run: ToWorker = {
      kind: 'run',
      query: this.#id,
      sources,
      rowsMax,
      bytesMax: bytesMax ?? Infinity,
      windowBytes: WINDOW_BYTES,
    }
    return this.#ask(run, 'header')
  }

  /** Posts a message and waits for its answer. */
  #ask<Kind extends QueryMessage['kind']>(
    message: ToWorker,
    kind: Kind,
  ): Promise<Extract<QueryMessage, { readonly kind: Kind }>> {
    if (this.#error !== null) return Promise.reject(this.#error)
    return new Promise((resolve, reject) => {
      this.#waiter = {
        resolve: (answer) => {
          if (answer.kind === kind)
            resolve(answer as Extract<QueryMessage, { readonly kind: Kind }>)
        },
        reject,
      }
      this.#post(message)
    })
  }

  #watch(): void {
    const { signal, timeoutMs } = this.#request
    signal?.addEventListener('abort', this.#onAbort, { once: true })
    this.#deadline = this.#ports.clock.setTimer(timeoutMs, () => {
      void this.cancel(
        new StratalogError('timeout', `The query took longer than ${timeoutMs} ms.`, {
          details: { timeoutMs },
        }),
      )
    })
  }

  readonly #onAbort = (): void => {
    const cause: unknown = this.#request.signal?.reason
    void this.cancel(new StratalogError('aborted', 'The query was aborted.', { cause }))
  }

  #post(message: ToWorker): void {
    if (this.#isEnded || this.#worker === null) return
    // What cannot be sent throws, and the worker has never heard of the query.
    this.#worker.post(message)
    this.#isPosted = true
  }

  #postCancel(sent = 0): void {
    if (this.#isEnded) return
    if (sent >= CANCELS_MAX) this.#worker?.kill()
    this.#post({ kind: 'cancel', query: this.#id })
    const again = (): void => this.#postCancel(sent + 1)
    this.#cancelTimer?.cancel()
    this.#cancelTimer = this.#ports.clock.setTimer(CANCEL_INTERVAL_MS, again)
  }

  #end(done: Extract<QueryMessage, { readonly kind: 'done' }> | null = null): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#deadline?.cancel()
    this.#cancelTimer?.cancel()
    this.#request.signal?.removeEventListener('abort', this.#onAbort)
    this.#worker?.forget(this.#id)
    const elapsedMs = this.#ports.clock.monotonic() - this.#startedAt
    const stats = done === null ? null : this.#statsOf(done, elapsedMs)
    // Whoever still fetches or looks for newest records must not touch what is let go of here.
    this.#cancellation.abort(this.#error)
    this.#tables?.release()
    this.#giveBackSlot()
    const unfinished = stats === null ? 'query_failed' : 'ok'
    const outcome = this.#error?.code ?? unfinished
    countQuery(this.#ports.metrics, { outcome, elapsedMs, rows: this.#rows, stats })
    if (this.#error === null && stats !== null) this.#resolveStats(stats)
    else
      this.#rejectStats(
        this.#error ?? new StratalogError('query_failed', 'The query ended without a result.'),
      )
    if (this.#error !== null) this.#waiter?.reject(this.#error)
    this.#waiter = null
    this.#wakeReader()
    this.#settle()
  }

  #wakeReader(): void {
    this.#reader?.()
    this.#reader = null
  }

  #statsOf(
    { reads }: Extract<QueryMessage, { readonly kind: 'done' }>,
    elapsedMs: number,
  ): QueryStats {
    const tables = present(this.#tables, 'the tables of a query that ran')
    const { memory, disk, object } = reads
    const { tiers, ...totals } = tables.stats
    return {
      elapsedMs: Math.round(elapsedMs),
      rows: this.#rows,
      recordsByTier: { memory: memory.records, disk: disk.records, object: object.records },
      bytesByTier: { memory: memory.bytes, disk: disk.bytes, object: object.bytes },
      ...totals,
      tiers: {
        memory: { ...memory, ...tiers.memory },
        disk: { ...disk, ...tiers.disk },
        object: { ...object, ...tiers.object },
      },
    }
  }
}
