/**
 * Retries what may pass: a decorator that owns that one concern.
 *
 * - Only `store_unavailable` is tried again, and a `get` whose body came back wrong; every other
 *   answer is final. So is a request that a breaker below did not send.
 * - Waits grow exponentially with full jitter. No try begins after the number of tries or the
 *   overall deadline is used up; the last error is then thrown, and for a put it means unknown. How
 *   long one try may take is the store's own to bound: it knows whether bytes still flow.
 * - A conditional put that is answered `object_exists` may have been answered so because of its own
 *   earlier try, whose answer was lost. It is told apart by the put id that the store keeps with
 *   the object; where a store keeps none, by comparing the bytes, and only if there was an earlier
 *   try without an answer.
 */
import type { Clock } from '../base/clock.ts'
import { isStratalogError, throwIfAborted, type StratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { randomFraction, randomHex, type Random } from '../base/random.ts'
import type {
  GetOptions,
  HeadOptions,
  ListedObject,
  ListOptions,
  ObjectHead,
  ObjectStore,
  PutAnswer,
  PutOptions,
  SignalOption,
  UnfinishedPut,
} from './object-store.ts'
import { httpStatusOf } from './s3-errors.ts'
import { isCircuitOpen, storeUnavailable } from './store-errors.ts'

export interface RetryPolicy {
  /** Tries of one operation, the first included. */
  readonly triesMax: number
  /** The wait before the n-th retry is uniform in [0, min(delayMaxMs, delayMinMs · 2^(n-1))). */
  readonly delayMinMs: number
  readonly delayMaxMs: number
  /**
   * No retry begins later than this after the first try began; a listing has it anew for each step.
   */
  readonly deadlineMs: number
  /** Whether a store that says that it is busy (429, 503) is asked up to the deadline; such answers are no tries. */
  readonly isPatient: boolean
}

/** A body that comes back wrong this often is wrong in the store. */
const CORRUPT_TRIES_MAX = 3

export const RETRY_POLICY: RetryPolicy = {
  triesMax: 8,
  delayMinMs: 100,
  delayMaxMs: 10_000,
  deadlineMs: 120_000,
  isPatient: false,
}

export interface RetryingObjectStoreOptions {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly policy?: Partial<RetryPolicy>
}

export class RetryingObjectStore implements ObjectStore {
  readonly url: string
  readonly #inner: ObjectStore
  readonly #clock: Clock
  readonly #random: Random
  readonly #logger: Logger
  readonly #policy: RetryPolicy

  constructor(inner: ObjectStore, options: RetryingObjectStoreOptions) {
    this.url = inner.url
    this.#inner = inner
    this.#clock = options.clock
    this.#random = options.random
    this.#logger = options.logger
    this.#policy = { ...RETRY_POLICY, ...options.policy }
  }

  put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<PutAnswer> {
    if (options.ifAbsent !== true)
      return this.#retry('put', options, () => this.#inner.put(key, bytes, options))
    const own = { ...options, putId: options.putId ?? randomHex(this.#random, 16) }
    let isAmbiguous = false
    return this.#retry('put', options, async () => {
      try {
        return await this.#inner.put(key, bytes, own)
      } catch (error) {
        if (!isStratalogError(error) || error.code !== 'object_exists') {
          isAmbiguous = true
          throw error
        }
        if (!(await this.#isOwnPut(key, bytes, own, isAmbiguous))) throw error
        return { sha256: null }
      }
    })
  }

  get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    return this.#retry('get', options, () => this.#inner.get(key, options))
  }

  head(key: string, options: HeadOptions = {}): Promise<ObjectHead | null> {
    return this.#retry('head', options, () => this.#inner.head(key, options))
  }

  /** A listing that breaks off is taken up after the last key it gave. */
  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<ListedObject> {
    let from = options
    let keys = this.#inner.list(prefix, from)[Symbol.asyncIterator]()
    let isBroken = false
    const step = async (): Promise<IteratorResult<ListedObject>> => {
      if (isBroken) keys = this.#inner.list(prefix, from)[Symbol.asyncIterator]()
      isBroken = true
      const result = await keys.next()
      isBroken = false
      return result
    }
    try {
      for (;;) {
        const result = await this.#retry('list', options, step)
        if (result.done === true) return
        from = { ...options, after: result.value.key }
        yield result.value
      }
    } finally {
      await keys.return?.()
    }
  }

  /** One that breaks off begins again: it has no order to be taken up in. */
  async *listUnfinished(prefix: string, options: SignalOption = {}): AsyncGenerator<UnfinishedPut> {
    yield* await this.#retry('list', options, async () => {
      const found: UnfinishedPut[] = []
      for await (const unfinished of this.#inner.listUnfinished(prefix, options))
        found.push(unfinished)
      return found
    })
  }

  abortUnfinished(unfinished: UnfinishedPut, options: SignalOption = {}): Promise<void> {
    return this.#retry('remove', options, () => this.#inner.abortUnfinished(unfinished, options))
  }

  remove(key: string, options: SignalOption = {}): Promise<void> {
    return this.#retry('remove', options, () => this.#inner.remove(key, options))
  }

  probe(options: { readonly write: boolean; readonly signal?: AbortSignal }): Promise<void> {
    return this.#retry('probe', options, () => this.#inner.probe(options))
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  async #isOwnPut(
    key: string,
    bytes: Uint8Array,
    own: PutOptions & { readonly putId: string },
    isAmbiguous: boolean,
  ): Promise<boolean> {
    const signal = signalOf(own)
    const head = await this.#inner.head(key, signal)
    // Gone again: whoever removed it, the name is free, and another try finds out.
    if (head === null) throw storeUnavailable(this.url, `${key} was there and is not`)
    if (head.putId !== undefined && head.putId !== null) return head.putId === own.putId
    if (!isAmbiguous || head.length !== bytes.length) return false
    return Buffer.compare(await this.#inner.get(key, signal), bytes) === 0
  }

  async #retry<T>(operation: string, options: SignalOption, attempt: () => Promise<T>): Promise<T> {
    const startedAt = this.#clock.monotonic()
    let tries = 1
    for (let answers = 1; ; answers++) {
      throwIfAborted(options.signal)
      try {
        return await attempt()
      } catch (error) {
        if (!this.#isWorthRetry(operation, tries, error)) throw error
        const delayMs = this.#delayMs(answers)
        if (this.#clock.monotonic() - startedAt + delayMs > this.#policy.deadlineMs) throw error
        this.#logger.warn('object store: trying again', {
          operation,
          tries,
          delayMs,
          error: error.message,
        })
        await this.#wait(delayMs, options.signal)
        if (!this.#isWaitedFor(error)) tries++
      }
    }
  }

  #isWorthRetry(operation: string, tries: number, error: unknown): error is StratalogError {
    if (!isStratalogError(error)) return false
    if (this.#isWaitedFor(error)) return true
    if (tries >= this.#policy.triesMax) return false
    if (operation === 'get' && error.code === 'object_corrupt') return tries < CORRUPT_TRIES_MAX
    return error.code === 'store_unavailable' && !isCircuitOpen(error)
  }

  #isWaitedFor(error: StratalogError): boolean {
    if (!this.#policy.isPatient || error.code !== 'store_unavailable') return false
    const status = httpStatusOf(error.cause)
    return status === 429 || status === 503
  }

  #delayMs(tries: number): number {
    const ceiling = Math.min(this.#policy.delayMaxMs, this.#policy.delayMinMs * 2 ** (tries - 1))
    return randomFraction(this.#random) * ceiling
  }

  async #wait(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#clock.sleep(delayMs, signal)
    } catch (error) {
      throwIfAborted(signal)
      throw error
    }
  }
}

function signalOf(options: SignalOption): SignalOption {
  return options.signal === undefined ? {} : { signal: options.signal }
}
