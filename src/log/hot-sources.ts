/** What a view takes of the batches in RAM, and what it tells of records that are gone from them. */
import type { Range } from '../base/range.ts'
import type { SegmentEntry } from '../format/manifest.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import { type TermsTest, eachRange } from './batch-runs.ts'
import type { CausedGap, GapCause, GapHistory } from './gap-history.ts'
import type { HotBatch } from './hot-batch.ts'
import type { HotBatches } from './hot-batches.ts'
import type { LostRecords } from './lost-records.ts'
import type { Lease, MemorySource, PartitionView, ViewSource } from './log-view.ts'

export interface PinnedView {
  readonly view: PartitionView
  /**
   * Ends every lease of the view; with `below`, those of batches in RAM that end at or before that offset, and the rest
   * when it is called again. A lease ends once, however often that is.
   */
  readonly release: (below?: number) => void
}

export function releaseBelow(leases: Lease[], below: number): void {
  const held = leases.splice(0)
  for (const lease of held)
    if (below === Infinity || (lease.endOffset ?? Infinity) <= below) lease.release()
    else leases.push(lease)
}

/**
 * Leases the batches that hold some of `wanted` and adds them; records that expire by `now` are gone. What is lost
 * comes last.
 */
export function addHotSources(
  held: {
    readonly hot: HotBatches
    readonly gaps: GapHistory
    readonly lost: LostRecords | null
  },
  wanted: Range,
  at: { readonly now: number; readonly stamp: number },
  sources: ViewSource[],
  leases: Lease[],
): void {
  addBatches(held, wanted, at, sources, leases)
  const lost = held.lost?.source(wanted) ?? null
  if (lost !== null) sources.push(lost)
}

function addBatches(
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
    for (const { start, end } of ranges) sources.push(sourceOf(batch, start, end))
  }
}

function sourceOf(batch: HotBatch, start: number, end: number): MemorySource {
  const { min: timeMin, max: timeMax } = batch.time
  // Of an open batch more would be known later.
  return batch.isSealed
    ? new SealedSource(batch, start, end)
    : { tier: 'memory', batch: batch.view(start, end), timeMin, timeMax }
}

/** Slices the batch when it is asked for: to slice thousands at once would hold up appends. */
class SealedSource implements MemorySource {
  readonly tier = 'memory'
  readonly timeMin: number
  readonly timeMax: number
  readonly isSealed: boolean
  readonly #hot: HotBatch
  readonly #start: number
  readonly #end: number
  #batch: RecordBatch | null = null

  constructor(hot: HotBatch, start: number, end: number) {
    this.timeMin = hot.time.min
    this.timeMax = hot.time.max
    this.isSealed = end - start === hot.length
    this.#hot = hot
    this.#start = start
    this.#end = end
  }

  get batch(): RecordBatch {
    return (this.#batch ??= this.#hot.view(this.#start, this.#end))
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
