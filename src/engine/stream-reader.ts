/**
 * What a stream of batches does, step by step: page after page of each partition, and each page from its sources.
 *
 * Invariants:
 * - every offset below the end that was fixed at the beginning is given, or told as a gap, exactly once and in order;
 * - at most one page is pinned, and it is released before the next is taken, when the reading ends, and when it fails;
 * - what lies in RAM is given by `step`, without waiting; `advance` does everything.
 *
 * Nobody calls it while an `advance` is under way.
 */
import { present } from '../base/assert.ts'
import { isStratalogError, throwIfAborted } from '../base/errors.ts'
import type { Range } from '../base/range.ts'
import type { Tier } from '../format/manifest.ts'
import { type RecordBatch, endOffset, sliceRecordBatch } from '../format/record-batch.ts'
import type { LogView, MemorySource, PartitionView } from '../log/log-view.ts'
import { type TimeBounds, liesWithin, mayOverlap, withinTime } from '../log/time-filter.ts'
import {
  type PartitionReadOptions,
  type ReadItem,
  gapError,
  isFailure,
  readPartition,
  timeColumnOf,
} from '../log/view-reader.ts'
import { Batch } from './batch.ts'
import type { BatchReader, Step } from './batch-reader.ts'
import { BatchLayout } from './batch-layout.ts'
import type { ReadableLog } from './readable-log.ts'

/** What was asked for, checked. */
export interface StreamRequest {
  /** In the order they are read. */
  readonly partitions: readonly number[]
  /** Null: from where the partition begins when its turn comes. */
  readonly from: number | null
  readonly to: number
  readonly bounds: TimeBounds | null
  readonly limit: number
  readonly last: number | null
  /** Names of columns that the log has; null for the default. */
  readonly columns: readonly string[] | null
  readonly live: boolean
  readonly signal: AbortSignal | undefined
  readonly onGap: PartitionReadOptions['onGap']
}

/** A pinned part of a partition, read source by source. */
interface Page {
  readonly view: LogView
  readonly pinned: PartitionView
  /** Of a view of nothing, the end lies anywhere: what is not asked for is no gap. */
  readonly end: number
  nextSource: number
  /** Offsets below this were given or told of. */
  next: number
}

/** The partition that is being read. */
interface Progress {
  readonly partition: number
  /** Offsets below this were given or told of. */
  from: number
  readonly to: number
}

export class StreamReader implements BatchReader {
  readonly #log: ReadableLog
  readonly #request: StreamRequest
  /** Ends a wait of a live tail; made for the first one. */
  #stop: AbortController | null = null
  /** By partition, as of the beginning; `from` only of the newest records. */
  #asked: readonly { readonly from: number | null; readonly to: number }[] | null = null
  #nextPartition = 0
  #left: number
  #progress: Progress | null = null
  #page: Page | null = null
  /** What is left of a source that lies in RAM, and of one that does not. */
  #whole: RecordBatch | null = null
  #parts: Generator<RecordBatch> | null = null
  #cold: AsyncGenerator<ReadItem, void, undefined> | null = null
  #layout: BatchLayout | null = null
  #isOver = false

  constructor(log: ReadableLog, request: StreamRequest) {
    this.#log = log
    this.#request = request
    this.#left = request.limit
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** The next batch where that needs no waiting; it keeps `holder` from being collected. */
  step(holder: object): Step {
    for (;;) {
      if (this.#isOver || this.#left <= 0) return 'end'
      if (this.#cold !== null) return 'wait'
      const batch = this.#nextHot()
      if (batch !== null) return this.#give(batch, 'memory', holder)
      if (this.#page !== null) {
        this.#nextOfPage(this.#page)
        continue
      }
      const progress = this.#progress ?? this.#nextProgress()
      if (progress === null) return 'end'
      throwIfAborted(this.#request.signal)
      if (progress.from >= progress.to) this.#progress = null
      else if (!this.#openPage(progress)) return 'wait'
    }
  }

  /** The next batch, or null at the end. */
  async advance(holder: object): Promise<Batch | null> {
    try {
      for (;;) {
        const step = this.step(holder)
        if (step === 'end') break
        if (step !== 'wait') return step
        const batch = this.#cold === null ? await this.#waitForMore() : await this.#nextCold(holder)
        if (batch !== null) return batch
      }
    } catch (error) {
      return this.fail(error)
    }
    await this.end()
    return null
  }

  /** Ends the reading by what a step threw. */
  async fail(error: unknown): Promise<null> {
    await this.end()
    const { live, signal } = this.#request
    // A live tail ends by its signal, wherever the signal finds it.
    if (live && signal?.aborted === true && isStratalogError(error) && error.kind === 'aborted')
      return null
    throw error
  }

  /** Gives back what is pinned, at once; nothing is read after. Safe to call twice. */
  async end(): Promise<void> {
    if (this.#isOver) return
    this.#isOver = true
    this.#stop?.abort()
    this.#whole = null
    this.#parts = null
    this.#progress = null
    const cold = this.#cold
    this.#cold = null
    this.#releasePage()
    try {
      await cold?.return()
    } finally {
      await this.#log.close?.()
    }
  }

  #nextHot(): RecordBatch | null {
    if (this.#parts !== null) {
      const part = this.#parts.next()
      if (part.done !== true) return part.value
      this.#parts = null
    }
    const whole = this.#whole
    this.#whole = null
    return whole
  }

  #nextProgress(): Progress | null {
    const { partitions, from } = this.#request
    // What others append meanwhile is for the next reader.
    this.#asked ??= partitions.map((number) => this.#askedOf(number))
    const partition = partitions[this.#nextPartition]
    const asked = this.#asked[this.#nextPartition]
    if (partition === undefined || asked === undefined) return null
    this.#nextPartition++
    const start = asked.from ?? from ?? this.#log.newestStart(partition, Infinity)
    this.#progress = { partition, from: start, to: asked.to }
    return this.#progress
  }

  #askedOf(partition: number): { readonly from: number | null; readonly to: number } {
    const { from, to, last, live } = this.#request
    return {
      from: last === null ? null : Math.max(from ?? 0, this.#log.newestStart(partition, last)),
      to: live ? to : Math.min(to, this.#log.rangeOf(partition).end),
    }
  }

  /** Pins the next part; false when there is none yet, which only a live tail meets. */
  #openPage(progress: Progress): boolean {
    const { partition, from, to } = progress
    if (this.#request.live && this.#log.rangeOf(partition).end <= from) return false
    const view = this.#log.viewOf(partition, from, to)
    const pinned = view.partitions.find((candidate) => candidate.partition === partition)
    if (pinned === undefined || pinned.endOffset <= from) {
      view.release()
      progress.from = to
      return true
    }
    this.#page = { view, pinned, end: Math.min(to, pinned.endOffset), nextSource: 0, next: from }
    this.#layout = this.#layoutOf(view)
    return true
  }

  #nextOfPage(page: Page): void {
    const { pinned } = page
    throwIfAborted(this.#request.signal)
    const source = pinned.sources[page.nextSource]
    const start = source === undefined ? page.end : startOf(source)
    if (page.next < start) {
      this.#gap(page, { start: page.next, end: start })
      page.next = start
      return
    }
    if (source === undefined) {
      this.#releasePage()
      return
    }
    page.nextSource++
    if (source.tier === 'memory') {
      page.next = endOffset(source.batch)
      this.#takeHot(source, page.view)
    } else {
      page.next = this.#endOfSegments(page, source.to)
      this.#cold = this.#readCold(page, { start: source.from, end: page.next })
    }
  }

  /** Takes the segments that follow without a gap along: one reading of them all reads ahead. */
  #endOfSegments(page: Page, end: number): number {
    let last = end
    for (;;) {
      const source = page.pinned.sources[page.nextSource]
      if (source === undefined || source.tier === 'memory' || source.from !== last) return last
      page.nextSource++
      last = source.to
    }
  }

  /** Tells of offsets that nothing holds, as asked. What is gone by its log's policy is no failure. */
  #gap({ pinned: { partition, gaps } }: Page, { start: from, end: to }: Range): void {
    const { onGap } = this.#request
    if (onGap === 'skip') return
    const parts = gaps?.within(from, to) ?? [{ start: from, end: to, cause: 'missing' as const }]
    for (const { start, end, cause } of parts) {
      const gap = { partition, from: start, to: end, cause }
      if (typeof onGap === 'function') onGap(gap)
      else if (isFailure(cause)) throw gapError(this.#log.name, gap)
    }
  }

  #takeHot({ batch, timeMin = -Infinity, timeMax = Infinity }: MemorySource, view: LogView): void {
    const { bounds } = this.#request
    // Of times finer than a ms the statistics are a ms exact.
    const [min, max] = [timeMin - 1, timeMax + 1]
    if (bounds === null || liesWithin(bounds, min, max)) this.#whole = batch
    else if (mayOverlap(bounds, min, max))
      this.#parts = withinTime(batch, timeColumnOf(view), bounds)
  }

  #readCold(
    { view, pinned }: Pick<Page, 'view' | 'pinned'>,
    range: Range,
  ): AsyncGenerator<ReadItem, void, undefined> {
    const { bounds, columns, signal, onGap } = this.#request
    return readPartition(view, pinned.partition, {
      from: range.start,
      to: range.end,
      since: bounds?.since ?? undefined,
      until: bounds?.until ?? undefined,
      columns: columns === null ? undefined : this.#layoutOf(view).sourcesIn(view.schema),
      signal,
      onGap,
    })
  }

  async #nextCold(holder: object): Promise<Batch | null> {
    const item = await this.#cold?.next()
    if (this.#isOver) return null
    if (item?.done === false) return this.#give(item.value.batch, item.value.tier, holder)
    this.#cold = null
    return null
  }

  async #waitForMore(): Promise<null> {
    const { partition, from } = present(this.#progress, 'a partition is being read')
    const { signal } = this.#request
    this.#stop ??= new AbortController()
    const stop = this.#stop.signal
    await this.#log.waitFor(
      partition,
      from,
      signal === undefined ? stop : AbortSignal.any([stop, signal]),
    )
    if (signal?.aborted === true) await this.end()
    return null
  }

  #give(batch: RecordBatch, tier: Tier, holder: object): Batch {
    const { length, baseOffset } = batch
    const count = Math.min(length, this.#left)
    this.#left -= count
    return new Batch({
      batch: count === length ? batch : sliceRecordBatch(batch, baseOffset, baseOffset + count),
      layout: present(this.#layout, 'batches come from a view'),
      partition: present(this.#progress, 'a partition is being read').partition,
      tier,
      holder,
    })
  }

  #layoutOf(view: LogView): BatchLayout {
    if (this.#layout?.fits(view.schema) === true) return this.#layout
    const { columns } = this.#request
    return new BatchLayout({
      log: this.#log.name,
      schema: view.schema,
      timeColumn: timeColumnOf(view),
      keyColumn: view.definition.keyColumn,
      columns,
    })
  }

  #releasePage(): void {
    const page = this.#page
    if (page === null) return
    this.#page = null
    if (this.#progress !== null) {
      this.#progress.from = Math.max(this.#progress.from, page.end)
    }
    page.view.release()
  }
}

function startOf(source: PartitionView['sources'][number]): number {
  return source.tier === 'memory' ? source.batch.baseOffset : source.from
}
