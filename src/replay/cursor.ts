/**
 * One partition of a replay: gives its batches in offset order, cut to a few thousand rows, and holds at most one.
 *
 * Nothing is fetched before the first `advance`: until then the cursor's time is the least that its first segment can
 * hold, so a partition whose history begins later than others' costs nothing until its time has come. `park` lets go of
 * what it holds; it is read again when its time has come.
 */
import { StratalogError } from '../base/errors.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import { endOffset, recordBatchBytes, sliceRecordBatch } from '../format/record-batch.ts'
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
import type { ReplayPosition } from './sink.ts'

/** Rows of one batch when several partitions are merged: how finely their histories are interleaved. */
export const MERGE_ROWS_MAX = 4096

export interface TakenBatch {
  readonly batch: RecordBatch
  /** Stored bytes that were read for it. */
  readonly storedBytes: number
  readonly time: number
}

export interface CursorPlace {
  /** Among cursors whose times are equal. */
  readonly order: number
  readonly rowsMax: number
  /** The sink has the records before, and of those from the cursor's start on so many. */
  readonly heldTo: number
  readonly heldBetween: number
  /** Records that earlier replays gave out, up to where this one begins. */
  readonly records: number
}

export class ReplayCursor implements Timed {
  readonly view: LogView
  readonly partition: number
  readonly order: number
  time: number
  readonly #start: number
  readonly #end: number
  readonly #heldTo: number
  readonly #heldBetween: number
  readonly #rowsMax: number
  readonly #timeColumn: string
  readonly #options: PartitionReadOptions
  /** Of reads under way, at most. */
  readonly #readBytes: number
  #nextOffset: number
  #records: number
  #withheld = 0
  /** Where reading begins when there is none. */
  #readFrom: number
  #items: AsyncGenerator<ReadItem, void, undefined> | null = null
  #head: RecordBatch | null = null
  /** Of the block that the head is a part of. */
  #blockBytes = 0
  #storedBytes = 0

  constructor(
    view: LogView,
    partition: PartitionView,
    options: PartitionReadOptions,
    place: CursorPlace,
  ) {
    const { start, end } = readableRange(partition, options)
    this.view = view
    this.partition = partition.partition
    this.order = place.order
    this.#rowsMax = place.rowsMax
    this.#heldTo = place.heldTo
    this.#heldBetween = place.heldBetween
    this.#records = place.records
    this.#timeColumn = timeColumnOf(view)
    this.#options = options
    const { readBytesMax = 0, readAhead = 1 } = options
    this.#readBytes = Math.min((1 + readAhead) * readBytesMax, storedBytesOf(partition))
    this.#nextOffset = start
    this.#readFrom = start
    this.#start = start
    this.#end = end
    this.time = leastTime(partition, start)
  }

  /** Where a later replay would go on. */
  get position(): ReplayPosition {
    return { offset: this.#nextOffset, records: this.#records }
  }

  /** Records that the cursor was to give, as far as offsets say. */
  get total(): number {
    return this.#end - this.#start
  }

  /** Of them, those that lie behind it. */
  get passed(): number {
    return this.#nextOffset - this.#start
  }

  /** What it holds, with what it may have under way. */
  get heldBytes(): number {
    return this.#items === null ? 0 : this.#readBytes + this.#blockBytes
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

  /**
   * The part of a batch that the sink does not have; null when it has all of it.
   * @throws StratalogError `log_exists` where it lacks records that it can only get in order.
   */
  withoutHeld(batch: RecordBatch): RecordBatch | null {
    const rows = Math.min(Math.max(0, this.#heldTo - batch.baseOffset), batch.length)
    this.#withheld += rows
    if (this.#withheld > this.#heldBetween) throw this.#lacking()
    this.given(batch.baseOffset + rows, 0)
    if (rows === 0) return batch
    return rows === batch.length ? null : cut(batch, rows, batch.length)
  }

  #lacking(): StratalogError {
    const { name } = this.view.definition
    return new StratalogError(
      'log_exists',
      `The target has ${this.#heldBetween} records of '${name}', partition ${this.partition}, offsets [${this.#start}, ${this.#heldTo}), and the archive has more: some were damaged or missing when it was filled, and are not now. Replay into an empty target, or restore.`,
      {
        details: {
          ...{ log: name, partition: this.partition, from: this.#start, to: this.#heldTo },
          records: this.#heldBetween,
        },
      },
    )
  }

  /** Notes that everything before `end` was looked at, and that `records` of it reached the sink. */
  given(end: number, records: number): void {
    this.#nextOffset = end
    this.#records += records
  }

  /** Notes that all of the partition was given out. */
  finished(): void {
    this.#nextOffset = this.#end
  }

  /** Makes the next batch the head. False when there is none left. */
  async advance(): Promise<boolean> {
    if (this.#head === null) {
      this.#items ??= readPartition(this.view, this.partition, {
        ...this.#options,
        from: this.#readFrom,
      })
      const next = await this.#items.next()
      if (next.done === true) return false
      this.#head = next.value.batch
      this.#blockBytes = recordBatchBytes(this.#head)
      this.#storedBytes += next.value.storedBytes
      this.#readFrom = endOffset(this.#head)
    }
    this.time = timeAt(this.#head, this.#timeColumn, 0) ?? this.#head.appendTimeMin
    return true
  }

  /** Lets go of the head and of what is read ahead; `advance` reads it again. */
  async park(): Promise<void> {
    if (this.#head !== null) this.#readFrom = this.#head.baseOffset
    this.#head = null
    await this.close()
  }

  async close(): Promise<void> {
    const items = this.#items
    this.#items = null
    this.#blockBytes = 0
    await items?.return()
  }
}

/** A time that no record from `start` on is before, as far as the view says without reading. */
function leastTime(partition: PartitionView, start: number): number {
  const source = partition.sources.find(
    (candidate) => candidate.tier !== 'memory' && candidate.to > start,
  )
  return source === undefined || source.tier === 'memory' ? -Infinity : source.segment.timeMin
}

function storedBytesOf({ sources }: PartitionView): number {
  return sources.reduce((sum, source) => sum + ('bytes' in source ? source.bytes.length : 0), 0)
}

function cut(batch: RecordBatch, start: number, end: number): RecordBatch {
  return sliceRecordBatch(batch, batch.baseOffset + start, batch.baseOffset + end)
}
