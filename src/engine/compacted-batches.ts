/**
 * What a replay gives of offsets from which older versions of keys are gone, on its way to a log with a lower tier: it
 * is kept until a segment of it can be written (tiering/write-history.ts). In RAM it is at most one segment.
 *
 * A hole is taken only where the history says so. What the log has is its next offset, as ever: what was kept when a
 * replay ended is given again to who goes on.
 */
import { assert } from '../base/assert.ts'
import { type Range, intersectRanges } from '../base/range.ts'
import { type RecordBatch, endOffset, recordBatchBytes } from '../format/record-batch.ts'
import { SEGMENT_BYTES_TARGET } from '../format/limits.ts'
import { type OffsetRows, pickRows } from '../format/sparse-rows.ts'
import type { SparseRange } from '../format/segment.ts'

/** Offsets that hold fewer records, since newer versions up to `latestTo` are there. */
export interface HoleyRange {
  readonly from: number
  readonly to: number
  readonly latestTo: number
}

/** Of one partition. */
export class CompactedBatches {
  /** In offset order, apart. */
  readonly #ranges: readonly HoleyRange[]
  readonly #write: (rows: readonly OffsetRows[], range: SparseRange) => Promise<void>
  readonly #lost: Range[] = []
  #rows: OffsetRows[] = []
  #bytes = 0
  /** What is kept begins there, and ends at `#next`. */
  #from = 0
  #next = 0

  constructor(
    ranges: readonly HoleyRange[],
    write: (rows: readonly OffsetRows[], range: SparseRange) => Promise<void>,
  ) {
    this.#ranges = ranges.toSorted((a, b) => a.from - b.from)
    this.#write = write
  }

  /**
   * Whether it took the batch; one that it did not take comes next, and all before it is written.
   * @param nextOffset of the log.
   * @param time when the records come to the log, ms.
   */
  async take(batch: RecordBatch, nextOffset: number, time: number): Promise<boolean> {
    const isKeeping = this.#rows.length > 0
    const next = isKeeping ? this.#next : nextOffset
    const isHole = batch.baseOffset > next
    const isCovered = isHole && this.#covers(next, batch.baseOffset)
    const isWithin = this.#ranges.some(
      ({ from, to }) => from <= batch.baseOffset && batch.baseOffset < to,
    )
    if (!isCovered && (isHole || !isWithin)) {
      await this.flush()
      return false
    }
    if (!isKeeping) this.#from = nextOffset
    const own = { ...batch, appendTimeMin: time, appendTimeMax: time }
    this.#rows.push(pickRows({ batch: own, offsets: null }, Int32Array.of(0, batch.length)))
    this.#next = endOffset(batch)
    this.#bytes += recordBatchBytes(batch)
    if (this.#bytes >= SEGMENT_BYTES_TARGET) await this.flush()
    return true
  }

  /** Writes what is kept, and as far as offsets behind it are known to hold nothing. */
  async flush(end: number = this.#next): Promise<void> {
    if (this.#rows.length === 0) return
    const rows = this.#rows
    const endTo = end > this.#next && this.#covers(this.#next, end) ? end : this.#next
    const range = { baseOffset: this.#from, endOffset: endTo, latestTo: this.#latestTo(endTo) }
    this.#rows = []
    this.#bytes = 0
    await this.#write(rows, range)
  }

  /** What is left at the end of all, to the end of what the history says. */
  async end(): Promise<void> {
    const last = this.#ranges.findLast(({ to }) => to > this.#next)
    await this.flush(last?.to)
  }

  /** What cannot be had is no hole that the history knows. */
  lose(range: Range): void {
    this.#lost.push(range)
  }

  #covers(start: number, end: number): boolean {
    if (this.#lost.some((lost) => intersectRanges(lost, { start, end }) !== null)) return false
    let next = start
    for (const { from, to } of this.#ranges) if (from <= next && to > next) next = to
    return next >= end
  }

  /** Of what is kept: what was let go of anywhere in it was so for versions below this. */
  #latestTo(end: number): number {
    const touched = this.#ranges.filter(({ from, to }) => from < end && to > this.#from)
    assert(touched.length > 0, 'offsets are left out where the history says so')
    return Math.max(...touched.map(({ latestTo }) => latestTo))
  }
}
