/**
 * A bucket as the client of one simulated process sees it, with what the fault plan does to its requests. A request
 * that is under way when the process dies may still take effect: it is in the network.
 */
import { StratalogError, throwIfAborted } from '../../src/base/errors.ts'
import { sha256Hex } from '../../src/format/checksum.ts'
import type {
  GetOptions,
  ListedObject,
  ListOptions,
  ObjectHead,
  ObjectStore,
  PutAnswer,
  PutOptions,
  UnfinishedPut,
} from '../../src/storage/object-store.ts'
import { checkObjectKey } from '../../src/storage/object-key.ts'
import { probeConditionalPut } from '../../src/storage/probe.ts'
import {
  objectCorrupt,
  objectExists,
  objectNotFound,
  rangeOutside,
  storeUnavailable,
} from '../../src/storage/store-errors.ts'
import type { Fault } from './faults.ts'
import type { SimulatedProcess } from './process.ts'
import { type Operation, editsOf } from './steps.ts'
import type { World } from './world.ts'

/** A put that lands late does so this much later at most. */
const LATE_MAX_MS = 120_000
/** Keys in a page of a listing. */
const PAGE_KEYS = 1_000

interface Signalled {
  readonly signal?: AbortSignal
}

export class SimulatedObjectStore implements ObjectStore {
  readonly url: string
  readonly #world: World
  readonly #process: SimulatedProcess

  constructor(url: string, world: World, process: SimulatedProcess) {
    this.url = url
    this.#world = world
    this.#process = process
  }

  async put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<PutAnswer> {
    checkObjectKey(key)
    throwIfAborted(options.signal)
    const { bucket } = this.#world
    // Not `slice`: that of a Buffer is no copy.
    const own = new Uint8Array(bytes)
    const edits = editsOf(key, own)
    return this.#request('put', key, own.length, edits, () => {
      if (options.ifAbsent === true && bucket.get(key) !== undefined)
        throw objectExists(this.url, key)
      const { putId = null } = options
      const sha256 = sha256Hex(own)
      bucket.set(key, { bytes: own, putId, sha256 })
      return { sha256 }
    })
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    checkObjectKey(key)
    throwIfAborted(options.signal)
    const { range } = options
    return this.#request('get', key, 0, [], (fault) => {
      const object = this.#world.bucket.get(key)
      if (object === undefined) throw objectNotFound(this.url, key)
      const { start, end } = range ?? { start: 0, end: object.bytes.length }
      if (end > object.bytes.length)
        throw rangeOutside(this.url, key, { start, end }, object.bytes.length)
      const body = object.bytes.slice(start, end)
      if (fault === 'truncated') throw objectCorrupt(this.url, key, 'its body ended early')
      if (fault === 'wrong-bytes') {
        // Of a whole object the store says the checksum, of a part nobody does.
        if (range === undefined) throw objectCorrupt(this.url, key, 'its checksum is another')
        this.#damage(body)
      }
      return body
    })
  }

  async head(key: string, options: Signalled = {}): Promise<ObjectHead | null> {
    checkObjectKey(key)
    throwIfAborted(options.signal)
    return this.#request('head', key, 0, [], () => {
      const object = this.#world.bucket.get(key)
      if (object === undefined) return null
      return { length: object.bytes.length, sha256: object.sha256, putId: object.putId }
    })
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<ListedObject> {
    for (let after = options.after; ;) {
      throwIfAborted(options.signal)
      const from = after
      const page = await this.#request('list objects', prefix, 0, [], () =>
        this.#world.bucket
          .keys(prefix)
          .filter((key) => from === undefined || key > from)
          .slice(0, PAGE_KEYS),
      )
      for (const key of page) {
        yield { key, length: this.#world.bucket.get(key)?.bytes.length ?? 0 }
      }
      after = page.at(-1)
      if (page.length < PAGE_KEYS) return
    }
  }

  async remove(key: string, options: Signalled = {}): Promise<void> {
    checkObjectKey(key)
    throwIfAborted(options.signal)
    await this.#request('remove object', key, 0, [], () => this.#world.bucket.delete(key))
  }

  /** None: what is put here is put whole. */
  async *listUnfinished(): AsyncGenerator<UnfinishedPut> {}

  async abortUnfinished(): Promise<void> {}

  async probe(options: { readonly write: boolean; readonly signal?: AbortSignal }): Promise<void> {
    if (options.write) await probeConditionalPut(this, this.#world.dice, options.signal)
  }

  async close(): Promise<void> {}

  #request<T>(
    operation: Operation,
    key: string,
    length: number,
    edits: readonly string[],
    effect: (fault: Fault | null) => T,
  ): Promise<T> {
    const world = this.#world
    const process = this.#process
    return process.call<T>((resolve, reject) => {
      const call = { port: 'store', operation, path: key, length, grows: false, edits } as const
      const { death, fault, latencyMs, part, steps } = world.judge(process, call)
      const arrive = (): void => {
        world.scheduler.after(part * latencyMs, () => ignore(effect))
      }
      if (death !== null) {
        if (death !== 'before') arrive()
        process.crash(steps)
        return
      }
      if (fault === 'late') world.scheduler.after(part * LATE_MAX_MS, () => ignore(effect))
      if (fault === 'reply-lost') arrive()
      world.scheduler.after(latencyMs, () => {
        const outcome = answer(() => {
          const error = errorOf(this.url, fault)
          if (error !== null) throw error
          return effect(fault)
        })
        if (!process.isAlive) return
        if ('error' in outcome) reject(outcome.error)
        else resolve(outcome.value)
      })
    })
  }

  #damage(body: Uint8Array): void {
    const position = this.#world.dice.int(0, Math.max(0, body.length - 1))
    const byte = body[position]
    if (byte !== undefined) body[position] = byte ^ (1 << this.#world.dice.int(0, 7))
  }
}

function answer<T>(effect: () => T): { readonly value: T } | { readonly error: Error } {
  try {
    return { value: effect() }
  } catch (error) {
    return { error: error as Error }
  }
}

/** What a request does that nobody hears of. */
function ignore(effect: (fault: Fault | null) => unknown): void {
  answer(() => effect(null))
}

function errorOf(url: string, fault: Fault | null): StratalogError | null {
  switch (fault) {
    case 'unavailable':
      return storeUnavailable(url, 'it answers 503 SlowDown')
    case 'reply-lost':
    case 'late':
      return storeUnavailable(url, 'no answer came in time')
    case 'denied':
      return new StratalogError('store_denied', `${url} answers 403.`, { details: { url } })
    default:
      return null
  }
}
