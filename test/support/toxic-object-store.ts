/**
 * Does to the calls of an object store what the proxy of `toxic-proxy.ts` does to requests of S3, so that one list of
 * toxics is for all stores: also for one in memory, and for a directory. It is harsher than S3: of wrong bytes of a
 * whole object nobody says anything either.
 */
import type { Clock } from '../../src/base/clock.ts'
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
} from '../../src/storage/object-store.ts'
import { s3Error } from '../../src/storage/s3-errors.ts'
import { objectCorrupt, storeUnavailable } from '../../src/storage/store-errors.ts'
import type { ProxiedCall, StoreOperation, Toxic } from './toxic-proxy.ts'

/** After so long a client gives up a body that drips. */
const DRIPS_FOR_MS = 10_000

export class ToxicObjectStore implements ObjectStore {
  readonly url: string
  readonly #inner: ObjectStore
  readonly #clock: Clock
  readonly #script: (call: ProxiedCall) => Toxic | null

  constructor(inner: ObjectStore, clock: Clock, script: (call: ProxiedCall) => Toxic | null) {
    this.url = inner.url
    this.#inner = inner
    this.#clock = clock
    this.#script = script
  }

  put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<PutAnswer> {
    // The caller may use its bytes again before they land.
    const own = new Uint8Array(bytes)
    const operation = options.ifAbsent === true ? 'put-if-absent' : 'put'
    return this.#call(operation, key, () => this.#inner.put(key, own, options))
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    const operation = options.range === undefined ? 'get' : 'range'
    return this.#call(operation, key, () => this.#inner.get(key, options))
  }

  head(key: string, options?: HeadOptions): Promise<ObjectHead | null> {
    return this.#call('head', key, () => this.#inner.head(key, options))
  }

  list(prefix: string, options?: ListOptions): AsyncIterable<ListedObject> {
    return this.#listed('list', prefix, () => this.#inner.list(prefix, options))
  }

  listUnfinished(prefix: string, options?: SignalOption): AsyncIterable<UnfinishedPut> {
    return this.#listed('list-uploads', prefix, () => this.#inner.listUnfinished(prefix, options))
  }

  abortUnfinished(unfinished: UnfinishedPut, options?: SignalOption): Promise<void> {
    return this.#call('abort', unfinished.key, () =>
      this.#inner.abortUnfinished(unfinished, options),
    )
  }

  remove(key: string, options?: SignalOption): Promise<void> {
    return this.#call('delete', key, () => this.#inner.remove(key, options))
  }

  probe(options: { readonly write: boolean; readonly signal?: AbortSignal }): Promise<void> {
    return this.#inner.probe(options)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  async *#listed<T>(
    operation: 'list' | 'list-uploads',
    prefix: string,
    make: () => AsyncIterable<T>,
  ): AsyncGenerator<T> {
    yield* await this.#call(operation, prefix, () => allOf(make()))
  }

  async #call<T>(operation: StoreOperation, key: string, effect: () => Promise<T>): Promise<T> {
    const toxic = this.#script({ operation, key })
    if (toxic === null) return effect()
    switch (toxic.kind) {
      case 'error-before':
        throw storeUnavailable(this.url, 'scripted: it does not answer')
      case 'late':
        this.#clock.setTimer(toxic.afterMs, () => void effect().catch(() => {}))
        throw storeUnavailable(this.url, 'scripted: no answer came')
      case 'reply-lost':
        await effect().catch(() => {})
        throw storeUnavailable(this.url, 'scripted: the answer was lost')
      case 'status':
        // What answers HEAD with this says that there is no such object.
        if (operation === 'head' && toxic.status === 404) return null as T
        throw this.#refusal(toxic.status, toxic.code, operation, key)
      default:
        return (await this.#spoiled(toxic.kind, key, await effect())) as T
    }
  }

  async #spoiled(
    kind: 'truncated' | 'dripping' | 'wrong-bytes',
    key: string,
    answer: unknown,
  ): Promise<unknown> {
    const hasBody = answer instanceof Uint8Array || (Array.isArray(answer) && answer.length > 0)
    if (!hasBody) return answer
    if (kind === 'dripping') {
      await this.#clock.sleep(DRIPS_FOR_MS)
      throw storeUnavailable(this.url, 'scripted: its body drips')
    }
    if (!(answer instanceof Uint8Array))
      throw storeUnavailable(this.url, 'scripted: its listing breaks off')
    if (kind === 'truncated') throw objectCorrupt(this.url, key, 'scripted: its body ended early')
    const half = answer.length >> 1
    answer[half] = (answer[half] ?? 0) ^ 0x10
    return answer
  }

  #refusal(status: number, code: string, operation: StoreOperation, key: string): Error {
    const answer = { name: operation === 'head' ? 'UnknownError' : code }
    const $metadata = { httpStatusCode: status }
    return s3Error(Object.assign(new Error('scripted'), answer, { $metadata }), {
      url: this.url,
      bucket: 'bucket',
      key: operation.startsWith('list') ? null : key,
      endpoint: null,
    })
  }
}

/** What a listing gives. */
export async function allOf<T>(items: AsyncIterable<T>): Promise<readonly T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
