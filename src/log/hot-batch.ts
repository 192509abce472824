/**
 * A record batch in RAM: open while it takes appends, sealed after.
 *
 * Invariants:
 * - rows below `length` never change; a view of them stays right while the batch grows, for who holds a lease;
 * - `length` moves only in `commit`, so an append is seen whole or not at all;
 * - the buffers are there until the partition and every lease have let go (batch-buffers.ts);
 * - once sealed, the batch holds what its rows take, and `bytes` is that.
 *
 * There may be a hundred thousand of these, so one has few fields, and buffers are kept by number.
 */
import { assert, present } from '../base/assert.ts'
import type { Range } from '../base/range.ts'
import { createColumnBuilder } from '../format/column-builder.ts'
import { appendRanges } from '../format/column-gather.ts'
import { type ColumnData, columnBytes, sliceColumn } from '../format/column.ts'
import { foreignBytes } from '../format/foreign-bytes.ts'
import type { ColumnBuilder, ColumnSize } from '../format/growing-column.ts'
import { BATCH_BYTES_TARGET, BATCH_ROWS_MAX } from '../format/limits.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import { type Schema, fieldIndex } from '../format/schema.ts'
import { BatchBuffers } from './batch-buffers.ts'
import type { BatchMemory } from './memory-account.ts'
import { RunList } from './run-list.ts'
import { EventTimes, type TimeRange } from './time-range.ts'

/** What one append adds to a batch besides its rows. */
export interface AppendFacts {
  readonly appendTime: number
  /** LSN of the append's first WAL byte; recovery must start no later while the batch is not flushed. */
  readonly lsn: number
  /** ms of the engine's clock from which on the rows are gone; Infinity: never. */
  readonly expiresAt: number
  readonly priority: number
}

/** A batch of more says nothing of the next one: one append was huge. */
const TYPICAL_BYTES_MAX = 1.5 * BATCH_BYTES_TARGET
/** Room for a little more than the batch before had: a buffer that is nearly big enough would be copied to the end. */
const ROOM = 1.03
/** A batch that took longer, from its first append to its last, will hardly be followed by one that fills at once. */
const SLOW_FILL_MS = 10_000
/** So that one begins at this part of its size, and doubles. */
const SLOW_FILL_PART = 1 / 8
/** Fewer new rows are asked for their times one by one. */
const TIGHT_LOOP_ROWS_MIN = 16
/** Buffers of so many times the target end a batch, whatever lies in them. */
const HELD_BYTES_FACTOR = 2
const NO_COLUMNS: readonly ColumnData[] = []
const PLAIN_FACTS = { lsn: Infinity, expiresAt: Infinity, priority: 0 }

export class HotBatch {
  // Fixed at construction.
  readonly schema: Schema
  readonly baseOffset: number
  readonly #pool: BatchMemory
  /** Columns that are the caller's memory; none in a batch that has builders. */
  readonly #adopted: readonly ColumnData[]

  // Owned by the append loop.
  #builders: readonly ColumnBuilder[] = []
  #length = 0
  #isSealed = false
  #appendTimeMin = Infinity
  #appendTimeMax = -Infinity
  #firstLsn = Infinity
  readonly #times: EventTimes
  #isFull = false
  /** Null while every row has the default terms and there are no holes. */
  #runs: RunList | null = null
  /** Rows, and bytes held, at which to look again whether the batch is full. */
  #measureAt = 1
  #measuredBytes = 0

  // Moved by readers.
  readonly #buffers: BatchBuffers
  #lastReadAt = 0
  /** The view of all rows, once sealed: readers come again and again, and slicing is most of what they cost. */
  #whole: RecordBatch | null = null

  /**
   * `previous`, of the same partition, lends its sizes. @throws BudgetExceeded, and holds nothing then.
   */
  constructor(
    schema: Schema,
    baseOffset: number,
    timeColumn: string,
    pool: BatchMemory,
    previous: HotBatch | null,
    adopted: readonly ColumnData[] = NO_COLUMNS,
  ) {
    this.schema = schema
    this.baseOffset = baseOffset
    this.#pool = pool
    this.#buffers = new BatchBuffers(pool)
    this.#adopted = adopted
    this.#times = new EventTimes(schema, fieldIndex(schema, timeColumn))
    if (adopted === NO_COLUMNS) this.#builders = this.#newBuilders(previous?.expectedSizes(schema))
    this.#measuredBytes = this.#buffers.bytes
  }

  /**
   * A sealed batch of columns that the caller gives away: `columns[i]` belongs to `schema.fields[i]`, and nobody writes
   * to them any more. Counts `foreignBytes(columns)`: of slices of much bigger buffers a copy is better.
   * @throws BudgetExceeded
   */
  static adopt(
    schema: Schema,
    baseOffset: number,
    timeColumn: string,
    pool: BatchMemory,
    columns: readonly ColumnData[],
    facts: AppendFacts,
  ): HotBatch {
    const batch = new HotBatch(schema, baseOffset, timeColumn, pool, null, columns)
    batch.#buffers.adopt(foreignBytes(columns))
    const length = columns[0]?.length ?? 0
    try {
      batch.#addRun(length, facts)
    } catch (error) {
      batch.drop()
      throw error
    }
    batch.#publish(length, facts)
    batch.#isSealed = true
    return batch
  }

  /** A sealed batch of the records before `end` of another that is sealed, in the same memory. See shared-slabs.ts. */
  static sharing(source: HotBatch, end: number, timeColumn: string, pool: BatchMemory): HotBatch {
    assert(source.#isSealed, 'what is shared does not change')
    const { schema, baseOffset } = source
    const rows = source.#runs?.rowsBelow(end) ?? Math.min(source.#length, end - baseOffset)
    const columns = source.#columns(0, rows)
    const batch = new HotBatch(schema, baseOffset, timeColumn, pool, null, columns)
    batch.#buffers.share(source.#buffers)
    source.#runs?.eachBelow(rows, (from, to, offset, expiresAt, priority) =>
      pool.withoutLimit(() => batch.#addRunAt(from, to, offset, expiresAt, priority)),
    )
    batch.#publish(rows, { ...PLAIN_FACTS, appendTime: source.#appendTimeMin })
    batch.#appendTimeMax = source.#appendTimeMax
    batch.#isSealed = true
    return batch
  }

  /** By field. They take rows behind the committed ones; a rollback may put others in their place. */
  get builders(): readonly ColumnBuilder[] {
    return this.#builders
  }
  get length(): number {
    return this.#length
  }
  /** Behind the last row; between the first and the last there may be holes. */
  get endOffset(): number {
    return this.#runs?.endOffset ?? this.baseOffset + this.#length
  }
  get isSealed(): boolean {
    return this.#isSealed
  }
  get appendTimeMin(): number {
    return this.#appendTimeMin
  }
  get appendTimeMax(): number {
    return this.#appendTimeMax
  }
  get firstLsn(): number {
    return this.#firstLsn
  }
  /** Event times of the rows, ms; infinite and inverted while the batch is empty. */
  get time(): TimeRange {
    return this.#times.range
  }
  /** Every byte the batch holds of the pool, or has the pool count. */
  get bytes(): number {
    return this.#buffers.bytes + (this.#runs?.bytes ?? 0)
  }
  /** Bytes of its values, those that are staged included. */
  get valueBytes(): number {
    let bytes = 0
    for (const column of this.#adopted) bytes += columnBytes(column)
    for (const builder of this.#builders) bytes += builder.size().valueBytes
    return bytes
  }
  /** Whether the next append belongs into another batch: one like the last would not fit any more. */
  get isFull(): boolean {
    return this.#isFull || this.#length >= BATCH_ROWS_MAX
  }
  /** Whether a reader holds the batch, besides the partition. */
  get isLeased(): boolean {
    return this.#buffers.isLeased
  }
  /** Whether a batch of another log lies in the same memory. */
  get isShared(): boolean {
    return this.#buffers.isShared
  }
  /** The nearest expiry of a row, and the farthest; ms of the engine's clock. */
  get expiresMin(): number {
    return this.#runs?.expiresMin ?? Infinity
  }
  get expiresMax(): number {
    return this.#runs?.expiresMax ?? Infinity
  }
  get priorityMin(): number {
    return this.#runs?.priorityMin ?? 0
  }
  /** Null while every row has the default terms and there are no holes. */
  get runList(): RunList | null {
    return this.#runs
  }
  /** Goes up whenever a buffer may have been replaced: what was found in them without a lease is to be found anew. */
  get bufferChanges(): number {
    return this.#buffers.changes
  }
  /** The stamp of the last read; of a batch that was never read, of its beginning. */
  get lastReadAt(): number {
    return this.#lastReadAt
  }

  /**
   * Publishes the rows that the builders took since the last commit, and returns how many.
   * @throws BudgetExceeded, and forgets the rows then.
   */
  commit(facts: AppendFacts): number {
    assert(!this.#isSealed, 'a sealed batch takes no rows')
    const length = this.#builders[0]?.length ?? 0
    if (this.#pool.isDebug) this.#assertEqualLengths(length)
    const added = length - this.#length
    try {
      this.#addRun(length, facts)
    } catch (error) {
      this.rollback()
      throw error
    }
    this.#publish(length, facts)
    if (length >= this.#measureAt || this.#buffers.bytes !== this.#measuredBytes)
      this.#measure(added)
    return added
  }

  /** Whether one row more, with the default terms, is `commitRow`'s to publish. */
  get takesRow(): boolean {
    return !this.#isSealed && this.#runs === null && !this.isFull && this.#length > 0
  }

  /** `commit` of one row with the default terms, in a batch that `takesRow`, of a log without a WAL. */
  commitRow(appendTime: number): void {
    const { index } = this.#times
    const builder = this.#builders[index]
    if (builder !== undefined) this.#times.add(builder.numberAt(this.#length))
    const length = ++this.#length
    if (appendTime < this.#appendTimeMin) this.#appendTimeMin = appendTime
    if (appendTime > this.#appendTimeMax) this.#appendTimeMax = appendTime
    if (length >= this.#measureAt || this.#buffers.bytes !== this.#measuredBytes) this.#measure(1)
  }

  /**
   * Forgets rows that were pushed and not committed. Buffers that grew huge for them are replaced by small ones, unless
   * a reader keeps them and there is no room for both.
   */
  rollback(): void {
    for (const builder of this.#builders) builder.truncate(this.#length)
    if (this.#buffers.bytes - this.#measuredBytes <= TYPICAL_BYTES_MAX) return
    // The copies are small, and they are made so that much can go.
    const smaller = this.#buffers.replaceAll(() => {
      const builders = this.#newBuilders(this.#builders.map((builder) => builder.size()))
      builders.forEach((builder, index) => {
        const column = this.#builders[index]?.slice(0, this.#length)
        if (column !== undefined) builder.append(column)
      })
      return builders
    })
    if (smaller === null) return
    this.#builders = smaller
    this.#measuredBytes = this.#buffers.bytes
  }

  /** Takes rows that no reader has seen away, from offset `end` on; recovery of those that stay starts at `lsn`. */
  takeBack(end: number, lsn: number): void {
    assert(this.#runs === null, 'rows of a log with a WAL have the default terms')
    this.#firstLsn = Math.min(this.#firstLsn, lsn)
    if (end >= this.endOffset) return
    this.#length = end - this.baseOffset
    this.#whole = null
    if (!this.#isSealed) for (const builder of this.#builders) builder.truncate(this.#length)
  }

  /** Ends the appends, and gives back what the rows do not take. */
  seal(): void {
    if (this.#isSealed) return
    this.#isSealed = true
    this.#pool.withoutLimit(() => {
      for (const builder of this.#builders) builder.seal()
      this.#runs?.seal()
    })
  }

  /**
   * Takes the runs of those numbers, of another batch, with their offsets into this one, which is new; then it is
   * sealed.
   * @throws BudgetExceeded
   */
  copyRuns(source: HotBatch, kept: Int32Array): void {
    const runs = present(source.#runs, 'a batch that is copied in part has runs')
    const ranges = runs.rowRanges(kept)
    source.#columns(0, source.#length).forEach((column, position) => {
      const builder = this.#builders[position]
      if (builder !== undefined) appendRanges(builder, column, ranges)
    })
    let length = 0
    for (const run of kept) {
      const start = length
      length += runs.rowEndOf(run) - runs.rowStart(run)
      const offset = runs.offsetOf(run)
      const expiresAt = runs.expiresAt(run)
      const priority = runs.priority(run)
      const isPlain = this.#runs === null && expiresAt === Infinity && priority === 0
      if (isPlain && offset === this.baseOffset + start) continue
      this.#addRunAt(start, length, offset, expiresAt, priority)
    }
    const { appendTimeMin: appendTime, firstLsn: lsn } = source
    this.#publish(length, { ...PLAIN_FACTS, appendTime, lsn })
    this.#appendTimeMax = source.#appendTimeMax
    this.#lastReadAt = source.#lastReadAt
    this.seal()
  }

  /** The row of an offset, or -1 for one that the batch does not hold. */
  rowAt(offset: number): number {
    if (this.#runs !== null) return this.#runs.rowAt(offset)
    const row = offset - this.baseOffset
    return row >= 0 && row < this.#length ? row : -1
  }

  /** The offsets in `[from, to)` that are there and do not expire by `now`, as ranges in order. */
  liveRanges(from: number, to: number, now: number): Range[] {
    if (this.#runs !== null) return this.#runs.liveRanges(from, to, now)
    const start = Math.max(from, this.baseOffset)
    const end = Math.min(to, this.baseOffset + this.#length)
    return start < end ? [{ start, end }] : []
  }

  /**
   * The records with offsets `[from, to)` of those committed, without a hole between. Valid while the caller holds a
   * lease.
   */
  view(from: number, to: number): RecordBatch {
    assert(
      from >= this.baseOffset && to <= this.endOffset && from <= to,
      'a view lies inside its batch',
    )
    const isWhole = this.#isSealed && to - from === this.#length
    if (isWhole && this.#whole !== null) return this.#whole
    const start = from === to ? 0 : this.rowAt(from)
    const end = start + to - from
    assert(from === to || this.rowAt(to - 1) === end - 1, 'a view has no holes')
    const view = {
      schema: this.schema,
      baseOffset: from,
      length: end - start,
      columns: this.#columns(start, end),
      appendTimeMin: this.#appendTimeMin,
      appendTimeMax: this.#appendTimeMax,
    }
    if (isWhole) this.#whole = view
    return view
  }

  /** Every committed row, whatever its offset. Right without a lease only until `bufferChanges` goes up. */
  rows(): readonly ColumnData[] {
    return this.#columns(0, this.#length)
  }

  /** Says that the batch is read; a later read has a greater stamp. */
  touch(stamp: number): void {
    this.#lastReadAt = stamp
  }

  retain(): void {
    this.#buffers.retain()
  }

  /** Ends one lease; the last holder gives the buffers back. */
  release(): void {
    if (this.#buffers.release()) this.#end()
  }

  /** The partition lets go of the batch; readers may hold it still, with every buffer that they may have seen. */
  drop(): void {
    if (this.#buffers.drop()) this.#end()
  }

  /** Sizes for the columns of a batch that follows this one; undefined where nothing can be said. */
  expectedSizes(schema: Schema): readonly ColumnSize[] | undefined {
    if (this.schema.id !== schema.id || this.#adopted !== NO_COLUMNS) return undefined
    const used = this.#usedBytes()
    if (used > TYPICAL_BYTES_MAX) return undefined
    const isSlow = this.#appendTimeMax - this.#appendTimeMin > SLOW_FILL_MS
    const part = isSlow ? SLOW_FILL_PART : 1
    const factor = part * ROOM * (this.#isFull ? BATCH_BYTES_TARGET / used : 1)
    return this.#builders.map((builder) => {
      const size = builder.size()
      const rows = Math.ceil(size.rows * factor)
      return { ...size, rows, valueBytes: Math.ceil(size.valueBytes * factor) }
    })
  }

  #end(): void {
    this.#whole = null
    this.#runs?.free()
  }

  #columns(start: number, end: number): ColumnData[] {
    return this.#adopted === NO_COLUMNS
      ? this.#builders.map((builder) => builder.slice(start, end))
      : this.#adopted.map((column) => sliceColumn(column, start, end))
  }

  /** Notes the terms of the rows from the committed ones to `length`. @throws BudgetExceeded */
  #addRun(length: number, { expiresAt, priority }: AppendFacts): void {
    if (this.#runs === null && expiresAt === Infinity && priority === 0) return
    const offset = this.#runs?.endOffset ?? this.baseOffset + this.#length
    this.#addRunAt(this.#length, length, offset, expiresAt, priority)
  }

  #addRunAt(
    rowStart: number,
    rowEnd: number,
    offset: number,
    expiresAt: number,
    priority: number,
  ): void {
    const runs = this.#runs ?? new RunList(this.#pool, this.baseOffset)
    try {
      if (this.#runs === null && rowStart > 0) runs.add(rowStart, this.baseOffset, Infinity, 0)
      runs.add(rowEnd, offset, expiresAt, priority)
      this.#runs = runs
    } catch (error) {
      if (this.#runs === null) runs.free()
      throw error
    }
  }

  #newBuilders(sizes: readonly ColumnSize[] | undefined): readonly ColumnBuilder[] {
    try {
      return this.schema.fields.map((field, index) =>
        createColumnBuilder(field.type, this.#buffers, sizes?.[index]),
      )
    } catch (error) {
      // A batch that does not come about holds nothing.
      if (this.#builders.length === 0) this.#buffers.drop()
      throw error
    }
  }

  #publish(length: number, facts: AppendFacts): void {
    const { appendTime, lsn } = facts
    const time = this.#times.index
    const builder = this.#builders[time]
    const added = length - this.#length
    if (builder !== undefined && added < TIGHT_LOOP_ROWS_MIN) {
      for (let row = this.#length; row < length; row++) this.#times.add(builder.numberAt(row))
    } else {
      const column = builder?.slice(this.#length, length) ?? this.#adopted[time]
      if (column !== undefined) this.#times.addColumn(column)
    }
    this.#length = length
    if (appendTime < this.#appendTimeMin) this.#appendTimeMin = appendTime
    if (appendTime > this.#appendTimeMax) this.#appendTimeMax = appendTime
    if (lsn < this.#firstLsn) this.#firstLsn = lsn
  }

  /** Looks whether the batch is full, and says when to look again: half way to there. */
  #measure(added: number): void {
    const used = this.#usedBytes()
    const rowsAtTarget = (this.#length * BATCH_BYTES_TARGET) / Math.max(used, 1)
    this.#isFull =
      this.#length + added > rowsAtTarget ||
      this.#buffers.bytes > HELD_BYTES_FACTOR * BATCH_BYTES_TARGET
    this.#measuredBytes = this.#buffers.bytes
    this.#measureAt = this.#length + Math.max(1, Math.floor((rowsAtTarget - this.#length) / 2))
  }

  /** Bytes that the rows take, about: what is left after sealing. */
  #usedBytes(): number {
    let bytes = 0
    for (const builder of this.#builders) {
      const { valueBytes, offsetBytes = 0 } = builder.size()
      bytes += valueBytes + offsetBytes
    }
    return bytes
  }

  #assertEqualLengths(length: number): void {
    assert(
      this.#builders.every((builder) => builder.length === length),
      'columns of a batch have equal lengths',
    )
  }
}
