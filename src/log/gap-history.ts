/**
 * Why offsets of a partition are gone, for readers that come to them later.
 *
 * A span claims a cause for every gap inside it; what is still there inside it is no gap, and a later claim wins over
 * an earlier one. That bounds the memory: beyond SPANS_MAX the oldest spans become one, whatever lies between them.
 * Where their causes differ, the one that they stand for is not known any more.
 */
import type { Range } from '../base/range.ts'

/**
 * `retired`: before the log's start, as it keeps no older records.
 * `compacted`: older versions of keys, of which the log keeps the latest; in RAM only, where a replay left them out.
 * `damaged`: every copy of them was damaged or missing when a log in RAM was loaded.
 * `missing`: nothing is known of these offsets; they were left out, or their cause was forgotten.
 */
export type GapCause = 'evicted' | 'expired' | 'retired' | 'compacted' | 'damaged' | 'missing'

export interface CausedGap extends Range {
  readonly cause: GapCause
}

const SPANS_MAX = 1_024
/** So many are kept of too many: to forget one by one would move all the others each time. */
const SPANS_KEPT = 768

export class GapHistory {
  /** In order; they never overlap. */
  #spans: CausedGap[] = []

  get isEmpty(): boolean {
    return this.#spans.length === 0
  }

  add(start: number, end: number, cause: GapCause): void {
    const spans = this.#spans
    // From the first span that touches the new one to the last that does.
    const first = this.#indexAt(start - 1)
    let last = first
    const parts: CausedGap[] = []
    let from = start
    let to = end
    for (let span = spans[last]; span !== undefined && span.start <= end; span = spans[++last]) {
      if (span.cause === cause) {
        from = Math.min(from, span.start)
        to = Math.max(to, span.end)
        continue
      }
      if (span.start < start) parts.push({ ...span, end: Math.min(span.end, start) })
      if (span.end > end) parts.push({ ...span, start: Math.max(span.start, end) })
    }
    parts.push({ start: from, end: to, cause })
    parts.sort((a, b) => a.start - b.start)
    spans.splice(first, last - first, ...parts)
    if (spans.length > SPANS_MAX) this.#forgetOldest(spans.length - SPANS_KEPT + 1)
  }

  /** The cause of each part of `[start, end)`, in order; parts of one cause that touch are one. */
  within(start: number, end: number): readonly CausedGap[] {
    const parts: CausedGap[] = []
    let next = start
    for (let index = this.#indexAt(start); next < end; index++) {
      const span = this.#spans[index]
      const from = Math.min(end, span === undefined ? end : span.start)
      if (from > next) parts.push({ start: next, end: from, cause: 'missing' })
      next = Math.max(next, from)
      if (span === undefined || span.start >= end) break
      const to = Math.min(end, span.end)
      parts.push({ start: next, end: to, cause: span.cause })
      next = to
    }
    return parts
  }

  /** The first span that ends behind `offset`. */
  #indexAt(offset: number): number {
    let low = 0
    let high = this.#spans.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#spans[middle]?.end ?? 0) <= offset) low = middle + 1
      else high = middle
    }
    return low
  }

  #forgetOldest(count: number): void {
    const oldest = this.#spans.slice(0, count)
    const [first, last] = [oldest[0], oldest.at(-1)]
    if (first === undefined || last === undefined) return
    const isAlike = oldest.every(({ cause }) => cause === first.cause)
    const cause = isAlike ? first.cause : 'missing'
    this.#spans.splice(0, count, { start: first.start, end: last.end, cause })
  }
}
