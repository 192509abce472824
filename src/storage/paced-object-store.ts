/**
 * Keeps what is put within a bandwidth: a decorator that owns that one concern.
 *
 * Each put takes up the time that its bytes have at that rate, and the next begins when that is over: one object goes
 * as fast as the line has it, and all together at the rate. Names below `unpaced` take up time and do not wait: what is
 * there already is to be named at once. Puts begin in the order in which they were asked for.
 */
import type { Clock } from '../base/clock.ts'
import { throwIfAborted } from '../base/errors.ts'
import type {
  GetOptions,
  ListedObject,
  ListOptions,
  ObjectHead,
  ObjectStore,
  PutAnswer,
  PutOptions,
  UnfinishedPut,
} from './object-store.ts'

interface SignalOption {
  readonly signal?: AbortSignal
}

export interface PacedObjectStoreOptions {
  readonly bytesPerSecond: number
  /** A prefix of keys. */
  readonly unpaced: string
  readonly clock: Clock
}

export class PacedObjectStore implements ObjectStore {
  readonly url: string
  readonly #inner: ObjectStore
  readonly #options: PacedObjectStoreOptions
  readonly #lifted = new AbortController()
  /** Monotonic time at which what was put so far has had its time. */
  #freeAt = -Infinity

  constructor(inner: ObjectStore, options: PacedObjectStoreOptions) {
    this.url = inner.url
    this.#inner = inner
    this.#options = options
  }

  /** From here on nothing waits, nor what waits now: who closes does not want to. */
  lift(): void {
    this.#lifted.abort()
  }

  async put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<PutAnswer> {
    await this.#turn(key, bytes.length, options.signal)
    return this.#inner.put(key, bytes, options)
  }

  get(key: string, options?: GetOptions): Promise<Uint8Array> {
    return this.#inner.get(key, options)
  }

  head(key: string, options?: SignalOption): Promise<ObjectHead | null> {
    return this.#inner.head(key, options)
  }

  list(prefix: string, options?: ListOptions): AsyncIterable<ListedObject> {
    return this.#inner.list(prefix, options)
  }

  listUnfinished(prefix: string, options?: SignalOption): AsyncIterable<UnfinishedPut> {
    return this.#inner.listUnfinished(prefix, options)
  }

  abortUnfinished(unfinished: UnfinishedPut, options?: SignalOption): Promise<void> {
    return this.#inner.abortUnfinished(unfinished, options)
  }

  remove(key: string, options?: SignalOption): Promise<void> {
    return this.#inner.remove(key, options)
  }

  probe(options: { readonly write: boolean; readonly signal?: AbortSignal }): Promise<void> {
    return this.#inner.probe(options)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  async #turn(key: string, bytes: number, signal: AbortSignal | undefined): Promise<void> {
    const { bytesPerSecond, unpaced, clock } = this.#options
    const now = clock.monotonic()
    const begin = Math.max(now, this.#freeAt)
    this.#freeAt = begin + (bytes / bytesPerSecond) * 1_000
    const isLifted = this.#lifted.signal.aborted
    if (begin <= now || isLifted || key.startsWith(unpaced)) return
    const signals = [this.#lifted.signal, ...(signal === undefined ? [] : [signal])]
    await clock.sleep(begin - now, AbortSignal.any(signals)).catch(() => {})
    throwIfAborted(signal)
  }
}
