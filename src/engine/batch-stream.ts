import type { LazyRow } from '../format/row-reader.ts'
import type { Batch, RecordRow } from './batch.ts'
import { RowCursor } from './row-cursor.ts'

/** Batches one after the other, each leased until the next is asked for, and the ways to take their records. */
export class BatchStream implements AsyncIterable<Batch> {
  readonly #open: () => AsyncIterableIterator<Batch, void, undefined>

  constructor(open: () => AsyncIterableIterator<Batch, void, undefined>) {
    this.#open = open
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Batch, void, undefined> {
    return this.#open()
  }

  /** The records as plain objects, each its own. */
  rows(): AsyncIterableIterator<RecordRow, void, undefined> {
    return new RowCursor(this[Symbol.asyncIterator](), (batch) => batch.rows())
  }

  /**
   * The records as views that decode a value when it is read; see `Batch.lazyRows`: a row is right until the next one
   * is asked for. Where speed counts, loop over the batches and over `lazyRows()` of each: that awaits a batch at a
   * time, and not a row.
   */
  lazyRows(): AsyncIterableIterator<LazyRow, void, undefined> {
    return new RowCursor(this[Symbol.asyncIterator](), (batch) => batch.lazyRows())
  }

  /** Every record as an array: for what fits in memory. */
  async toArray(): Promise<RecordRow[]> {
    const rows: RecordRow[] = []
    for await (const batch of this) {
      // Not spread: one batch may have more rows than a call has arguments.
      for (const row of batch.toRows()) rows.push(row)
    }
    return rows
  }
}
