import { StratalogError, isStratalogError } from '../../base/errors.ts'
import type { RecordBatch } from '../../format/record-batch.ts'
import type { ResultColumn } from '../protocol.ts'
import type { QueryRow } from '../query-result.ts'
import type { DueRows } from './due-rows.ts'
import type { StreamResumePoint } from './resume-point.ts'
import type { StreamRun, StreamStats } from './stream-run.ts'

/** A query that was opened, and how its rows are made. */
export interface OpenedStream {
  readonly run: StreamRun
  readonly rowsOf: (due: DueRows) => Iterable<QueryRow>
  /** Lets go of what was opened for it. */
  readonly close: () => Promise<void>
}

/**
 * The windows of a continuous query, as they close. Iterate once, over rows or over `batches()`; leaving the loop ends
 * the query, and so does its signal.
 *
 * @example
 * for await (const row of db.streamSql('SELECT count(*) AS n FROM clicks GROUP BY TUMBLE(_time, INTERVAL 1 MINUTE)'))
 *   console.log(row.window_start, row.n)
 */
export class WindowStream implements AsyncIterable<QueryRow>, AsyncDisposable {
  readonly #open: (signal: AbortSignal) => Promise<OpenedStream>
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  #run: StreamRun | null = null
  #columns: readonly ResultColumn[] | null = null
  #opening: Promise<OpenedStream> | null = null
  #isRead = false

  constructor(
    open: (signal: AbortSignal) => Promise<OpenedStream>,
    signal: AbortSignal | undefined,
  ) {
    this.#open = open
    const { signal: own } = this.#stop
    this.#signal = signal === undefined ? own : AbortSignal.any([own, signal])
  }

  /**
   * All that was given, up to the row that was given last; null before the first is asked for. Opened with it, the
   * query goes on behind that row. In a loop over `batches()`, up to the last row of the batch.
   */
  get resumePoint(): StreamResumePoint | null {
    return this.#run?.resumePoint() ?? null
  }

  /** Null before the first row is asked for. */
  get stats(): StreamStats | null {
    return this.#run?.stats ?? null
  }

  /** Of the rows that were given last, by DuckDB's names of types; null before the first. */
  get columns(): readonly ResultColumn[] | null {
    return this.#columns
  }

  /**
   * Checks the statement and opens its log, which the first row that is asked for does otherwise.
   *
   * @throws StratalogError as `streamSql`.
   */
  async open(): Promise<void> {
    this.#opening ??= this.#open(this.#signal)
    await this.#opening
  }

  /** The rows as objects: the windows in the order of their ends. */
  async *[Symbol.asyncIterator](): AsyncGenerator<QueryRow, void, undefined> {
    for await (const { run, due, rowsOf } of this.#dueRows()) {
      for (const row of rowsOf(due)) {
        run.gave(1)
        yield row
      }
    }
  }

  /** The rows as Arrow-layout batches. */
  async *batches(): AsyncGenerator<RecordBatch, void, undefined> {
    for await (const { run, due } of this.#dueRows()) {
      for (const batch of due.batches) {
        run.gave(batch.length)
        yield batch
      }
    }
  }

  /** Ends the query. */
  async close(): Promise<void> {
    const isOpenOnly = !this.#isRead
    this.#isRead = true
    this.#stop.abort()
    if (isOpenOnly) await this.#letGo()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async *#dueRows(): AsyncGenerator<OpenedStream & { readonly due: DueRows }, void, undefined> {
    if (this.#isRead)
      throw new StratalogError('argument_invalid', 'A continuous query is read once.')
    this.#isRead = true
    try {
      this.#opening ??= this.#open(this.#signal)
      const opened = await this.#opening
      this.#run = opened.run
      for await (const due of opened.run.dueRows()) {
        this.#columns = due.columns
        yield { ...opened, due }
      }
    } catch (error) {
      // Its signal ends a query that goes on, wherever the signal finds it.
      if (!(this.#signal.aborted && isStratalogError(error) && error.kind === 'aborted'))
        throw error
    } finally {
      this.#stop.abort()
      await this.#letGo()
    }
  }

  async #letGo(): Promise<void> {
    // What could not be opened holds nothing.
    const opened = await this.#opening?.catch(() => null)
    await opened?.close()
  }
}
