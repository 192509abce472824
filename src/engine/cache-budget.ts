import { type ByteSize, parseBytes } from '../base/units.ts'

/** Disk that what was fetched of archived segments may take, unless the configuration says. */
const CACHE_BYTES_MAX = 5 * 1024 ** 3

/** Bytes for SQL, which takes whole segments, and for other reads, which take the columns that they want. */
export interface CacheBudget {
  readonly segments: number
  readonly parts: number
}

/** A fifth goes to parts: they are small, and one is read again and again. */
export function cacheBudget(maxCacheBytes: ByteSize = CACHE_BYTES_MAX): CacheBudget {
  const bytes = parseBytes(maxCacheBytes, 'maxCacheBytes')
  const parts = Math.floor(bytes / 5)
  return { segments: bytes - parts, parts }
}
