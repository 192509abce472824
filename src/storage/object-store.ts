/**
 * The object-store port: opaque keys and bytes below one prefix. One contract suite
 * (test/contract/object-store.ts) runs on every implementation.
 *
 * - Keys are relative, '/'-separated, `[A-Za-z0-9._=-]` in each part, no part `.` or `..`.
 * - An object is written whole or not at all, and is immutable: nothing here overwrites with other
 *   bytes.
 * - `put` with `ifAbsent` succeeds for exactly one of any number of rivals; an implementation that
 *   retries recognises its own earlier success and does not report it as a rival's.
 * - After `put` resolves, every later `get`, `head` and `list` of any client sees the object.
 * - An error or a time-out of `put` means unknown: the object may be there, or land later.
 * - Failures: `object_not_found`, `object_exists`, `bucket_not_found`, `store_denied`, `object_offline`,
 *   `store_unavailable` (worth a retry), `store_unsupported`, `object_corrupt` (length or checksum
 *   of a body is wrong), `aborted`.
 */
export interface ObjectStore {
  /** The URL it was opened by, without credentials; for messages. */
  readonly url: string
  put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<PutAnswer>
  /** The whole object, or a range of it. @throws `object_not_found`, `object_corrupt`. */
  get(key: string, options?: GetOptions): Promise<Uint8Array>
  /** Null when there is no such object. */
  head(key: string, options?: HeadOptions): Promise<ObjectHead | null>
  /**
   * Keys that start with `prefix` and come after `after` in byte order, ascending. Pages are
   * fetched as they are consumed.
   */
  list(prefix: string, options?: ListOptions): AsyncIterable<ListedObject>
  /**
   * Puts that were begun in parts and neither ended nor given up, whose keys start with `prefix`: what a crash leaves
   * behind, which costs space and shows in no listing. In no order. A store that puts whole objects only has none.
   */
  listUnfinished(prefix: string, options?: SignalOption): AsyncIterable<UnfinishedPut>
  /** Gives up such a put and removes its parts. If it is still under way, it fails. A missing one is not an error. */
  abortUnfinished(unfinished: UnfinishedPut, options?: SignalOption): Promise<void>
  /** Removes an object; a missing one is not an error. */
  remove(key: string, options?: { readonly signal?: AbortSignal }): Promise<void>
  /**
   * Checks that the store exists, may be used, and honours `ifAbsent`. Writes and removes a probe
   * object when `write` is set.
   */
  probe(options: { readonly write: boolean; readonly signal?: AbortSignal }): Promise<void>
  close(): Promise<void>
}

export interface SignalOption {
  readonly signal?: AbortSignal
}

export interface UnfinishedPut {
  readonly key: string
  /** Tells it from other puts of the same key. */
  readonly id: string
  /** ms, by the store's clock. */
  readonly startedAt: number
}

export interface PutAnswer {
  /** Hex, of what the store holds now, as it says in the same answer; null when it does not say, or was not asked. */
  readonly sha256: string | null
}

export interface PutOptions {
  /** Fail with `object_exists` when the key is taken. */
  readonly ifAbsent?: boolean
  /**
   * SHA-256 (hex) of the bytes, from a caller who knows it; saves hashing them again. S3 checks it
   * on arrival and refuses bytes that do not match.
   */
  readonly sha256?: string
  /**
   * Names this put across its retries. A store that can keeps it with the object and says it in
   * `ObjectHead.putId`, so that a put which is answered `object_exists` can tell its own earlier
   * success from a rival's. Set by the retrying decorator.
   */
  readonly putId?: string
  /** True: `PutAnswer.sha256` is wanted, also of a store that has to read what it wrote. */
  readonly checksum?: boolean
  readonly signal?: AbortSignal
}

export interface GetOptions {
  /** Half-open byte range; the body must have exactly that length. */
  readonly range?: { readonly start: number; readonly end: number }
  readonly signal?: AbortSignal
}

export interface HeadOptions {
  /** False: a store that would have to read the object for its checksum leaves it out. */
  readonly checksum?: boolean
  readonly signal?: AbortSignal
}

export interface ObjectHead {
  readonly length: number
  /**
   * Hex, as the store computed or stored it from the bytes it holds; null when the store does not
   * say.
   */
  readonly sha256: string | null
  /**
   * What `PutOptions.putId` was when the object was put; null or absent when the store does not
   * keep it.
   */
  readonly putId?: string | null
}

export interface ListedObject {
  readonly key: string
  readonly length: number
}

export interface ListOptions {
  readonly after?: string
  readonly signal?: AbortSignal
}
