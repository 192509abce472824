/**
 * Retries what may pass: a decorator that owns that one concern.
 *
 * - Only `store_unavailable` is tried again, and a `get` whose body came back wrong; every other answer is final.
 * - Waits grow exponentially with full jitter. There are a number of tries and an overall deadline; at the deadline a running
 *   try is given up too. What is then thrown is the last error, and for a put it means unknown.
 * - A conditional put that is answered `object_exists` may have been answered so because of its own earlier try, whose answer
 *   was lost. It is told apart by the put id that the store keeps with the object; where a store keeps none, by comparing the
 *   bytes, and only if there was an earlier try without an answer.
 */
import type { Clock } from '../base/clock.ts'
import { isStratalogError, StratalogError, throwIfAborted } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { randomFraction, randomHex, type Random } from '../base/random.ts'
import { withDeadline } from './deadline.ts'
import type {
  GetOptions,
  ListedObject,
  ListOptions,
  ObjectHead,
  ObjectStore,
  PutOptions,
} from './object-store.ts'
import { storeUnavailable } from './store-errors.ts'

export interface RetryPolicy {
  /** Tries of one operation, the first included. */
  readonly triesMax: number
  /** The wait before the n-th retry is uniform in [0, min(delayMaxMs, delayMinMs · 2^(n-1))). */
  readonly delayMinMs: number
  readonly delayMaxMs: number
  /** From the first try to giving up, waits included; a listing has it anew for each step. */
  readonly deadlineMs: number
}

export const RETRY_POLICY: RetryPolicy = {
  triesMax: 8,
  delayMinMs: 100,
  delayMaxMs: 10_000,
  deadlineMs: 120_000,
}

export interface RetryingObjectStoreOptions {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly policy?: Partial<RetryPolicy>
}

type SignalOption = { readonly signal?: AbortSignal }

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

  put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<void> {
    if (options.ifAbsent !== true) {
      return this.#retry('put', options.signal, (signal) => this.#inner.put(key, bytes, { ...options, signal }))
    }
    const putId = options.putId ?? randomHex(this.#random, 16)
    let isAmbiguous = false
    return this.#retry('put', options.signal, async (signal) => {
      try {
        await this.#inner.put(key, bytes, { ...options, putId, signal })
      } catch (error) {
        if (!isStratalogError(error) || error.code !== 'object_exists') {
          isAmbiguous = true
          throw error
        }
        if (!(await this.#isOwnPut(key, bytes, putId, isAmbiguous, signal))) throw error
      }
    })
  }

  get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    return this.#retry('get', options.signal, (signal) => this.#inner.get(key, { ...options, signal }))
  }

  head(key: string, options: SignalOption = {}): Promise<ObjectHead | null> {
    return this.#retry('head', options.signal, (signal) => this.#inner.head(key, { signal }))
  }

  /** A listing that breaks off is taken up after the last key it gave. */
  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<ListedObject> {
    let after = options.after
    let keys: AsyncIterator<ListedObject> | null = null
    try {
      for (;;) {
        const step = await this.#retry('list', options.signal, async () => {
          keys ??= this.#inner.list(prefix, listOptions(after, options.signal))[Symbol.asyncIterator]()
          try {
            return await keys.next()
          } catch (error) {
            keys = null
            throw error
          }
        })
        if (step.done === true) return
        after = step.value.key
        yield step.value
      }
    } finally {
      await (keys as AsyncIterator<ListedObject> | null)?.return?.()
    }
  }

  remove(key: string, options: SignalOption = {}): Promise<void> {
    return this.#retry('remove', options.signal, (signal) => this.#inner.remove(key, { signal }))
  }

  probe(options: { readonly write: boolean; readonly signal?: AbortSignal }): Promise<void> {
    return this.#retry('probe', options.signal, (signal) => this.#inner.probe({ ...options, signal }))
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  async #isOwnPut(
    key: string,
    bytes: Uint8Array,
    putId: string,
    isAmbiguous: boolean,
    signal: AbortSignal,
  ): Promise<boolean> {
    const head = await this.#inner.head(key, { signal })
    // Gone again: whoever removed it, the name is free, and another try finds out.
    if (head === null) throw storeUnavailable(this.url, `${key} was there and is not`)
    if (head.putId !== undefined && head.putId !== null) return head.putId === putId
    if (!isAmbiguous || head.length !== bytes.length) return false
    return Buffer.compare(await this.#inner.get(key, { signal }), bytes) === 0
  }

  async #retry<T>(
    operation: string,
    signal: AbortSignal | undefined,
    attempt: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    throwIfAborted(signal)
    let lastError: StratalogError | null = null
    const onExpired = (): StratalogError =>
      lastError ?? storeUnavailable(this.url, `${operation} had no answer within ${this.#policy.deadlineMs} ms`)
    return withDeadline({ clock: this.#clock, delayMs: this.#policy.deadlineMs, signal, onExpired }, async (inner) => {
      for (let tries = 1; ; tries++) {
        try {
          return await attempt(inner)
        } catch (error) {
          if (tries >= this.#policy.triesMax || inner.aborted || !isWorthRetry(operation, error)) throw error
          lastError = error
          const delayMs = this.#delayMs(tries)
          this.#logger.warn('object store: trying again', { operation, tries, delayMs, error: error.message })
          await this.#clock.sleep(delayMs, inner)
        }
      }
    })
  }

  #delayMs(tries: number): number {
    const ceiling = Math.min(this.#policy.delayMaxMs, this.#policy.delayMinMs * 2 ** (tries - 1))
    return randomFraction(this.#random) * ceiling
  }
}

function isWorthRetry(operation: string, error: unknown): error is StratalogError {
  if (!isStratalogError(error)) return false
  return error.code === 'store_unavailable' || (operation === 'get' && error.code === 'object_corrupt')
}

function listOptions(after: string | undefined, signal: AbortSignal | undefined): ListOptions {
  return { ...(after === undefined ? {} : { after }), ...(signal === undefined ? {} : { signal }) }
}
