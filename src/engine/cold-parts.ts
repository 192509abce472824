/** Parts of archived segments on local disk, for reads by offset and time. The first of them makes the directory. */
import type { Logger } from '../base/logger.ts'
import type { ByteSize } from '../base/units.ts'
import type { Location } from '../format/manifest.ts'
import { CACHE_PARTS_DIRECTORY } from '../format/paths.ts'
import type { SegmentBytes } from '../log/log-view.ts'
import { readParts } from '../log/read-parts.ts'
import { bytesInStore } from '../log/segment-copies.ts'
import type { FileSystem } from '../storage/file-system.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { cacheBudget } from './cache-budget.ts'
import type { StoragePorts } from './storage-ports.ts'
import { type CachedObject, PartCache, type PartCacheCounts } from '../storage/part-cache.ts'

export interface ColdPartsOptions {
  readonly fileSystem: FileSystem
  readonly logger: Logger
  /** The default where it is left out. */
  readonly bytesMax?: number
  /** The cache's directory, and what to do with it at closing. */
  readonly directory: () => Promise<{
    readonly path: string
    readonly dispose: () => Promise<void>
  }>
}

interface OpenParts {
  readonly cache: PartCache
  readonly dispose: () => Promise<void>
}

/** In the cache of a data directory that is written. */
export function directoryParts(
  { fileSystem }: Pick<StoragePorts, 'fileSystem'>,
  dataDir: string,
  maxBytes: ByteSize | undefined,
  logger: Logger,
): ColdParts {
  const path = `${dataDir}/${CACHE_PARTS_DIRECTORY}`
  return new ColdParts({
    fileSystem,
    logger,
    bytesMax: cacheBudget(maxBytes).parts,
    directory: async () => ({ path, dispose: async () => {} }),
  })
}

/** In a directory that goes away at closing. */
export function passingParts(
  { fileSystem, temporaryDirectory }: Pick<StoragePorts, 'fileSystem' | 'temporaryDirectory'>,
  logger: Logger,
): ColdParts {
  return new ColdParts({
    fileSystem,
    logger,
    directory: async () => {
      const path = await temporaryDirectory()
      return { path, dispose: () => fileSystem.removeDirectory(path) }
    },
  })
}

export class ColdParts {
  readonly #options: ColdPartsOptions
  #opening: Promise<OpenParts | null> | null = null
  #cache: PartCache | null = null

  constructor(options: ColdPartsOptions) {
    this.#options = options
  }

  /** The bytes of an archived segment, through the cache. @param sha256 of the segment. */
  bytes(store: ObjectStore, sha256: string, location: Location): SegmentBytes {
    const direct = bytesInStore(store, location)
    const object: CachedObject = { sha256, fetch: (range, signal) => direct.read(range, signal) }
    return {
      ...direct,
      readParts: async (parts, signal) => {
        const open = await (this.#opening ??= this.#open())
        if (open === null) return readParts(direct, parts, signal)
        return open.cache.read(object, parts, signal)
      },
    }
  }

  counts(): PartCacheCounts {
    return this.#cache?.counts() ?? { hits: 0, misses: 0, fetches: 0, usedBytes: 0 }
  }

  async close(): Promise<void> {
    const open = await this.#opening
    await open?.cache.close()
    await open?.dispose()
  }

  /** Null where there is no disk to keep anything on: reads do without. */
  async #open(): Promise<OpenParts | null> {
    const { fileSystem, directory, logger, bytesMax = cacheBudget().parts } = this.#options
    try {
      const { path, dispose } = await directory()
      const cache = await PartCache.open({ directory: path, bytesMax, fileSystem })
      this.#cache = cache
      return { cache, dispose }
    } catch (error) {
      logger.warn('Nothing read from the archive can be kept on disk.', { reason: String(error) })
      return null
    }
  }
}
