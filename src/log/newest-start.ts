/** Where readers begin that name no offset: at the first record that is there, or at the newest ones. */
import { present } from '../base/assert.ts'
import type { SegmentEntries } from '../format/segment-entries.ts'
import { recordsWithin } from '../format/segment-entry.ts'
import type { HotBatch } from './hot-batch.ts'

/** What a partition holds of `[startOffset, endOffset)`. */
export interface HeldRecords {
  readonly startOffset: number
  readonly endOffset: number
  /** In order, as are the batches, which serve what both have. */
  readonly segments: SegmentEntries
  readonly batches: readonly HotBatch[]
  /** ms; what expires by then is not there. */
  readonly now: number
}

/**
 * The offset from which on there are `count` records, or as many as are there. What expired or was evicted between them
 * counts for none.
 */
export function newestStart(held: HeldRecords, count: number): number {
  const { startOffset, endOffset, batches } = held
  if (count === 0) return endOffset
  if (count === Infinity) return firstStart(held)
  let left = count
  for (let index = batches.length - 1; index >= 0; index--) {
    const ranges = batches[index]?.liveRanges(startOffset, endOffset, held.now) ?? []
    for (const { start, end } of ranges.reverse()) {
      if (end - start >= left) return end - left
      left -= end - start
    }
  }
  let end = Math.min(endOffset, batches[0]?.baseOffset ?? endOffset)
  for (let index = held.segments.length - 1; index >= 0 && end > startOffset; index--) {
    const segment = present(held.segments.at(index), 'a segment')
    const start = Math.max(segment.baseOffset, startOffset)
    const to = Math.max(start, Math.min(segment.endOffset, end))
    const records = recordsWithin(segment, start, to)
    // Which offsets of a sparse segment have a record it does not say here: then it is fewer records.
    if (records >= left) return to - left
    left -= records
    end = Math.min(end, start)
  }
  return firstStart(held)
}

/** The offset of the first record; where a lower tier wants offsets dense, that of the first that should be there. */
function firstStart({ startOffset, endOffset, segments, batches, now }: HeldRecords): number {
  if (segments.length > 0) return startOffset
  for (const batch of batches) {
    const [first] = batch.liveRanges(startOffset, endOffset, now)
    if (first !== undefined) return first.start
    // Only what expired is passed over.
    if (batch.length > 0 && batch.expiresMin === Infinity) return startOffset
  }
  return batches.length === 0 ? startOffset : endOffset
}
