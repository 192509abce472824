/**
 * Whole cold objects, or parts of them, as files on local disk, for readers that need a path.
 *
 * - A file gets its name, the SHA-256 of its content, only after length and checksum were verified.
 *   A file that an earlier process left is verified again before its first use: nothing here is
 *   synced, so a crash may have damaged it.
 * - One fetch serves all who ask for the same content at the same time.
 * - Bytes stay within `bytesMax` by dropping what was not used for longest. What someone holds is
 *   never dropped, so only held files can exceed the budget. Every `acquire` is paid back by one
 *   `release`.
 *
 * One instance owns its directory.
 */
import { isStratalogError } from '../base/errors.ts'
import { sha256Hex } from './checksum.ts'
import type { FileSystem } from './file-system.ts'
import type { ObjectStore } from './object-store.ts'
import { objectCorrupt } from './store-errors.ts'
import { createTemporary } from './temporary-name.ts'

export interface ObjectCacheOptions {
  readonly directory: string
  readonly bytesMax: number
  readonly fileSystem: FileSystem
}

/** What a file of the cache holds, and how it is recognised. */
export interface CachedContent {
  readonly length: number
  /** Hex. */
  readonly sha256: string
  /** Where the content begins in the object; left out, it is the whole object. */
  readonly position?: number
}

export interface CachedFile {
  readonly path: string
  /** Lets the file go; it may be removed from then on. Harmless to call again. */
  release(): void
}

export interface CacheCounts {
  readonly hits: number
  readonly misses: number
  readonly usedBytes: number
}

interface Entry {
  readonly length: number
  /** How many hold it. */
  pins: number
  /** Settles when the file is there and verified. */
  ready: Promise<void>
  isVerified: boolean
}

const NAME_PATTERN = /^[0-9a-f]{64}$/

export class ObjectCache {
  readonly #directory: string
  readonly #bytesMax: number
  readonly #fileSystem: FileSystem
  /** By content hash; the order is that of last use. */
  readonly #entries = new Map<string, Entry>()
  #usedBytes = 0
  #hits = 0
  #misses = 0
  /** Removals in progress, so that a file is never made while its predecessor is removed. */
  #removals: Promise<void> = Promise.resolve()

  private constructor(options: ObjectCacheOptions) {
    this.#directory = options.directory
    this.#bytesMax = options.bytesMax
    this.#fileSystem = options.fileSystem
  }

  /**
   * Makes the directory, removes what is unfinished or foreign in it, and keeps whole files up to
   * the budget.
   */
  static async open(options: ObjectCacheOptions): Promise<ObjectCache> {
    const cache = new ObjectCache(options)
    await options.fileSystem.makeDirectory(options.directory)
    for (const name of await options.fileSystem.list(options.directory)) {
      const found = await options.fileSystem.stat(cache.#path(name))
      if (found === null || found.isDirectory) continue
      if (NAME_PATTERN.test(name)) cache.#add(name, found.length, Promise.resolve(), false)
      else await options.fileSystem.remove(cache.#path(name))
    }
    cache.#evict()
    await cache.#removals
    return cache
  }

  counts(): CacheCounts {
    return { hits: this.#hits, misses: this.#misses, usedBytes: this.#usedBytes }
  }

  /** Whether a file with this content is here, or on its way. */
  has(sha256: string, length: number): boolean {
    return this.#entries.get(sha256)?.length === length
  }

  /**
   * A file with this content, fetched from the store unless it is here. @throws StratalogError
   * `object_corrupt` when the store gives other bytes, and whatever the store throws.
   */
  async acquire(store: ObjectStore, key: string, content: CachedContent): Promise<CachedFile> {
    const name = content.sha256
    const found = this.#find(name, content.length)
    if (found === null) this.#misses++
    else this.#hits++
    const entry = found ?? this.#add(name, content.length, this.#fetch(store, key, content), true)
    if (!entry.isVerified) {
      entry.isVerified = true
      entry.ready = this.#verifyOrFetch(store, key, content)
    }
    entry.pins++
    this.#touch(name, entry)
    this.#evict()
    try {
      await entry.ready
    } catch (error) {
      this.#forget(name, entry)
      throw error
    }
    return { path: this.#path(name), release: this.#releaseOnce(entry) }
  }

  /**
   * A file of another length, left by an earlier process, is as good as none; the fetch replaces
   * it.
   */
  #find(name: string, length: number): Entry | null {
    const entry = this.#entries.get(name)
    if (entry === undefined) return null
    if (entry.isVerified || entry.length === length) return entry
    this.#forget(name, entry)
    return null
  }

  async #fetch(store: ObjectStore, key: string, content: CachedContent): Promise<void> {
    await this.#removals
    const { position, length } = content
    const range =
      position === undefined ? {} : { range: { start: position, end: position + length } }
    const bytes = await store.get(key, range)
    if (bytes.length !== length || (await sha256Hex(bytes)) !== content.sha256) {
      throw objectCorrupt(store.url, key, 'its bytes are not those that the manifest names', {
        expectedSha256: content.sha256,
        expectedLength: length,
        givenLength: bytes.length,
      })
    }
    await this.#write(content.sha256, bytes)
  }

  async #write(name: string, bytes: Uint8Array): Promise<void> {
    const temporary = await createTemporary(this.#fileSystem, this.#path(name))
    try {
      await temporary.file.write(bytes)
      await temporary.file.close()
      await this.#fileSystem.rename(temporary.path, this.#path(name))
    } catch (error) {
      await this.#fileSystem.remove(temporary.path).catch(() => {})
      throw error
    }
  }

  async #verifyOrFetch(store: ObjectStore, key: string, content: CachedContent): Promise<void> {
    const bytes = await this.#fileSystem
      .read(this.#path(content.sha256))
      .catch((error: unknown) => {
        if (isStratalogError(error)) return null
        throw error
      })
    if (
      bytes !== null &&
      bytes.length === content.length &&
      (await sha256Hex(bytes)) === content.sha256
    )
      return
    await this.#fetch(store, key, content)
  }

  #add(name: string, length: number, ready: Promise<void>, isVerified: boolean): Entry {
    const entry: Entry = { length, pins: 0, ready, isVerified }
    this.#entries.set(name, entry)
    this.#usedBytes += length
    return entry
  }

  #touch(name: string, entry: Entry): void {
    this.#entries.delete(name)
    this.#entries.set(name, entry)
  }

  /** A fetch that failed leaves nothing; whoever asks next fetches again. */
  #forget(name: string, entry: Entry): void {
    if (this.#entries.get(name) !== entry) return
    this.#entries.delete(name)
    this.#usedBytes -= entry.length
  }

  #releaseOnce(entry: Entry): () => void {
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      entry.pins--
      this.#evict()
    }
  }

  #evict(): void {
    for (const [name, entry] of this.#entries) {
      if (this.#usedBytes <= this.#bytesMax) return
      if (entry.pins > 0) continue
      this.#entries.delete(name)
      this.#usedBytes -= entry.length
      this.#removals = this.#removals
        .then(() => this.#fileSystem.remove(this.#path(name)))
        .catch(() => {})
    }
  }

  #path(name: string): string {
    return `${this.#directory}/${name}`
  }
}
