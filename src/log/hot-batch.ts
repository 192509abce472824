/**
 * A record batch in RAM: open while it takes appends, sealed after.
 *
 * Invariants:
 * - rows below `length` never change; a view of them stays right while the batch grows;
 * - `length` moves only in `commit`, so an append is seen whole or not at all;
 * - the buffers go back to the pool when the partition and every lease have let go, not before.
 */
import { assert } from '../base/assert.ts'
import type { BufferSource, ColumnBuilder } from '../format/growing-column.ts'
import { createColumnBuilder } from '../format/column-builder.ts'
import { BATCH_BYTES_TARGET, BATCH_ROWS_MAX } from '../format/limits.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import { type Schema, fieldIndex, timestampUnit } from '../format/schema.ts'
import { type TimeRange, timeRangeOf } from './time-range.ts'
import type { SlabPool } from './slab-pool.ts'

/** What one append adds to a batch besides its rows. */
export interface AppendFacts {
  readonly appendTime: number
  /** LSN of the append's first WAL byte; recovery must start no later while the batch is not flushed. */
  readonly lsn: number
}

/** Values of a batch up to which the next one begins with room for as many. */
const EXPECTED_BYTES_MAX = 0.625 * BATCH_BYTES_TARGET

export class HotBatch {
  // Fixed at construction.
  readonly schema: Schema
  readonly baseOffset: number
  readonly #source: BufferSource
  readonly #pool: SlabPool
  readonly #timeIndex: number
  readonly #fullBytes: number

  // Owned by the append loop.
  #builders: readonly ColumnBuilder[]
  #length = 0
  #isSealed = false
  #appendTimeMin = Infinity
  #appendTimeMax = -Infinity
  #firstLsn = Infinity
  #time: TimeRange = { min: Infinity, max: -Infinity }

  // Owned by whoever leases.
  #slabs: Uint8Array[] = []
  /** How many of the slabs were there at the last commit, and when the last view was taken. */
  #committedSlabs = 0
  #viewedSlabs = 0
  #slabBytes = 0
  #holders = 1

  constructor(
    schema: Schema,
    baseOffset: number,
    timeColumn: string,
    pool: SlabPool,
    previous: HotBatch | null,
  ) {
    this.schema = schema
    this.baseOffset = baseOffset
    this.#pool = pool
    this.#timeIndex = fieldIndex(schema, timeColumn)
    this.#source = { acquire: (minBytes) => this.#acquire(minBytes) }
    // A batch that follows a full one will be about as big; the first of a log starts small. One huge append says
    // nothing.
    const isAlike =
      previous !== null &&
      previous.schema.id === schema.id &&
      previous.valueBytes <= EXPECTED_BYTES_MAX
    this.#builders = schema.fields.map((field, index) =>
      createColumnBuilder(
        field.type,
        this.#source,
        isAlike ? previous.builders[index]?.size() : undefined,
      ),
    )
    // First buffers of the whole target would make the batch full before it has a row.
    this.#fullBytes = Math.max(BATCH_BYTES_TARGET, this.#slabBytes + BATCH_BYTES_TARGET / 2)
  }

  /** By field. They take rows behind the committed ones; a rollback may put others in their place. */
  get builders(): readonly ColumnBuilder[] {
    return this.#builders
  }
  get length(): number {
    return this.#length
  }
  get endOffset(): number {
    return this.baseOffset + this.#length
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
    return this.#time
  }
  /** Every byte the batch holds of the pool. */
  get bytes(): number {
    return this.#slabBytes
  }
  /** Bytes of its values, those that are staged included. */
  get valueBytes(): number {
    return this.builders.reduce((sum, builder) => sum + builder.size().valueBytes, 0)
  }
  /** Whether the next append belongs into another batch. */
  get isFull(): boolean {
    return this.#length >= BATCH_ROWS_MAX || this.#slabBytes >= this.#fullBytes
  }

  /** Publishes the rows that the builders took since the last commit, and returns how many. */
  commit(facts: AppendFacts): number {
    assert(!this.#isSealed, 'a sealed batch takes no rows')
    const length = this.builders[0]?.length ?? 0
    assert(
      this.builders.every((builder) => builder.length === length),
      'columns of a batch have equal lengths',
    )
    const added = length - this.#length
    const times = this.builders[this.#timeIndex]?.slice(this.#length, length)
    if (times !== undefined) this.#time = timeRangeOf(times, timestampUnit(times.type), this.#time)
    this.#length = length
    this.#committedSlabs = this.#slabs.length
    this.#appendTimeMin = Math.min(this.#appendTimeMin, facts.appendTime)
    this.#appendTimeMax = Math.max(this.#appendTimeMax, facts.appendTime)
    this.#firstLsn = Math.min(this.#firstLsn, facts.lsn)
    return added
  }

  /** Forgets rows that were pushed and not committed. Buffers that grew huge for them go back to the pool. */
  rollback(): void {
    for (const builder of this.builders) builder.truncate(this.#length)
    const staged = this.#slabs.slice(this.#committedSlabs)
    const bytes = staged.reduce((sum, slab) => sum + slab.length, 0)
    // A getter of a record may have taken a view meanwhile, which reads from the buffers of now.
    if (bytes <= BATCH_BYTES_TARGET || this.#viewedSlabs > this.#committedSlabs) return
    this.#slabs.length = this.#committedSlabs
    this.#slabBytes -= bytes
    this.#builders = this.#builders.map((builder) => {
      const copy = createColumnBuilder(builder.type, this.#source, builder.size())
      copy.append(builder.slice(0, this.#length))
      return copy
    })
    for (const slab of staged) this.#pool.release(slab)
  }

  seal(): void {
    this.#isSealed = true
  }

  /** The records with offsets `[from, to)` of those committed. Valid while the caller holds a lease. */
  view(from: number, to: number): RecordBatch {
    assert(
      from >= this.baseOffset && to <= this.endOffset && from <= to,
      'a view lies inside its batch',
    )
    const start = from - this.baseOffset
    const end = to - this.baseOffset
    this.#viewedSlabs = this.#slabs.length
    return {
      schema: this.schema,
      baseOffset: from,
      length: end - start,
      columns: this.builders.map((builder) => builder.slice(start, end)),
      appendTimeMin: this.#appendTimeMin,
      appendTimeMax: this.#appendTimeMax,
    }
  }

  retain(): void {
    assert(this.#holders > 0, 'a released batch is not leased again')
    this.#holders++
  }

  /** Ends one lease; the last one gives the buffers back. */
  release(): void {
    assert(this.#holders > 0, 'a lease ends once')
    this.#holders--
    if (this.#holders > 0) return
    for (const slab of this.#slabs) this.#pool.release(slab)
    this.#slabs = []
    this.#slabBytes = 0
  }

  #acquire(minBytes: number): Uint8Array {
    const slab = this.#pool.acquire(minBytes)
    this.#slabs.push(slab)
    this.#slabBytes += slab.length
    return slab
  }
}
