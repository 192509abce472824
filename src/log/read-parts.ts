/** Reads parts of a segment: through its cache where it has one, else each request for what lies close together. */
import { type Range, rangeLength } from '../base/range.ts'
import { coalesce } from '../storage/coalesce.ts'
import type { CachedPart } from '../storage/part-cache.ts'
import type { SegmentBytes } from './log-view.ts'

/** Requests that one read has under way at once. */
const REQUESTS_MAX = 8

/** @param parts ascending and apart. The bytes of each, which may be fewer where a copy is too short. */
export async function readParts(
  bytes: SegmentBytes,
  parts: readonly CachedPart[],
  signal: AbortSignal | undefined,
): Promise<readonly Uint8Array[]> {
  if (bytes.readParts !== undefined) return bytes.readParts(parts, signal)
  const results: Uint8Array[] = []
  const queue = coalesce(parts).values()
  const fetchNext = async (): Promise<void> => {
    for (const fetch of queue) {
      const fetched = await bytes.read({ start: fetch.start, end: fetch.end }, signal)
      for (const member of fetch.members) {
        const part = parts[member]
        if (part !== undefined) results[member] = cut(fetched, part, fetch.start)
      }
    }
  }
  await Promise.all(Array.from({ length: REQUESTS_MAX }, fetchNext))
  return results
}

function cut(fetched: Uint8Array, part: Range, start: number): Uint8Array {
  return fetched.subarray(part.start - start, part.start - start + rangeLength(part))
}
