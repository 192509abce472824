/**
 * Archived segments as local files, for SQL: whole, or the parts that a query wants where these are little of it. The
 * directory is made at the first use.
 */
import type { SegmentSource } from '../log/log-view.ts'
import { type Range, rangeLength } from '../base/range.ts'
import type { Location } from '../format/manifest.ts'
import { SegmentReading } from '../log/segment-reading.ts'
import type { LocalSegment, WantedParts } from '../query/query-ports.ts'
import { PartFiles } from '../storage/part-files.ts'
import type { FileSystem } from '../storage/file-system.ts'
import { type CacheCounts, ObjectCache } from '../storage/object-cache.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { StratalogError } from '../base/errors.ts'

export interface ColdCacheOptions {
  readonly fileSystem: FileSystem
  readonly store: ObjectStore | null
  readonly bytesMax: number
  /** The cache's directories, and what to do with them when the engine closes. */
  readonly directories: () => Promise<{
    readonly segments: string
    readonly columns: string
    readonly dispose: () => Promise<void>
  }>
}

const EMPTY_COUNTS: CacheCounts = { hits: 0, misses: 0, usedBytes: 0 }

export class ColdCache {
  readonly #options: ColdCacheOptions
  #opening: Promise<OpenCache> | null = null
  #cache: ObjectCache | null = null

  constructor(options: ColdCacheOptions) {
    this.#options = options
  }

  counts(): CacheCounts {
    return this.#cache?.counts() ?? EMPTY_COUNTS
  }

  /** A local file with the wanted bytes of an archived segment, all where `wanted` is null; the taker lets it go. */
  async acquire(
    source: SegmentSource,
    wanted: WantedParts | null,
    signal: AbortSignal,
  ): Promise<LocalSegment> {
    const { store = this.#options.store } = source
    const location = source.segment.object
    if (store === null || location === null) {
      throw new StratalogError(
        'store_unavailable',
        'The segment lies in the archive only, and there is no archive here.',
      )
    }
    const { cache, parts } = await (this.#opening ??= this.#open())
    const { length, sha256 } = source.segment
    if (wanted !== null && !cache.has(sha256, length)) {
      const held = await acquireParts(parts, store, source, location, wanted, signal)
      if (held !== null) return held
    }
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
    const open = await this.#opening?.catch(() => null)
    await open?.parts.settle()
    await open?.dispose()
  }

  async #open(): Promise<OpenCache> {
    const { segments, columns, dispose } = await this.#options.directories()
    const { bytesMax, fileSystem } = this.#options
    const half = Math.floor(bytesMax / 2)
    const parts = await PartFiles.open({ directory: columns, bytesMax: half, fileSystem })
    const options = { directory: segments, bytesMax: bytesMax - half, fileSystem }
    this.#cache = await ObjectCache.open(options)
    return { cache: this.#cache, parts, dispose }
  }
}

interface OpenCache {
  readonly cache: ObjectCache
  readonly parts: PartFiles
  readonly dispose: () => Promise<void>
}

/** Below this a segment is fetched whole: its footer and a few columns would weigh about as much. */
const WHOLE_BYTES_MAX = 256 * 1024
/** Parts that are more of a segment than this are fetched with the rest of it, in one request. */
const PARTS_SHARE_MAX = 0.5

/** Null where the whole of it is the better choice. */
async function acquireParts(
  cache: PartFiles,
  store: ObjectStore,
  { segment, bytes, fallback }: SegmentSource,
  { object: key, position }: Location,
  { owner, fields, isNeeded }: WantedParts,
  signal: AbortSignal,
): Promise<LocalSegment | null> {
  const { length, sha256 } = segment
  if (length <= WHOLE_BYTES_MAX) return null
  const reading = await SegmentReading.open(fallback?.bytes ?? bytes, segment, owner, signal)
  const { schema, timeColumn } = reading.facts
  const columns = [...schema.fields.keys()].filter((column) =>
    fields.has(schema.fields[column]?.name ?? ''),
  )
  const blocks = reading.blocks((block) => isNeeded(block, timeColumn))
  const parts = reading.parts(blocks, columns)
  const wantedBytes = parts.reduce((sum, part) => sum + rangeLength(part), 0)
  if (wantedBytes > length * PARTS_SHARE_MAX) return null
  const fetch = (range: Range, given: AbortSignal): Promise<Uint8Array> =>
    store.get(key, {
      range: { start: position + range.start, end: position + range.end },
      signal: given,
    })
  const object = { sha256, key, url: store.url, fetch }
  const { files, requests, release, discard } = await cache.acquire(object, parts, signal)
  const path = files[0]?.path ?? ''
  return { path, files, isCached: requests === 0, requests, release, discard }
}
