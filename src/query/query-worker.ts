/** The main thread's hold of one worker: numbers queries, routes its answers, and notices when it dies. */
import type { Clock } from '../base/clock.ts'
import { StratalogError, isStratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import type { DatabaseOptions, FromWorker, ToWorker, WorkerChannel } from './protocol.ts'

/** What a worker says about one query. */
export type QueryMessage = Extract<FromWorker, { readonly query: number }>

export interface QueryListener {
  receive(message: QueryMessage): void
  /** The worker is gone and will say nothing more. */
  lost(error: StratalogError): void
}

/** How long a worker may take to end its queries and close DuckDB before it is left alone. */
const CLOSE_TIMEOUT_MS = 5_000

export class QueryWorker {
  readonly #channel: WorkerChannel
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #listeners = new Map<number, QueryListener>()
  #nextQuery = 1
  #hasExited = false
  #isKilled = false
  #onClosed: () => void = () => {}

  constructor(channel: WorkerChannel, clock: Clock, logger: Logger, options: DatabaseOptions) {
    this.#channel = channel
    this.#clock = clock
    this.#logger = logger
    channel.onMessage((message) => this.#receive(message))
    channel.onExit((error) => this.#exited(error))
    channel.setActive(false)
    const { threads, memoryBytesMax } = options
    channel.post({ kind: 'open', options: { threads, memoryBytesMax } })
  }

  get hasExited(): boolean {
    return this.#hasExited
  }

  /** It was killed, and takes no more queries: what its last query says may still come before its exit. */
  get isEnding(): boolean {
    return this.#isKilled
  }

  get isBusy(): boolean {
    return this.#listeners.size > 0
  }

  /** A number for a query whose messages go to `listener`, until `forget`. */
  add(listener: QueryListener): number {
    const id = this.#nextQuery++
    this.#listeners.set(id, listener)
    this.#channel.setActive(true)
    return id
  }

  forget(id: number): void {
    this.#listeners.delete(id)
    if (this.#listeners.size === 0 && !this.#hasExited) this.#channel.setActive(false)
  }

  post(message: ToWorker): void {
    if (!this.#hasExited) this.#channel.post(message)
  }

  /** Ends a process whose query does not end; whoever listens is told when it is gone. A thread goes on. */
  kill(): void {
    if (this.#hasExited || this.#isKilled || this.#channel.kill === null) return
    this.#logger.warn('a query did not end when it was told to: its process is killed', {})
    this.#isKilled = true
    this.#channel.kill()
  }

  /** A process keeps what DuckDB once took from the system, and has no room left for the next query. */
  #endIfOutOfMemory(message: QueryMessage): void {
    if (message.kind !== 'failed' || this.#channel.kill === null || this.#isKilled) return
    const { code, details } = message.error
    if (code !== 'query_limit' || 'maxRows' in details || 'maxBytes' in details) return
    this.#isKilled = true
    this.#channel.kill()
  }

  /**
   * Stops the worker; no query may be running. Terminating a worker inside a call into DuckDB aborts the process, so
   * one that does not answer is left to end with it.
   */
  async close(): Promise<void> {
    if (this.#hasExited) return
    if (this.#channel.kill !== null) {
      this.#hasExited = true
      await this.#channel.terminate()
      return
    }
    const isClosed = await new Promise<boolean>((resolve) => {
      const timer = this.#clock.setTimer(CLOSE_TIMEOUT_MS, () => resolve(false))
      this.#onClosed = () => {
        timer.cancel()
        // The exit may come before whoever waits here goes on.
        this.#hasExited = true
        resolve(true)
      }
      this.#channel.setActive(true)
      this.#channel.post({ kind: 'close' })
    })
    this.#hasExited = true
    if (isClosed) {
      await this.#channel.terminate()
      return
    }
    this.#logger.warn('the query worker did not close in time', { waitedMs: CLOSE_TIMEOUT_MS })
    this.#channel.setActive(false)
  }

  #receive(message: FromWorker): void {
    if (message.kind === 'closed') {
      this.#onClosed()
      return
    }
    // First, as who listens gives its slot to the next query.
    this.#endIfOutOfMemory(message)
    this.#listeners.get(message.query)?.receive(message)
  }

  #exited(cause: Error | null): void {
    if (this.#hasExited) return
    this.#hasExited = true
    if (!this.#isKilled)
      this.#logger.error('the query worker ended by itself', { error: cause?.message })
    const error = isStratalogError(cause) ? cause : endedByItself(cause)
    for (const listener of [...this.#listeners.values()]) listener.lost(error)
    this.#onClosed()
  }
}

function endedByItself(cause: Error | null): StratalogError {
  return new StratalogError(
    'query_failed',
    'The query worker ended by itself.',
    cause === null ? {} : { cause },
  )
}
