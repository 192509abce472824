/** Which requests fetch which ranges. Pure. */
import { type Range, rangeLength } from '../base/range.ts'

/**
 * Bytes that nobody wants are fetched along where they save a request, up to this part of the wanted ones: a scan of
 * some columns stays close to what these columns weigh, and the smallest gaps, which save as much, go first.
 */
const GAP_PART_MAX = 1 / 16

/** A small read may fetch this much along whatever it wants: less than a round trip to a store costs. */
const GAP_BYTES_FREE = 16 * 1024

/** One request, and the positions in the list of the ranges that it covers. */
export interface Fetch extends Range {
  readonly members: readonly number[]
}

/** @param ranges ascending and apart. Fetches are ascending and apart too; each range lies in one of them. */
export function coalesce(ranges: readonly Range[]): readonly Fetch[] {
  const wanted = ranges.reduce((sum, range) => sum + rangeLength(range), 0)
  let budget = Math.max(GAP_BYTES_FREE, wanted * GAP_PART_MAX)
  const bridged = new Set<number>()
  const gaps = ranges
    .map((range, index) => ({ index, bytes: range.start - (ranges[index - 1]?.end ?? -Infinity) }))
    .toSorted((a, b) => a.bytes - b.bytes)
  for (const { index, bytes } of gaps) {
    if (bytes > budget) break
    budget -= bytes
    bridged.add(index)
  }
  const fetches: { start: number; end: number; members: number[] }[] = []
  for (const [index, range] of ranges.entries()) {
    const last = fetches.at(-1)
    if (last !== undefined && bridged.has(index)) {
      last.end = range.end
      last.members.push(index)
    } else {
      fetches.push({ start: range.start, end: range.end, members: [index] })
    }
  }
  return fetches
}
