import type { Row, RowBatch } from './row-batch.ts'

/** Batches one after the other, and the ways to take their records. Leaving a loop early ends the request. */
export class RowStream implements AsyncIterable<RowBatch> {
  readonly #open: () => AsyncGenerator<RowBatch, void, undefined>

  constructor(open: () => AsyncGenerator<RowBatch, void, undefined>) {
    this.#open = open
  }

  [Symbol.asyncIterator](): AsyncGenerator<RowBatch, void, undefined> {
    return this.#open()
  }

  /** The records as plain objects, each its own. */
  async *rows(): AsyncGenerator<Row, void, undefined> {
    for await (const batch of this) yield* batch.rows()
  }

  /** Every record as an array: for what fits in memory. */
  async toArray(): Promise<Row[]> {
    const rows: Row[] = []
    for await (const batch of this) for (const row of batch.toRows()) rows.push(row)
    return rows
  }
}
