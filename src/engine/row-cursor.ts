import type { Batch } from './batch.ts'

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined }

/** Goes through the rows of batches one by one; a batch is let go of when the first row behind it is asked for. */
export class RowCursor<Row> implements AsyncIterableIterator<Row, void, undefined> {
  readonly #batches: AsyncIterator<Batch, void, undefined>
  readonly #rowsOf: (batch: Batch) => Iterator<Row, unknown, undefined>
  #rows: Iterator<Row, unknown, undefined> | null = null
  #turn: Promise<unknown> | null = null
  /** Left: what a turn that is under way finds is not the reader's any more. */
  #isDone = false

  constructor(
    batches: AsyncIterator<Batch, void, undefined>,
    rowsOf: (batch: Batch) => Iterator<Row, unknown, undefined>,
  ) {
    this.#batches = batches
    this.#rowsOf = rowsOf
  }

  next(): Promise<IteratorResult<Row, void>> {
    if (this.#isDone) return Promise.resolve(DONE)
    if (this.#turn === null) {
      try {
        const row = this.#rows?.next()
        if (row?.done === false) return Promise.resolve({ done: false, value: row.value })
      } catch (error) {
        return rejected(error)
      }
      this.#rows = null
    }
    const turn = this.#turn === null ? this.#nextBatch() : this.#turn.then(() => this.#afterTurn())
    this.#turn = turn
    const passed = (): void => {
      if (this.#turn === turn) this.#turn = null
    }
    turn.then(passed, passed)
    return turn
  }

  async return(): Promise<IteratorResult<Row, void>> {
    this.#isDone = true
    this.#rows = null
    await this.#batches.return?.()
    return DONE
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  #afterTurn(): Promise<IteratorResult<Row, void>> {
    const row = this.#rows?.next()
    return row?.done === false
      ? Promise.resolve({ done: false, value: row.value })
      : this.#nextBatch()
  }

  async #nextBatch(): Promise<IteratorResult<Row, void>> {
    for (;;) {
      const batch = await this.#batches.next()
      if (batch.done === true || this.#isDone) return DONE
      this.#rows = this.#rowsOf(batch.value)
      const row = this.#rows.next()
      if (row.done !== true) return { done: false, value: row.value }
    }
  }
}

async function rejected(error: unknown): Promise<never> {
  throw error
}
