/**
 * Counts requests, bytes and errors: a decorator that owns that one concern. It sits directly on a
 * store and below the retries, so that it counts what a provider bills.
 */
import { toStratalogError } from '../base/errors.ts'
import type { Metrics } from '../base/metrics.ts'
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

/**
 * Since the store was opened. `list` counts pages; `bytesIn` came from the store, `bytesOut` went
 * to it.
 */
export interface RequestCounts {
  readonly put: number
  readonly get: number
  readonly head: number
  readonly list: number
  readonly delete: number
  readonly bytesIn: number
  readonly bytesOut: number
}

type Operation = 'put' | 'get' | 'head' | 'list' | 'delete'

/** Keys in one page of a listing, as S3 has it; the port does not show where pages end. */
const PAGE_KEYS = 1_000

export class MeteredObjectStore implements ObjectStore {
  readonly url: string
  readonly #inner: ObjectStore
  readonly #metrics: Metrics
  readonly #counts = { put: 0, get: 0, head: 0, list: 0, delete: 0, bytesIn: 0, bytesOut: 0 }

  constructor(inner: ObjectStore, metrics: Metrics) {
    this.url = inner.url
    this.#inner = inner
    this.#metrics = metrics
  }

  requests(): RequestCounts {
    return { ...this.#counts }
  }

  async put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<PutAnswer> {
    const answer = await this.#counted('put', () => this.#inner.put(key, bytes, options))
    this.#counts.bytesOut += bytes.length
    this.#metrics.count('stratalog_object_store_sent_bytes_total', bytes.length)
    return answer
  }

  async get(key: string, options?: GetOptions): Promise<Uint8Array> {
    const bytes = await this.#counted('get', () => this.#inner.get(key, options))
    this.#counts.bytesIn += bytes.length
    this.#metrics.count('stratalog_object_store_received_bytes_total', bytes.length)
    return bytes
  }

  head(key: string, options?: HeadOptions): Promise<ObjectHead | null> {
    return this.#counted('head', () => this.#inner.head(key, options))
  }

  async *list(prefix: string, options?: ListOptions): AsyncGenerator<ListedObject> {
    let keys = 0
    this.#countRequest('list')
    try {
      for await (const object of this.#inner.list(prefix, options)) {
        if (keys > 0 && keys % PAGE_KEYS === 0) this.#countRequest('list')
        keys++
        yield object
      }
    } catch (error) {
      this.#countError('list', error)
      throw error
    }
  }

  remove(key: string, options?: { readonly signal?: AbortSignal }): Promise<void> {
    return this.#counted('delete', () => this.#inner.remove(key, options))
  }

  async *listUnfinished(prefix: string, options?: SignalOption): AsyncGenerator<UnfinishedPut> {
    this.#countRequest('list')
    yield* this.#inner.listUnfinished(prefix, options)
  }

  abortUnfinished(unfinished: UnfinishedPut, options?: SignalOption): Promise<void> {
    return this.#counted('delete', () => this.#inner.abortUnfinished(unfinished, options))
  }

  /** Not counted: it happens once, at opening. */
  probe(options: { readonly write: boolean; readonly signal?: AbortSignal }): Promise<void> {
    return this.#inner.probe(options)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  async #counted<T>(operation: Operation, request: () => Promise<T>): Promise<T> {
    this.#countRequest(operation)
    try {
      return await request()
    } catch (error) {
      this.#countError(operation, error)
      throw error
    }
  }

  #countRequest(operation: Operation): void {
    this.#counts[operation]++
    this.#metrics.count('stratalog_object_store_requests_total', 1, { operation })
  }

  #countError(operation: Operation, error: unknown): void {
    const { code } = toStratalogError(error)
    this.#metrics.count('stratalog_object_store_errors_total', 1, { operation, code })
  }
}
