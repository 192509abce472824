/**
 * The newest record of each key of one partition, kept as records come in offset order. Offsets decide what is newest;
 * times do not. A tombstone takes its key away, and a record whose key is null is of no key.
 *
 * Keys are equal when their values are: a key is the bytes that its type has for it. All records come in one type.
 */
import { assert } from '../base/assert.ts'
import { type ColumnData, codesOf, float64View, isValidAt } from '../format/column.ts'
import { columnReader } from '../format/column-values.ts'
import { type RecordBatch, endOffset } from '../format/record-batch.ts'
import { type ColumnType, TOMBSTONE_COLUMN, columnLayout, fieldIndex } from '../format/schema.ts'
import { KeyTable, NO_OFFSET } from './key-table.ts'
import { OffsetSet } from './offset-set.ts'

/** Fewer are left where they are. */
const FORGOTTEN_MIN = 1_000

export class LatestKeys {
  /** Of the key column. */
  readonly type: ColumnType
  readonly #table = new KeyTable()
  readonly #live: OffsetSet
  #start: number
  #next: number

  constructor(type: ColumnType, start: number) {
    this.type = type
    this.#live = new OffsetSet(start)
    this.#start = start
    this.#next = start
  }

  /** Of records before it nothing is known. */
  get start(): number {
    return this.#start
  }

  /** Everything before it was taken. */
  get next(): number {
    return this.#next
  }

  get bytes(): number {
    return this.#table.bytes + this.#live.bytes
  }

  get count(): number {
    return this.#table.count
  }

  /** Where the newest record is of the key in the first row of a column; null where there is none. */
  offsetOf(key: ColumnData): number | null {
    if (!isValidAt(key, 0)) return null
    const { bytes, offsets, width } = keyBytes(key)
    const [start, end] = offsets === null ? [0, width] : [offsets[0] ?? 0, offsets[1] ?? 0]
    const offset = this.#table.get(bytes, start, end)
    return offset === NO_OFFSET ? null : offset
  }

  /** Offsets of the newest records in `[from, to)`, which ends where everything was taken. */
  offsets(from: number, to: number): OffsetSet {
    return this.#live.copy(from, to)
  }

  countBetween(from: number, to: number): number {
    return this.#live.count(from, to)
  }

  /** Takes the next records. @throws StratalogError `query_limit` for more keys than are kept. */
  add(batch: RecordBatch, keyColumn: string): void {
    const keys = batch.columns[fieldIndex(batch.schema, keyColumn)]
    if (keys !== undefined) {
      assert(keys.type === this.type, 'keys come in one type')
      const deleted = batch.columns[fieldIndex(batch.schema, TOMBSTONE_COLUMN)]
      const isDeleted = deleted === undefined ? null : columnReader(deleted)
      if (keys.dictionary === null) this.#addRows(batch, keys, isDeleted)
      else this.#addCodes(batch, keys, keys.dictionary, isDeleted)
    }
    this.#next = endOffset(batch)
  }

  /** Says that everything is taken up to there: what was not, nobody has. */
  skipTo(offset: number): void {
    this.#next = Math.max(this.#next, offset)
  }

  /** Forgets keys whose newest record lies before `start`, and deleted ones, once they are more than the others. */
  forget(start: number): void {
    const kept = this.#live.count(start, this.#next)
    if (this.#table.entryCount <= 2 * kept + FORGOTTEN_MIN) return
    this.#start = start
    this.#table.forget(start)
    this.#live.forget(start)
  }

  #addRows(
    { baseOffset, length }: RecordBatch,
    keys: ColumnData,
    isDeleted: ((row: number) => unknown) | null,
  ): void {
    const { bytes, offsets, width } = keyBytes(keys)
    for (let row = 0; row < length; row++) {
      if (!isValidAt(keys, row)) continue
      const start = offsets === null ? row * width : (offsets[row] ?? 0)
      const end = offsets === null ? start + width : (offsets[row + 1] ?? 0)
      this.#set(bytes, start, end, baseOffset + row, isDeleted?.(row) === true)
    }
  }

  /** Of a dictionary only the last row of each code counts. */
  #addCodes(
    { baseOffset, length }: RecordBatch,
    keys: ColumnData,
    dictionary: ColumnData,
    isDeleted: ((row: number) => unknown) | null,
  ): void {
    const codes = codesOf(keys)
    const last = new Int32Array(dictionary.length).fill(-1)
    for (let row = 0; row < length; row++) if (isValidAt(keys, row)) last[codes[row] ?? 0] = row
    const { bytes, offsets } = keyBytes(dictionary)
    // In the order of the rows: a dictionary may have a word twice.
    const rows = [...last.entries()].filter(([, row]) => row >= 0).sort(([, a], [, b]) => a - b)
    for (const [code, row] of rows) {
      const [start, end] = [offsets?.[code] ?? 0, offsets?.[code + 1] ?? 0]
      this.#set(bytes, start, end, baseOffset + row, isDeleted?.(row) === true)
    }
  }

  #set(bytes: Uint8Array, start: number, end: number, offset: number, isDeleted: boolean): void {
    const before = this.#table.set(bytes, start, end, isDeleted ? NO_OFFSET : offset)
    if (before !== NO_OFFSET) this.#live.delete(before)
    if (!isDeleted) this.#live.add(offset)
  }
}

/** Where the key of each row lies: between offsets, or so many bytes a row. */
interface KeyBytes {
  readonly bytes: Uint8Array
  readonly offsets: Int32Array | null
  readonly width: number
}

export function keyBytes(column: ColumnData): KeyBytes {
  const { type, values, offsets, length } = column
  if (offsets !== null) return { bytes: values, offsets, width: 0 }
  const layout = columnLayout(type)
  if (layout.kind === 'bits') {
    const bytes = new Uint8Array(length)
    for (let row = 0; row < length; row++) bytes[row] = ((values[row >> 3] ?? 0) >> (row & 7)) & 1
    return { bytes, offsets: null, width: 1 }
  }
  assert(layout.kind === 'fixed', 'a key is a scalar')
  const bytes = type === 'float64' || type === 'float32' ? plainFloats(column) : values
  return { bytes, offsets: null, width: layout.byteWidth }
}

/** Floats that are equal as keys in the same bytes: one zero, and one NaN. */
function plainFloats({ type, values, length }: ColumnData): Uint8Array {
  const floats =
    type === 'float64'
      ? Float64Array.from(float64View(values))
      : Float32Array.from(new Float32Array(values.buffer, values.byteOffset, length))
  for (let row = 0; row < length; row++) {
    const value = floats[row] ?? 0
    if (value === 0) floats[row] = 0
    else if (Number.isNaN(value)) floats[row] = NaN
  }
  return new Uint8Array(floats.buffer)
}
