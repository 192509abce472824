/** The worker's side of every query: takes main's messages, runs sessions, answers. It lives as long as its worker. */
import { StratalogError, isStratalogError } from '../base/errors.ts'
import { Database } from './database.ts'
import {
  type Channel,
  type FromWorker,
  type ResultChunk,
  type ToWorker,
  type WorkerError,
  chunkBytes,
} from './protocol.ts'
import { QuerySession } from './query-session.ts'
import { statementError } from './statement.ts'
import type { ScanStores } from './scan-table.ts'
import { ScanTables } from './table-scan.ts'
import { TextArenaPool } from './text-arena.ts'

type CheckMessage = Extract<ToWorker, { readonly kind: 'check' }>
type BindMessage = Extract<ToWorker, { readonly kind: 'bind' }>
type RunMessage = Extract<ToWorker, { readonly kind: 'run' }>

/** A session and what main has not yet consumed of it. */
interface RunningQuery {
  readonly session: QuerySession
  /** The step under way; steps never overlap. */
  step: Promise<void>
  unconsumedBytes: number
  /** Wakes the sender that waits for room. */
  wake: () => void
  isEnded: boolean
}

export class QueryHost {
  readonly #channel: Channel<ToWorker, FromWorker>
  readonly #stores: ScanStores
  readonly #queries = new Map<number, RunningQuery>()
  #scanTables: ScanTables | null = null
  #database: Promise<Database> | null = null
  #closed: Promise<void> | null = null
  /** What ends every query, once something failed that nobody was there to catch. */
  #failure: StratalogError | null = null

  constructor(channel: Channel<ToWorker, FromWorker>, stores: ScanStores) {
    this.#channel = channel
    this.#stores = stores
    channel.onMessage((message) => this.#receive(message))
  }

  #receive(message: ToWorker): void {
    switch (message.kind) {
      case 'open':
        this.#scanTables = new ScanTables(
          this.#stores,
          new TextArenaPool(),
          message.options.threads,
        )
        this.#database = Database.open(message.options, this.#scanTables)
        // Whoever uses it sees the failure.
        this.#database.catch(() => {})
        return
      case 'bind':
        this.#begin(message, async ({ session }) => {
          const scans = await session.bind(message.tables, message.parameters)
          this.#channel.post({ kind: 'planned', query: message.query, scans })
        })
        return
      case 'check':
        this.#begin(message, async (query) => {
          const statement = await query.session.check(message.tables)
          this.#channel.post({ kind: 'checked', query: message.query, statement })
          await this.#end(message.query, query, null)
        })
        return
      case 'run':
        this.#step(message.query, (query) => this.#run(query, message))
        return
      case 'consumed':
        this.#consumed(message.query, message.bytes)
        return
      case 'cancel':
        this.#cancel(message.query)
        return
      case 'close':
        void this.#close()
    }
  }

  /** Known from here on: whoever closes waits for it, also while DuckDB is still being opened. */
  #begin(
    { query: id, sql }: BindMessage | CheckMessage,
    run: (query: RunningQuery) => Promise<void>,
  ): void {
    if (this.#closed !== null || this.#database === null || this.#scanTables === null) {
      const error =
        this.#failure ??
        new StratalogError('engine_closed', 'The query worker takes no more queries.')
      this.#channel.post({ kind: 'failed', query: id, error: toWorkerError(error) })
      return
    }
    const session = new QuerySession(id, this.#database, this.#scanTables, this.#stores, sql)
    const step = Promise.resolve()
    this.#queries.set(id, { session, step, unconsumedBytes: 0, wake: () => {}, isEnded: false })
    this.#step(id, run)
  }

  /** Runs a step after the one before it; what it throws ends the query. */
  #step(id: number, run: (query: RunningQuery) => Promise<void>): void {
    const query = this.#queries.get(id)
    if (query === undefined) return
    query.step = query.step.then(async () => {
      if (query.isEnded) return
      try {
        if (query.session.isCancelled) throw this.#cancelled()
        await run(query)
      } catch (error) {
        const reason = query.session.isCancelled ? this.#cancelled() : error
        await this.#end(id, query, query.session.report.error ?? reason)
      }
    })
  }

  #cancelled(): StratalogError {
    return this.#failure ?? new StratalogError('aborted', 'The query was cancelled.')
  }

  async #run(query: RunningQuery, message: RunMessage): Promise<void> {
    const { session } = query
    const header = await session.run(message.sources)
    this.#channel.post({ kind: 'header', query: message.query, ...header })
    let [rowCount, byteCount] = [0, 0]
    for (;;) {
      const chunk = await session.next()
      if (chunk === null) break
      rowCount += chunk.length
      if (rowCount > message.rowsMax) throw tooManyRows(message.rowsMax)
      byteCount += chunkBytes(chunk)
      if (byteCount > message.bytesMax) throw tooManyBytes(message.bytesMax)
      await this.#send(query, message, chunk)
    }
    await this.#end(message.query, query, null)
  }

  /** Waits until main has consumed enough of what was sent before. */
  async #send(query: RunningQuery, message: RunMessage, chunk: ResultChunk): Promise<void> {
    while (query.unconsumedBytes > message.windowBytes && !query.session.isCancelled) {
      await new Promise<void>((resolve) => {
        query.wake = resolve
      })
    }
    const buffers = chunkBuffers(chunk)
    const bytes = buffers.reduce((sum, buffer) => sum + buffer.byteLength, 0)
    query.unconsumedBytes += bytes
    this.#channel.post({ kind: 'chunk', query: message.query, chunk, bytes }, buffers)
  }

  #consumed(id: number, bytes: number): void {
    const query = this.#queries.get(id)
    if (query === undefined) return
    query.unconsumedBytes -= bytes
    query.wake()
  }

  #cancel(id: number): void {
    const query = this.#queries.get(id)
    if (query === undefined) return
    query.session.cancel()
    query.wake()
    // Where no step is under way, nothing else would end the query.
    this.#step(id, () => Promise.resolve())
  }

  /** Closes the session and says so; the last message of a query. */
  async #end(id: number, query: RunningQuery, error: unknown): Promise<void> {
    query.isEnded = true
    await query.session.close()
    // Only now: until its session is closed DuckDB works for it, and whoever closes the worker has to wait.
    this.#queries.delete(id)
    if (error === null)
      this.#channel.post({ kind: 'done', query: id, reads: query.session.report.reads })
    else this.#channel.post({ kind: 'failed', query: id, error: toWorkerError(error) })
  }

  /**
   * Ends every query, as this worker is about to die of an error. Resolves when DuckDB is at rest; a worker that ends
   * before that takes the process with it. Repeated until then, as an interrupt between two calls into DuckDB is lost.
   */
  fail(): Promise<void> {
    this.#failure = new StratalogError('query_failed', 'The query worker ended by itself.')
    return this.#close()
  }

  /** Interrupts what runs, as often as it is asked to; DuckDB is closed once, when all has ended. */
  #close(): Promise<void> {
    for (const id of this.#queries.keys()) this.#cancel(id)
    this.#closed ??= this.#closeWhenEnded()
    return this.#closed
  }

  async #closeWhenEnded(): Promise<void> {
    await Promise.all([...this.#queries.values()].map((query) => query.step))
    const database = await this.#database?.catch(() => null)
    database?.close()
    this.#channel.post({ kind: 'closed' })
  }
}

function toWorkerError(error: unknown): WorkerError {
  const known = isStratalogError(error) ? error : statementError(error)
  return { code: known.code, message: known.message, details: known.details }
}

function chunkBuffers(chunk: ResultChunk): readonly ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>()
  for (const { values, offsets, validity } of chunk.columns) {
    for (const view of [values, offsets, validity]) {
      if (view !== null && view.buffer instanceof ArrayBuffer) buffers.add(view.buffer)
    }
  }
  return [...buffers]
}

function tooManyRows(rowsMax: number): StratalogError {
  return new StratalogError(
    'query_limit',
    `The query has more than ${rowsMax} rows, the limit it was given.`,
    {
      details: { maxRows: rowsMax },
    },
  )
}

function tooManyBytes(bytesMax: number): StratalogError {
  return new StratalogError(
    'query_limit',
    `The query has more than ${bytesMax} bytes of rows, the limit it was given.`,
    { details: { maxBytes: bytesMax } },
  )
}
