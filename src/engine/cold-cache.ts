/** Archived segments as local files, for SQL. The directory is made at the first use. */
import type { SegmentSource } from '../log/log-view.ts'
import type { LocalSegment } from '../query/query-ports.ts'
import type { FileSystem } from '../storage/file-system.ts'
import { type CacheCounts, ObjectCache } from '../storage/object-cache.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { StratalogError } from '../base/errors.ts'

export interface ColdCacheOptions {
  readonly fileSystem: FileSystem
  readonly store: ObjectStore | null
  readonly bytesMax: number
  /** The cache's directory, and what to do with it when the engine closes. */
  readonly directory: () => Promise<{
    readonly path: string
    readonly dispose: () => Promise<void>
  }>
}

const EMPTY_COUNTS: CacheCounts = { hits: 0, misses: 0, usedBytes: 0 }

export class ColdCache {
  readonly #options: ColdCacheOptions
  #opening: Promise<{ cache: ObjectCache; dispose: () => Promise<void> }> | null = null
  #cache: ObjectCache | null = null

  constructor(options: ColdCacheOptions) {
    this.#options = options
  }

  counts(): CacheCounts {
    return this.#cache?.counts() ?? EMPTY_COUNTS
  }

  /** A local file with the bytes of an archived segment; whoever takes it lets it go. */
  async acquire(source: SegmentSource): Promise<LocalSegment> {
    const { store } = this.#options
    const location = source.segment.object
    if (store === null || location === null) {
      throw new StratalogError(
        'store_unavailable',
        'The segment lies in the archive only, and there is no archive here.',
      )
    }
    const { cache } = await (this.#opening ??= this.#open())
    const { length, sha256 } = source.segment
    const missesBefore = cache.counts().misses
    const file = await cache.acquire(store, location.object, {
      length,
      sha256,
      position: location.position,
    })
    const isCached = cache.counts().misses === missesBefore
    return { path: file.path, isCached, requests: isCached ? 0 : 1, release: () => file.release() }
  }

  async close(): Promise<void> {
    await (await this.#opening?.catch(() => null))?.dispose()
  }

  async #open(): Promise<{ cache: ObjectCache; dispose: () => Promise<void> }> {
    const { path, dispose } = await this.#options.directory()
    const { bytesMax, fileSystem } = this.#options
    this.#cache = await ObjectCache.open({ directory: path, bytesMax, fileSystem })
    return { cache: this.#cache, dispose }
  }
}
