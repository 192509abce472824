/** The worker's side of every query: takes main's messages, runs sessions, answers. It lives as long as its worker. */
import { present } from '../base/assert.ts'
import { StratalogError, isStratalogError } from '../base/errors.ts'
import type { SyncFileSystem } from '../storage/file-system.ts'
import { Database } from './database.ts'
import type { Channel, FromWorker, ResultChunk, ToWorker, WorkerError } from './protocol.ts'
import { QuerySession } from './query-session.ts'
import { statementError } from './statement.ts'
import { ScanTables } from './table-scan.ts'
import { TextArenaPool } from './text-arena.ts'

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
  readonly #files: SyncFileSystem
  readonly #queries = new Map<number, RunningQuery>()
  #scanTables: ScanTables | null = null
  #database: Promise<Database> | null = null
  #isClosing = false

  constructor(channel: Channel<ToWorker, FromWorker>, files: SyncFileSystem) {
    this.#channel = channel
    this.#files = files
    channel.onMessage((message) => this.#receive(message))
  }

  #receive(message: ToWorker): void {
    switch (message.kind) {
      case 'open':
        this.#scanTables = new ScanTables(this.#files, new TextArenaPool(), message.options.threads)
        this.#database = Database.open(message.options, this.#scanTables)
        // Whoever uses it sees the failure.
        this.#database.catch(() => {})
        return
      case 'bind':
        void this.#bind(message)
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

  async #bind({ query: id, sql, parameters, tables }: BindMessage): Promise<void> {
    try {
      const database = await present(this.#database, 'an open database')
      const session = new QuerySession(
        id,
        database,
        present(this.#scanTables, 'tables'),
        sql,
        parameters,
      )
      const step = Promise.resolve()
      this.#queries.set(id, { session, step, unconsumedBytes: 0, wake: () => {}, isEnded: false })
    } catch (error) {
      this.#channel.post({ kind: 'failed', query: id, error: toWorkerError(error) })
      return
    }
    this.#step(id, async ({ session }) => {
      this.#channel.post({ kind: 'planned', query: id, bounds: await session.bind(tables) })
    })
  }

  /** Runs a step after the one before it; what it throws ends the query. */
  #step(id: number, run: (query: RunningQuery) => Promise<void>): void {
    const query = this.#queries.get(id)
    if (query === undefined) return
    query.step = query.step.then(async () => {
      if (query.isEnded) return
      try {
        if (query.session.isCancelled)
          throw new StratalogError('aborted', 'The query was cancelled.')
        await run(query)
      } catch (error) {
        const reason = query.session.isCancelled
          ? new StratalogError('aborted', 'The query was cancelled.')
          : error
        await this.#end(id, query, query.session.report.error ?? reason)
      }
    })
  }

  async #run(query: RunningQuery, message: RunMessage): Promise<void> {
    const { session } = query
    const header = await session.run(message.sources)
    this.#channel.post({ kind: 'header', query: message.query, ...header })
    let rowCount = 0
    for (;;) {
      const chunk = await session.next()
      if (chunk === null) break
      rowCount += chunk.length
      if (rowCount > message.rowsMax) throw tooManyRows(message.rowsMax)
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
    this.#queries.delete(id)
    await query.session.close()
    if (error === null)
      this.#channel.post({ kind: 'done', query: id, reads: query.session.report.reads })
    else this.#channel.post({ kind: 'failed', query: id, error: toWorkerError(error) })
  }

  /** Interrupts what runs, as often as it is asked to; DuckDB is closed once, when all has ended. */
  async #close(): Promise<void> {
    const running = [...this.#queries]
    for (const [id] of running) this.#cancel(id)
    if (this.#isClosing) return
    this.#isClosing = true
    await Promise.all(running.map(([, query]) => query.step))
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
