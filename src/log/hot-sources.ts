/** What a view takes of the batches in RAM, and what it tells of records that are gone from them. */
import type { Range } from '../base/range.ts'
import type { SegmentEntry } from '../format/manifest.ts'
import { type TermsTest, eachRange } from './batch-runs.ts'
import type { CausedGap, GapCause, GapHistory } from './gap-history.ts'
import type { HotBatch } from './hot-batch.ts'
import type { HotBatches } from './hot-batches.ts'
import type { Lease, ViewSource } from './log-view.ts'

/** Leases the batches that hold some of `wanted` and adds them; records that expire by `now` are gone. */
export function addHotSources(
  { hot, gaps }: { readonly hot: HotBatches; readonly gaps: GapHistory },
  wanted: Range,
  { now, stamp }: { readonly now: number; readonly stamp: number },
  sources: ViewSource[],
  leases: Lease[],
): void {
  const batches = hot.all
  for (let index = hot.indexAt(wanted.start); index < batches.length; index++) {
    const batch = batches[index]
    if (batch === undefined || batch.baseOffset >= wanted.end) return
    noteExpired(gaps, batch, now)
    const ranges = batch.liveRanges(wanted.start, wanted.end, now)
    if (ranges.length === 0) continue
    batch.touch(stamp)
    batch.retain()
    leases.push(batch)
    const { min: timeMin, max: timeMax } = batch.time
    for (const { start, end } of ranges) {
      const isSealed = batch.isSealed && end - start === batch.length
      sources.push({ tier: 'memory', batch: batch.view(start, end), timeMin, timeMax, isSealed })
    }
  }
}

/** The offsets of a partition that nothing holds, in order, with why; what has expired by `now` is gone. */
export function gapsWithin(
  held: {
    readonly hot: HotBatches
    readonly gaps: GapHistory
    readonly segments: Iterable<SegmentEntry>
  },
  range: Range,
  now: number,
): readonly CausedGap[] {
  const gaps: CausedGap[] = []
  let next = range.start
  const noteHeld = (start: number, end: number): void => {
    if (start > next) gaps.push(...held.gaps.within(next, start))
    next = Math.max(next, end)
  }
  for (const { baseOffset, endOffset } of held.segments) noteHeld(baseOffset, endOffset)
  for (const batch of held.hot.from(next)) {
    noteExpired(held.gaps, batch, now)
    for (const { start, end } of batch.liveRanges(0, Infinity, now)) noteHeld(start, end)
  }
  noteHeld(range.end, range.end)
  return gaps
}

/** A reader is told of records that expired in a batch as of those that were reclaimed. */
function noteExpired(gaps: GapHistory, batch: HotBatch, now: number): void {
  if (batch.expiresMin > now) return
  noteGone(gaps, batch, (expiresAt) => expiresAt <= now, 'expired')
}

export function noteGone(
  gaps: GapHistory,
  batch: HotBatch,
  isGone: TermsTest,
  cause: GapCause,
): void {
  eachRange(batch, isGone, (start, end) => gaps.add(start, end, cause))
}
