/**
 * An object store that misbehaves by a script. The fault model, per call:
 *
 * - `error`: nothing happens, and the call is answered with an error;
 * - `drop-reply`: it happens, and the call is answered as if the store had gone away;
 * - `land-late`: nothing happens yet, the call is answered the same way, and the put takes effect
 *   just before a later call;
 * - `truncate`, `wrong-bytes`: a get answers with a shorter or changed body and does not say so.
 *
 * Calls are numbered from 0 in the order they come, over all operations; a listing counts as one
 * call.
 */
import { StratalogError, type ErrorCode } from '../../src/base/errors.ts'
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

export type StoreFault =
  | { readonly kind: 'error'; readonly code: ErrorCode }
  | { readonly kind: 'drop-reply' }
  | { readonly kind: 'land-late'; readonly calls: number }
  | { readonly kind: 'truncate'; readonly length: number }
  | { readonly kind: 'wrong-bytes' }
  /** A listing gives so many keys, then breaks off. */
  | { readonly kind: 'break-off'; readonly keys: number }

export interface StoreCall {
  readonly index: number
  readonly operation: 'put' | 'get' | 'head' | 'list' | 'remove' | 'probe'
  /** The key; the prefix of a listing. */
  readonly key: string
}

export type FaultScript = (call: StoreCall) => StoreFault | null

/** Faults by the number of the call. */
export function faultsAt(faults: Readonly<Record<number, StoreFault>>): FaultScript {
  return (call) => faults[call.index] ?? null
}

interface LatePut {
  readonly dueIndex: number
  readonly land: () => Promise<void>
}

export class FaultyObjectStore implements ObjectStore {
  readonly url: string
  readonly calls: StoreCall[] = []
  readonly #inner: ObjectStore
  readonly #script: FaultScript
  #latePuts: LatePut[] = []

  constructor(inner: ObjectStore, script: FaultScript) {
    this.url = inner.url
    this.#inner = inner
    this.#script = script
  }

  async put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<PutAnswer> {
    const { fault, index } = await this.#begin('put', key)
    const put = (): Promise<PutAnswer> => this.#inner.put(key, bytes, options)
    if (fault?.kind === 'land-late') {
      const land = async (): Promise<void> => {
        await put().catch(() => {})
      }
      this.#latePuts.push({ dueIndex: index + fault.calls, land })
      throw gone()
    }
    const answer = await put()
    if (fault?.kind === 'drop-reply') throw gone()
    return answer
  }

  async get(key: string, options?: GetOptions): Promise<Uint8Array> {
    const { fault } = await this.#begin('get', key)
    const bytes = await this.#inner.get(key, options)
    if (fault?.kind === 'drop-reply') throw gone()
    if (fault?.kind === 'truncate') return bytes.slice(0, fault.length)
    if (fault?.kind === 'wrong-bytes')
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0x10
    return bytes
  }

  async head(key: string, options?: HeadOptions): Promise<ObjectHead | null> {
    await this.#begin('head', key)
    return this.#inner.head(key, options)
  }

  async *list(prefix: string, options?: ListOptions): AsyncGenerator<ListedObject> {
    const { fault } = await this.#begin('list', prefix)
    let keys = 0
    for await (const object of this.#inner.list(prefix, options)) {
      if (fault?.kind === 'break-off' && keys === fault.keys) throw gone()
      keys++
      yield object
    }
  }

  async remove(key: string, options?: { readonly signal?: AbortSignal }): Promise<void> {
    const { fault } = await this.#begin('remove', key)
    await this.#inner.remove(key, options)
    if (fault?.kind === 'drop-reply') throw gone()
  }

  listUnfinished(prefix: string, options?: SignalOption): AsyncIterable<UnfinishedPut> {
    return this.#inner.listUnfinished(prefix, options)
  }

  abortUnfinished(unfinished: UnfinishedPut, options?: SignalOption): Promise<void> {
    return this.#inner.abortUnfinished(unfinished, options)
  }

  async probe(options: { readonly write: boolean; readonly signal?: AbortSignal }): Promise<void> {
    await this.#begin('probe', '')
    await this.#inner.probe(options)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  /** Puts that are still under way take effect now, in the order they were made. */
  async landAll(): Promise<void> {
    const due = this.#latePuts
    this.#latePuts = []
    for (const put of due) await put.land()
  }

  async #begin(
    operation: StoreCall['operation'],
    key: string,
  ): Promise<{ readonly fault: StoreFault | null; readonly index: number }> {
    const call = { index: this.calls.length, operation, key }
    this.calls.push(call)
    const due = this.#latePuts.filter((put) => put.dueIndex <= call.index)
    this.#latePuts = this.#latePuts.filter((put) => put.dueIndex > call.index)
    for (const put of due) await put.land()
    const fault = this.#script(call)
    if (fault?.kind === 'error') {
      throw new StratalogError(
        fault.code,
        `scripted fault: ${operation} ${key} is answered ${fault.code}.`,
      )
    }
    return { fault, index: call.index }
  }
}

function gone(): StratalogError {
  return new StratalogError('store_unavailable', 'scripted fault: the answer was lost.')
}
