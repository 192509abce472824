/**
 * The object-store port in memory: for tests, and for `memory://name` URLs. Keeps its own copy of
 * every object.
 */
import { throwIfAborted } from '../base/errors.ts'
import { seededRandom, type Random } from '../base/random.ts'
import { sha256Hex } from './checksum.ts'
import { checkObjectKey, compareKeys } from './object-key.ts'
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
import { probeConditionalPut } from './probe.ts'
import { objectExists, objectNotFound, rangeOutside } from './store-errors.ts'

interface StoredObject {
  readonly bytes: Uint8Array
  readonly putId: string | null
}

export interface MemoryObjectStoreOptions {
  readonly url?: string
  readonly random?: Random
}

export class MemoryObjectStore implements ObjectStore {
  readonly url: string
  readonly #random: Random
  readonly #objects = new Map<string, StoredObject>()

  constructor(options: MemoryObjectStoreOptions = {}) {
    this.url = options.url ?? 'memory://objects'
    this.#random = options.random ?? seededRandom(1)
  }

  async put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<PutAnswer> {
    checkObjectKey(key)
    throwIfAborted(options.signal)
    if (options.ifAbsent === true && this.#objects.has(key)) throw objectExists(this.url, key)
    // Not `slice`: that of a Buffer is no copy.
    const own = new Uint8Array(bytes)
    this.#objects.set(key, { bytes: own, putId: options.putId ?? null })
    return { sha256: options.checksum === true ? await sha256Hex(own) : null }
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    checkObjectKey(key)
    throwIfAborted(options.signal)
    const object = this.#objects.get(key)
    if (object === undefined) throw objectNotFound(this.url, key)
    const { start, end } = options.range ?? { start: 0, end: object.bytes.length }
    if (end > object.bytes.length)
      throw rangeOutside(this.url, key, { start, end }, object.bytes.length)
    return object.bytes.slice(start, end)
  }

  async head(
    key: string,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<ObjectHead | null> {
    checkObjectKey(key)
    throwIfAborted(options.signal)
    const object = this.#objects.get(key)
    if (object === undefined) return null
    return {
      length: object.bytes.length,
      sha256: await sha256Hex(object.bytes),
      putId: object.putId,
    }
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<ListedObject> {
    const keys = [...this.#objects.keys()].filter((key) => key.startsWith(prefix)).sort(compareKeys)
    for (const key of keys) {
      throwIfAborted(options.signal)
      const object = this.#objects.get(key)
      if (object === undefined || (options.after !== undefined && key <= options.after)) continue
      yield { key, length: object.bytes.length }
    }
  }

  async remove(key: string, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    checkObjectKey(key)
    throwIfAborted(options.signal)
    this.#objects.delete(key)
  }

  /** None: what is put here is put whole. */
  async *listUnfinished(): AsyncGenerator<UnfinishedPut> {}

  async abortUnfinished(): Promise<void> {}

  async probe(options: { readonly write: boolean; readonly signal?: AbortSignal }): Promise<void> {
    if (options.write) await probeConditionalPut(this, this.#random, options.signal)
  }

  async close(): Promise<void> {}
}
