/**
 * One partition of a replay: gives its batches in offset order, cut to a few thousand rows, and holds at most one.
 *
 * Nothing is fetched before the first `advance`: until then the cursor's time is the least that its first segment can
 * hold, so a partition whose history begins later than others' costs nothing until its time has come.
 */
import type { RecordBatch } from '../format/record-batch.ts'
import { endOffset, sliceRecordBatch } from '../format/record-batch.ts'
import type { LogView, PartitionView } from '../log/log-view.ts'
import { timeAt } from '../log/time-filter.ts'
import {
  type PartitionReadOptions,
  type ReadItem,
  readPartition,
  readableRange,
  timeColumnOf,
} from '../log/view-reader.ts'
import type { Timed } from './merge-queue.ts'

/** Rows of one batch when several partitions are merged: how finely their histories are interleaved. */
export const MERGE_ROWS_MAX = 4096

export interface TakenBatch {
  readonly batch: RecordBatch
  /** Stored bytes that were read for it. */
  readonly storedBytes: number
  readonly time: number
}

export class ReplayCursor implements Timed {
  readonly view: LogView
  readonly partition: number
  readonly order: number
  time: number
  /** Everything before it was given out, or is not there. */
  nextOffset: number
  readonly #end: number
  readonly #rowsMax: number
  readonly #timeColumn: string
  readonly #items: AsyncGenerator<ReadItem, void, undefined>
  #head: RecordBatch | null = null
  #storedBytes = 0

  constructor(
    view: LogView,
    partition: PartitionView,
    options: PartitionReadOptions,
    place: { readonly order: number; readonly rowsMax: number },
  ) {
    const { start, end } = readableRange(partition, options)
    this.view = view
    this.partition = partition.partition
    this.order = place.order
    this.#rowsMax = place.rowsMax
    this.#timeColumn = timeColumnOf(view)
    this.#items = readPartition(view, partition.partition, options)
    this.nextOffset = start
    this.#end = end
    this.time = leastTime(partition, start)
  }

  /** Records that the cursor was to give, as far as offsets say. */
  get total(): number {
    return this.#end - this.nextOffset
  }
  /** Takes the head and leaves none; null before the first `advance`. */
  take(): TakenBatch | null {
    const batch = this.#head
    if (batch === null) return null
    const first = batch.length <= this.#rowsMax ? batch : cut(batch, 0, this.#rowsMax)
    const taken = { batch: first, storedBytes: this.#storedBytes, time: this.time }
    this.#head = first === batch ? null : cut(batch, this.#rowsMax, batch.length)
    this.#storedBytes = 0
    return taken
  }

  /** Notes that a batch reached the sink. */
  given(batch: RecordBatch): void {
    this.nextOffset = endOffset(batch)
  }

  /** Notes that all of the partition was given out. */
  finished(): void {
    this.nextOffset = this.#end
  }

  /** Makes the next batch the head. False when there is none left. */
  async advance(): Promise<boolean> {
    if (this.#head === null) {
      const next = await this.#items.next()
      if (next.done === true) return false
      this.#head = next.value.batch
      this.#storedBytes = next.value.storedBytes
    }
    this.time = timeAt(this.#head, this.#timeColumn, 0) ?? this.#head.appendTimeMin
    return true
  }

  async close(): Promise<void> {
    await this.#items.return()
  }
}

/** A time that no record from `start` on is before, as far as the view says without reading. */
function leastTime(partition: PartitionView, start: number): number {
  const source = partition.sources.find(
    (candidate) => candidate.tier !== 'memory' && candidate.to > start,
  )
  return source === undefined || source.tier === 'memory' ? -Infinity : source.segment.timeMin
}

function cut(batch: RecordBatch, start: number, end: number): RecordBatch {
  return sliceRecordBatch(batch, batch.baseOffset + start, batch.baseOffset + end)
}
