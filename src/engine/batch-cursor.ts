import type { Batch } from './batch.ts'
import type { BatchReader } from './batch-reader.ts'

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined }

/**
 * The iterator of a stream. What lies in RAM is given by promises that are resolved already, without a function that
 * waits in between. Calls overlap as those of an async generator do: each has its turn.
 *
 * An iterator that is dropped half way, without `return`, would keep its lease for good, since memory that is shared is
 * not collected: when the garbage collector finds one, its reader is ended.
 */
export class BatchCursor implements AsyncIterableIterator<Batch, void, undefined> {
  readonly #open: () => BatchReader
  #reader: BatchReader | null = null
  /** The turn that is under way; null between two. */
  #turn: Promise<unknown> | null = null
  #isDone = false

  constructor(open: () => BatchReader) {
    this.#open = open
  }

  next(): Promise<IteratorResult<Batch, void>> {
    if (this.#turn !== null) return this.#inTurn(() => this.#pull())
    const step = this.#step()
    return step instanceof Promise ? this.#inTurn(() => step) : Promise.resolve(step)
  }

  return(): Promise<IteratorResult<Batch, void>> {
    this.#isDone = true
    const reader = this.#reader
    if (reader === null) return Promise.resolve(DONE)
    this.#forget(reader)
    const ended = reader.end()
    return this.#inTurn(() => ended.then(() => DONE))
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  async #pull(): Promise<IteratorResult<Batch, void>> {
    return this.#step()
  }

  /** The next result, at once where that needs no waiting. */
  #step(): IteratorResult<Batch, void> | Promise<IteratorResult<Batch, void>> {
    if (this.#isDone) return DONE
    try {
      this.#reader ??= this.#opened()
    } catch (error) {
      this.#isDone = true
      return rejected(error)
    }
    const reader = this.#reader
    try {
      // Who has a batch has its lease: the batch holds the cursor, so that this is not taken for abandoned meanwhile.
      const step = reader.step(this)
      return typeof step === 'object'
        ? { done: false, value: step }
        : this.#result(reader.advance(this))
    } catch (error) {
      return this.#result(reader.fail(error))
    }
  }

  #opened(): BatchReader {
    const reader = this.#open()
    abandoned.register(this, reader, reader)
    return reader
  }

  #forget(reader: BatchReader): void {
    abandoned.unregister(reader)
  }

  async #result(step: Promise<Batch | null>): Promise<IteratorResult<Batch, void>> {
    try {
      const batch = await step
      if (batch !== null) return { done: false, value: batch }
    } catch (error) {
      this.#finish()
      throw error
    }
    this.#finish()
    return DONE
  }

  #finish(): void {
    this.#isDone = true
    if (this.#reader !== null) this.#forget(this.#reader)
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const before = this.#turn
    const turn = before === null ? act() : before.then(act, act)
    this.#turn = turn
    const passed = (): void => {
      if (this.#turn === turn) this.#turn = null
    }
    turn.then(passed, passed)
    return turn
  }
}

async function rejected(error: unknown): Promise<never> {
  throw error
}

const abandoned = new FinalizationRegistry<BatchReader>((reader) => {
  // Nobody is left to be told.
  reader.end().catch(() => {})
})
