/**
 * The object-store port over a directory: `file:///path`. A key is a path below the root; what is
 * written is durable when `put` resolves.
 *
 * - `put` with `ifAbsent` is an exclusive create of the whole content; a plain `put` replaces
 *   atomically, which also repairs.
 * - `object_exists` is answered only after the directory is synced, so that the rival's object
 *   cannot vanish afterwards.
 * - Unfinished files (temporary-name.ts) are invisible, and so is everything else whose name is no
 *   key.
 * - One process's failing disk looks to callers like a store that is unavailable; nothing here
 *   retries a sync.
 * - The root is made at the first write and never again: a root that went away took its objects
 *   along, and writing on in a new one would tear the history apart. The store is then unavailable.
 * - A key that is another key's folder (`a` beside `a/b`) cannot be stored; no layout of ours has
 *   that.
 */
import { createHash } from 'node:crypto'
import { isStratalogError, StratalogError, throwIfAborted } from '../base/errors.ts'
import { freeBytes } from '../base/free-bytes.ts'
import type { Random } from '../base/random.ts'
import type { FileSystem } from './file-system.ts'
import { checkObjectKey, compareKeys, isObjectKey } from './object-key.ts'
import type {
  GetOptions,
  HeadOptions,
  ListedObject,
  ListOptions,
  ObjectHead,
  ObjectStore,
  PutAnswer,
  PutOptions,
  UnfinishedPut,
} from './object-store.ts'
import { probeConditionalPut } from './probe.ts'
import { objectExists, objectNotFound, rangeOutside, storeUnavailable } from './store-errors.ts'
import { isTemporaryName, writeTemporary } from './temporary-name.ts'

/** Bytes read at once to checksum a file: hashing them holds up nobody, and they amortise the call. */
const CHECKSUM_READ_BYTES = 512 * 1024

export interface DirectoryObjectStoreOptions {
  readonly url: string
  /** Absolute path of the directory; made at the first write. */
  readonly path: string
  readonly fileSystem: FileSystem
  readonly random: Random
}

export class DirectoryObjectStore implements ObjectStore {
  readonly url: string
  readonly #root: string
  readonly #fileSystem: FileSystem
  readonly #random: Random
  /** Directories known to exist durably, so that a put makes and syncs each of them once. */
  readonly #made = new Set<string>()
  /** Whether the root was there: when it is gone, its disk is, and what is made in its place is another store. */
  #hadRoot = false

  constructor(options: DirectoryObjectStoreOptions) {
    this.url = options.url
    this.#root = options.path
    this.#fileSystem = options.fileSystem
    this.#random = options.random
  }

  async put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<PutAnswer> {
    checkObjectKey(key)
    throwIfAborted(options.signal)
    const path = this.#path(key)
    const directory = directoryOf(path)
    const write = (): Promise<void> =>
      options.ifAbsent === true
        ? this.#fileSystem.putIfAbsent(path, bytes)
        : this.#replace(path, bytes)
    await this.#guarded(async () => {
      await this.#makeDirectory(directory)
      try {
        await write()
      } catch (error) {
        if (hasCode(error, 'file_exists')) {
          await this.#fileSystem.syncDirectory(directory)
          throw objectExists(this.url, key, error)
        }
        if (!hasCode(error, 'file_not_found')) throw error
        // Someone removed the directory since it was made.
        this.#made.clear()
        await this.#makeDirectory(directory)
        await write()
      }
    })
    if (options.checksum !== true) return { sha256: null }
    const { signal } = options
    const head = await this.head(key, signal === undefined ? {} : { signal })
    return { sha256: head?.sha256 ?? null }
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    checkObjectKey(key)
    throwIfAborted(options.signal)
    return this.#guarded(async () => {
      const file = await this.#open(key)
      try {
        const range = options.range ?? { start: 0, end: file.length }
        if (range.end > file.length) throw rangeOutside(this.url, key, range, file.length)
        return await file.read(range.start, range.end - range.start)
      } finally {
        await file.close()
      }
    })
  }

  /**
   * Reads the whole file: the checksum is of the bytes that are there, not of those that were sent.
   */
  async head(key: string, options: HeadOptions = {}): Promise<ObjectHead | null> {
    checkObjectKey(key)
    throwIfAborted(options.signal)
    return this.#guarded(async () => {
      const file = await this.#open(key).catch((error: unknown) => {
        if (hasCode(error, 'object_not_found')) return null
        throw error
      })
      if (file === null) return null
      try {
        if (options.checksum === false) return { length: file.length, sha256: null }
        const hash = createHash('sha256')
        for (let position = 0; position < file.length; position += CHECKSUM_READ_BYTES) {
          throwIfAborted(options.signal)
          const length = Math.min(CHECKSUM_READ_BYTES, file.length - position)
          const bytes = await file.read(position, length)
          hash.update(bytes)
          freeBytes(bytes)
        }
        return { length: file.length, sha256: hash.digest('hex') }
      } finally {
        await file.close()
      }
    })
  }

  list(prefix: string, options: ListOptions = {}): AsyncIterable<ListedObject> {
    return this.#walk('', prefix, options)
  }

  async remove(key: string, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    checkObjectKey(key)
    throwIfAborted(options.signal)
    await this.#guarded(() => this.#fileSystem.remove(this.#path(key)))
  }

  /** None: a file is made whole beside its place. What a crash leaves of one says not since when. */
  async *listUnfinished(): AsyncGenerator<UnfinishedPut> {}

  async abortUnfinished(): Promise<void> {}

  async probe(options: { readonly write: boolean; readonly signal?: AbortSignal }): Promise<void> {
    if (options.write) {
      await probeConditionalPut(this, this.#random, options.signal)
      return
    }
    const found = await this.#guarded(() => this.#fileSystem.stat(this.#root))
    if (found?.isDirectory === true) return
    throw new StratalogError(
      'bucket_not_found',
      `There is no directory ${this.#root}. Check the path of ${this.url}, or make it: mkdir -p ${this.#root}`,
      { details: { url: this.url, path: this.#root } },
    )
  }

  async close(): Promise<void> {}

  /** Depth first in the byte order of whole keys, holding the names of one directory a level. */
  async *#walk(base: string, prefix: string, options: ListOptions): AsyncGenerator<ListedObject> {
    for (const entry of await this.#entries(base, prefix, options.after)) {
      throwIfAborted(options.signal)
      if (entry.isDirectory) {
        yield* this.#walk(entry.sortKey, prefix, options)
      } else if (
        entry.sortKey.startsWith(prefix) &&
        (options.after === undefined || entry.sortKey > options.after)
      ) {
        yield { key: entry.sortKey, length: entry.length }
      }
    }
  }

  /**
   * The entries below `base` that may hold wanted keys. A directory sorts as `name/`, which is how
   * its keys go on.
   */
  async #entries(
    base: string,
    prefix: string,
    after: string | undefined,
  ): Promise<readonly WalkEntry[]> {
    const entries: WalkEntry[] = []
    for (const name of await this.#names(base)) {
      const path = base + name
      if (isTemporaryName(name) || !isObjectKey(path) || !mayHold(path, prefix, after)) continue
      const found = await this.#guarded(() => this.#fileSystem.stat(this.#path(path)))
      // Removed while we walked: as if it had been before.
      if (found === null) continue
      entries.push({
        sortKey: found.isDirectory ? `${path}/` : path,
        isDirectory: found.isDirectory,
        length: found.length,
      })
    }
    return entries.sort((a, b) => compareKeys(a.sortKey, b.sortKey))
  }

  async #names(base: string): Promise<readonly string[]> {
    try {
      return await this.#fileSystem.list(this.#path(base))
    } catch (error) {
      if (hasCode(error, 'file_not_found')) return []
      throw this.#toStoreError(error)
    }
  }

  async #open(key: string): ReturnType<FileSystem['open']> {
    try {
      return await this.#fileSystem.open(this.#path(key))
    } catch (error) {
      const isDirectory = isStratalogError(error) && error.details['errno'] === 'EISDIR'
      if (isDirectory || hasCode(error, 'file_not_found'))
        throw objectNotFound(this.url, key, error)
      throw error
    }
  }

  async #replace(path: string, bytes: Uint8Array): Promise<void> {
    const temporary = await writeTemporary(this.#fileSystem, path, bytes)
    try {
      await this.#fileSystem.rename(temporary, path)
    } catch (error) {
      await this.#fileSystem.remove(temporary).catch(() => {})
      throw error
    }
    await this.#fileSystem.syncDirectory(directoryOf(path))
  }

  async #makeDirectory(path: string): Promise<void> {
    if (this.#made.has(path)) return
    if (this.#hadRoot && (await this.#fileSystem.stat(this.#root)) === null)
      throw storeUnavailable(this.url, `the directory ${this.#root} is gone`)
    await this.#fileSystem.makeDirectory(path)
    this.#made.add(path)
    this.#hadRoot = true
  }

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw this.#toStoreError(error)
    }
  }

  /** Errors of the file system become those of a store; the cause keeps the errno and the path. */
  #toStoreError(error: unknown): unknown {
    if (!isStratalogError(error)) return error
    const errno = error.details['errno']
    if (errno === 'EACCES' || errno === 'EPERM' || errno === 'EROFS') {
      return new StratalogError('store_denied', `${this.url}: ${error.message}`, {
        cause: error,
        details: { ...error.details, url: this.url },
      })
    }
    switch (error.code) {
      case 'disk_full':
      case 'disk_failed':
      case 'file_system_failed':
      case 'file_not_found':
      case 'file_exists':
        return storeUnavailable(this.url, error.message, error)
      case 'file_corrupt':
        return new StratalogError('object_corrupt', `${this.url}: ${error.message}`, {
          cause: error,
          details: error.details,
        })
      default:
        return error
    }
  }

  #path(key: string): string {
    return key === '' ? this.#root : `${this.#root}/${key}`
  }
}

interface WalkEntry {
  readonly sortKey: string
  readonly isDirectory: boolean
  readonly length: number
}

/**
 * Whether the file `path`, or something below the directory `path`, can start with `prefix` and
 * come after `after`.
 */
function mayHold(path: string, prefix: string, after: string | undefined): boolean {
  if (!path.startsWith(prefix) && !prefix.startsWith(`${path}/`)) return false
  if (after === undefined || path > after) return true
  return `${path}/` > after || after.startsWith(`${path}/`)
}

function hasCode(error: unknown, code: StratalogError['code']): boolean {
  return isStratalogError(error) && error.code === code
}

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}
