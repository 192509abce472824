import type { Table } from 'apache-arrow'
import { StratalogError } from '../base/errors.ts'
import { type ElementArray, elementsOf } from '../format/column-elements.ts'
import { columnReader } from '../format/column-values.ts'
import { type ColumnData, isValidAt } from '../format/column.ts'
import type { Tier } from '../format/manifest.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import { type LazyRow, type RowReader, rowShape } from '../format/row-reader.ts'
import type { ColumnType, Field } from '../format/schema.ts'
import type { BatchLayout } from './batch-layout.ts'

/** A record as a plain object: the user's columns, then the system columns that were asked for. */
export type RecordRow = Record<string, unknown>

/**
 * One column of a batch. As the batch, it is right until the iterator that gave the batch moves on.
 *
 * @example
 * for await (const batch of trades.read({ columns: ['price'] })) {
 *   const prices = batch.column('price').values as Float64Array
 *   for (let row = 0; row < prices.length; row++) total += prices[row]
 * }
 */
export class BatchColumn {
  readonly name: string
  readonly type: ColumnType
  readonly length: number
  readonly nullCount: number
  readonly #column: ColumnData
  #read: ((row: number) => unknown) | null = null

  constructor(name: string, column: ColumnData) {
    this.name = name
    this.type = column.type
    this.length = column.length
    this.nullCount = column.nullCount
    this.#column = column
  }

  /**
   * The values as the typed array of their type, not copied: `Int32Array` for int32, `BigInt64Array` for int64 and
   * timestamps (counts in their unit), and so on. At a null stands anything: see `isValid`, or `nullCount` being 0.
   * Null for types that no typed array holds: bool, decimal, text, JSON, binary, lists and structs; see `get`.
   */
  get values(): ElementArray | null {
    return elementsOf(this.#column)
  }

  /** Which rows have a value: a bitmap, least significant bit first; null where all have. */
  get validity(): Uint8Array | null {
    return this.#column.validity
  }

  isValid(row: number): boolean {
    return isValidAt(this.#column, row)
  }

  /** The value of a row as JavaScript has it; null where there is none. `row` is below `length`. */
  get(row: number): unknown {
    this.#read ??= columnReader(this.#column)
    return this.#read(row)
  }

  /** Every value, as `get` gives it. Nothing of the batch is kept. */
  toArray(): unknown[] {
    const read = columnReader(this.#column)
    return Array.from({ length: this.length }, (_, row) => read(row))
  }
}

/** What a batch holds, and how its columns are found; see `Batch`. */
export interface BatchSource {
  readonly batch: RecordBatch
  readonly layout: BatchLayout
  readonly partition: number
  readonly tier: Tier
  /** What ends the lease once it is collected; kept from that by the batch. */
  readonly holder: object | null
  /** By row; null or absent where offsets follow one another. */
  readonly offsets?: Float64Array | null
}

/**
 * Records of one partition, as columns. Their offsets follow one another, but for those of a latest view. Its buffers
 * are leased: they are right until the iterator that gave it moves on; copy what is kept longer (`toRows` does).
 *
 * @example
 * for await (const batch of clicks.read({ from: 100 })) console.log(batch.baseOffset, batch.length, batch.tier)
 */
export class Batch {
  readonly partition: number
  /** Offset of the first record. */
  readonly baseOffset: number
  /** How many records. */
  readonly length: number
  /** Which copy served these records. */
  readonly tier: Tier
  /** By row; null where they follow one another from `baseOffset` on. */
  readonly offsets: Float64Array | null
  readonly #source: BatchSource
  #columns: readonly ColumnData[] | null = null

  constructor(source: BatchSource) {
    const { batch, partition, tier, offsets = null } = source
    this.offsets = offsets
    this.partition = partition
    this.baseOffset = batch.baseOffset
    this.length = batch.length
    this.tier = tier
    this.#source = source
  }

  get fields(): readonly Field[] {
    return this.#source.layout.fields
  }

  /** `columns[i]` belongs to `fields[i]`, in Arrow's physical layout. */
  get columns(): readonly ColumnData[] {
    const { batch, layout } = this.#source
    this.#columns ??= layout.fields.map((_, index) => layout.column(index, batch, this))
    return this.#columns
  }

  /** One of the columns that were asked for. @throws StratalogError `argument_invalid` when it is none of them. */
  column(name: string): BatchColumn {
    const { batch, layout } = this.#source
    const index = layout.names.indexOf(name)
    if (index === -1) {
      throw new StratalogError(
        'argument_invalid',
        `The batch has no column ${JSON.stringify(name)}; it has ${layout.names.join(', ')}.`,
        { details: { column: name } },
      )
    }
    const column = this.#columns?.[index] ?? layout.column(index, batch, this)
    return new BatchColumn(name, column)
  }

  /** Every record as an object of its own; nothing of the batch is kept. */
  toRows(): RecordRow[] {
    return this.#rowReader().rows(0, this.length)
  }

  /** The records as `toRows` makes them, one at a time: for a loop that keeps none of them, or not all. */
  rows(): IterableIterator<RecordRow, undefined> {
    return new BatchRows(this, this.#rowReader().row)
  }

  /**
   * The records as one view that goes from row to row: `row.price` decodes the price, and nothing else is decoded.
   * It is one and the same object in every turn of the loop, and shows its record only until the next turn; keep
   * values, or `row.toObject()`, never the row. A column named `toObject` hides the method.
   *
   * @example
   * for (const row of batch.lazyRows()) if (row.amount > 100) total += row.price
   */
  lazyRows(): IterableIterator<LazyRow, undefined> {
    const { batch, layout } = this.#source
    const cells = layout.cells(batch, this)
    const cursor = rowShape(layout.names, cells).cursor()
    cursor.attach(cells)
    const { row, move } = cursor
    return new BatchRows(this, (index) => {
      move(index)
      return row
    })
  }

  /** An `apache-arrow` Table of the same columns, copied. */
  async toArrow(): Promise<Table> {
    const { toArrowTable } = await import('../format/arrow-output.ts')
    return toArrowTable(this.fields, [this])
  }

  /** The batch as an Arrow IPC stream. */
  async toArrowStream(): Promise<Uint8Array> {
    const { encodeIpcStream } = await import('../format/arrow-output.ts')
    return Buffer.concat([...encodeIpcStream(this.fields, [this])])
  }

  #rowReader(): RowReader {
    const { batch, layout } = this.#source
    const cells = layout.cells(batch, this)
    return rowShape(layout.names, cells).reader(cells)
  }
}

/** Gives one result object again and again, so that a loop over rows makes no garbage beside them. */
class BatchRows<Row> implements IterableIterator<Row, undefined> {
  /** Kept as long as its rows are read: who has the batch has its lease. */
  readonly #batch: Batch
  readonly #rowAt: (row: number) => Row
  readonly #result: { done: false; value: Row | undefined } = { done: false, value: undefined }
  #next = 0

  constructor(batch: Batch, rowAt: (row: number) => Row) {
    this.#batch = batch
    this.#rowAt = rowAt
  }

  next(): IteratorResult<Row, undefined> {
    if (this.#next >= this.#batch.length) return { done: true, value: undefined }
    this.#result.value = this.#rowAt(this.#next++)
    return this.#result as IteratorYieldResult<Row>
  }

  [Symbol.iterator](): this {
    return this
  }
}
