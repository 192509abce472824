/** Growing columns of fixed width, and of bits. */
import { assert } from '../base/assert.ts'
import { clearBitsFrom, copyBits } from './bits.ts'
import { type ColumnData, bitmapBytes, sliceBitmap } from './column.ts'
import { copyBytes } from './copy-bytes.ts'
import { type FixedCells, type FixedValues, fixedValues, writeWide } from './fixed-values.ts'
import {
  type BufferSource,
  type ColumnBuilder,
  type ColumnSize,
  NO_BYTES,
  type PushResult,
  ValidityBuilder,
  grown,
} from './growing-column.ts'
import type { ColumnType } from './schema.ts'

/**
 * A column that a row writer (row-writer.ts) fills cell by cell: `reserve`, then `cells` from row `length` on, `write`
 * and `setNull`, and last `advance`. Until then the column is as it was.
 */
export interface CellColumn {
  readonly length: number
  /** Where the rows lie; another view after each `reserve`. */
  readonly cells: FixedCells
  /** Makes room for the next `count` rows, none of them null. */
  reserve(count: number): void
  /** Writes a value that is not null into a reserved row; false when it is not one of the type. */
  write(row: number, value: unknown): boolean
  setNull(row: number): void
  advance(count: number): void
}

export class FixedBuilder implements ColumnBuilder, CellColumn {
  readonly type: ColumnType
  length = 0
  cells: FixedCells
  readonly #format: FixedValues
  readonly #source: BufferSource
  readonly #validity: ValidityBuilder
  readonly #expectedBytes: number
  #values: Uint8Array = NO_BYTES
  #reservedEnd = 0

  constructor(type: ColumnType, source: BufferSource, expected: ColumnSize) {
    this.type = type
    this.#format = fixedValues(type)
    this.#source = source
    this.#validity = new ValidityBuilder(source)
    this.#expectedBytes = expected.valueBytes
    this.cells = this.#format.over(NO_BYTES)
  }

  push(value: unknown): PushResult {
    this.reserve(1)
    if (value === null || value === undefined) this.setNull(this.length)
    else if (!this.write(this.length, value)) return 'mismatch'
    this.length++
    return 'ok'
  }

  pushAll(values: readonly unknown[], count: number): number {
    this.reserve(count)
    let nullCount = 0
    for (let index = 0; index < count; index++) {
      const value = values[index]
      if (value === null || value === undefined) {
        nullCount++
        this.setNull(this.length + index)
      } else if (!this.write(this.length + index, value)) return -1
    }
    this.length += count
    return nullCount
  }

  /** Appends `count` rows that all hold the same whole number; for types of 64 bits. */
  pushRepeated(value: number, count: number): void {
    this.reserve(count)
    for (let row = this.length; row < this.length + count; row++) writeWide(this.cells, row, value)
    this.length += count
  }

  append(column: ColumnData): void {
    assert(column.type === this.type, 'a column is appended to one of its type')
    const { byteWidth } = this.#format
    this.#reserveValues(column.length)
    const byteCount = column.length * byteWidth
    const { values } = column
    copyBytes(
      this.#values,
      this.length * byteWidth,
      values.byteLength === byteCount ? values : values.subarray(0, byteCount),
    )
    this.#validity.append(column, this.length)
    this.length += column.length
  }

  reserve(count: number): void {
    this.#reserveValues(count)
    this.#reservedEnd = this.length + count
    this.#validity.reserve(this.length, count)
  }

  write(row: number, value: unknown): boolean {
    return this.#format.write(this.cells, row, value)
  }

  setNull(row: number): void {
    this.#format.writeZero(this.cells, row)
    this.#validity.clear(row, this.#reservedEnd)
  }

  advance(count: number): void {
    this.length += count
  }

  truncate(length: number): void {
    this.length = length
  }

  size(): ColumnSize {
    return { rows: this.length, valueBytes: this.length * this.#format.byteWidth }
  }

  seal(): void {
    if (this.#values.length === 0) return
    this.#values = this.#source.shrink(this.#values, this.length * this.#format.byteWidth)
    this.cells = this.#format.over(this.#values)
    this.#validity.seal(this.length)
  }

  numberAt(row: number): number {
    return this.#format.numberAt(this.cells, row)
  }

  slice(start: number, end: number): ColumnData {
    const { validity, nullCount } = this.#validity.slice(start, end)
    const { byteWidth } = this.#format
    return {
      type: this.type,
      length: end - start,
      nullCount,
      validity,
      offsets: null,
      values: this.#values.subarray(start * byteWidth, end * byteWidth),
      dictionary: null,
    }
  }

  #reserveValues(count: number): void {
    const { byteWidth } = this.#format
    const needed = (this.length + count) * byteWidth
    if (needed <= this.#values.length) return
    const wanted = Math.max(needed, this.#expectedBytes)
    this.#values = grown(this.#values, this.length * byteWidth, wanted, this.#source)
    this.cells = this.#format.over(this.#values)
  }
}

export class BitsBuilder implements ColumnBuilder, CellColumn {
  readonly type: ColumnType
  length = 0
  /** Eight rows each; those that are reserved are 0. */
  cells: Uint8Array = NO_BYTES
  readonly #source: BufferSource
  readonly #validity: ValidityBuilder
  #reservedEnd = 0

  constructor(type: ColumnType, source: BufferSource) {
    this.type = type
    this.#source = source
    this.#validity = new ValidityBuilder(source)
  }

  push(value: unknown): PushResult {
    this.reserve(1)
    if (value === null || value === undefined) this.setNull(this.length)
    else if (!this.write(this.length, value)) return 'mismatch'
    this.length++
    return 'ok'
  }

  pushAll(values: readonly unknown[], count: number): number {
    this.reserve(count)
    let nullCount = 0
    for (let index = 0; index < count; index++) {
      const value = values[index]
      if (value === null || value === undefined) {
        nullCount++
        this.setNull(this.length + index)
      } else if (!this.write(this.length + index, value)) return -1
    }
    this.length += count
    return nullCount
  }

  append(column: ColumnData): void {
    assert(column.type === this.type, 'a column is appended to one of its type')
    this.#reserveBits(column.length)
    copyBits(this.cells, this.length, column.values, column.length)
    this.#validity.append(column, this.length)
    this.length += column.length
  }

  reserve(count: number): void {
    this.#reserveBits(count)
    clearBitsFrom(this.cells, this.length, count)
    this.#reservedEnd = this.length + count
    this.#validity.reserve(this.length, count)
  }

  write(row: number, value: unknown): boolean {
    if (value === true) this.cells[row >> 3] = (this.cells[row >> 3] ?? 0) | (1 << (row & 7))
    return typeof value === 'boolean'
  }

  setNull(row: number): void {
    this.#validity.clear(row, this.#reservedEnd)
  }

  advance(count: number): void {
    this.length += count
  }

  truncate(length: number): void {
    this.length = length
  }

  size(): ColumnSize {
    return { rows: this.length, valueBytes: bitmapBytes(this.length) }
  }

  seal(): void {
    if (this.cells.length === 0) return
    this.cells = this.#source.shrink(this.cells, bitmapBytes(this.length))
    this.#validity.seal(this.length)
  }

  numberAt(row: number): number {
    return ((this.cells[row >> 3] ?? 0) >> (row & 7)) & 1
  }

  slice(start: number, end: number): ColumnData {
    const { validity, nullCount } = this.#validity.slice(start, end)
    return {
      type: this.type,
      length: end - start,
      nullCount,
      validity,
      offsets: null,
      values: sliceBitmap(this.cells, start, end - start),
      dictionary: null,
    }
  }

  #reserveBits(count: number): void {
    const needed = bitmapBytes(this.length + count)
    if (needed <= this.cells.length) return
    this.cells = grown(this.cells, bitmapBytes(this.length), needed, this.#source)
  }
}
