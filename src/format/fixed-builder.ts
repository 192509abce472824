/** Growing columns of fixed width, and of bits. */
import { assert } from '../base/assert.ts'
import { type ColumnData, bitmapBytes, isValidAt, sliceBitmap } from './column.ts'
import { type FixedWriter, fixedWriter } from './fixed-values.ts'
import {
  type BufferSource,
  type ColumnBuilder,
  type ColumnSize,
  INITIAL_BYTES,
  type PushResult,
  ValidityBuilder,
  appendValidity,
  grown,
  setBit,
} from './growing-column.ts'
import type { ColumnType } from './schema.ts'

export class FixedBuilder implements ColumnBuilder {
  readonly type: ColumnType
  length = 0
  readonly #byteWidth: number
  readonly #source: BufferSource
  readonly #validity: ValidityBuilder
  readonly #writer: FixedWriter
  #values: Uint8Array

  constructor(type: ColumnType, byteWidth: number, source: BufferSource, expected: ColumnSize) {
    this.type = type
    this.#byteWidth = byteWidth
    this.#source = source
    this.#validity = new ValidityBuilder(source)
    this.#values = source.acquire(Math.max(INITIAL_BYTES, expected.valueBytes))
    this.#writer = fixedWriter(type)
    this.#writer.attach(this.#values)
  }

  push(value: unknown): PushResult {
    this.#reserve(1)
    const isNull = value === null || value === undefined
    if (isNull) {
      const position = this.length * this.#byteWidth
      this.#values.fill(0, position, position + this.#byteWidth)
    } else if (!this.#writer.write(this.length, value)) {
      return 'mismatch'
    }
    this.#validity.set(this.length, !isNull)
    this.length++
    return 'ok'
  }

  pushAll(values: readonly unknown[], count: number): number {
    this.#reserve(count)
    const nullCount = this.#writer.writeAll(this.length, values, count)
    if (nullCount < 0) return -1
    this.#validity.setAll(this.length, values, count, nullCount)
    this.length += count
    return nullCount
  }

  append(column: ColumnData): void {
    assert(column.type === this.type, 'a column is appended to one of its type')
    this.#reserve(column.length)
    const byteCount = column.length * this.#byteWidth
    this.#values.set(column.values.subarray(0, byteCount), this.length * this.#byteWidth)
    appendValidity(this.#validity, column, this.length)
    this.length += column.length
  }

  truncate(length: number): void {
    this.length = length
  }

  size(): ColumnSize {
    return { rows: this.length, valueBytes: this.length * this.#byteWidth }
  }

  slice(start: number, end: number): ColumnData {
    const { validity, nullCount } = this.#validity.slice(start, end)
    const values = this.#values.subarray(start * this.#byteWidth, end * this.#byteWidth)
    return {
      type: this.type,
      length: end - start,
      nullCount,
      validity,
      offsets: null,
      values,
      dictionary: null,
    }
  }

  #reserve(rows: number): void {
    const needed = (this.length + rows) * this.#byteWidth
    if (needed <= this.#values.length) return
    this.#values = grown(this.#values, needed, this.#source)
    this.#writer.attach(this.#values)
  }
}

export class BitsBuilder implements ColumnBuilder {
  readonly type: ColumnType
  length = 0
  readonly #source: BufferSource
  readonly #validity: ValidityBuilder
  #bits: Uint8Array

  constructor(type: ColumnType, source: BufferSource) {
    this.type = type
    this.#source = source
    this.#validity = new ValidityBuilder(source)
    this.#bits = source.acquire(INITIAL_BYTES)
  }

  push(value: unknown): PushResult {
    const isNull = value === null || value === undefined
    if (!isNull && typeof value !== 'boolean') return 'mismatch'
    this.#pushBit(value === true)
    this.#validity.set(this.length, !isNull)
    this.length++
    return 'ok'
  }

  pushAll(values: readonly unknown[], count: number): number {
    let nullCount = 0
    for (let index = 0; index < count; index++) {
      const value = values[index]
      if (value === null || value === undefined) nullCount++
      if (this.push(value) !== 'ok') return -1
    }
    return nullCount
  }

  append(column: ColumnData): void {
    assert(column.type === this.type, 'a column is appended to one of its type')
    for (let row = 0; row < column.length; row++) {
      this.#pushBit((((column.values[row >> 3] ?? 0) >> (row & 7)) & 1) === 1)
      this.#validity.set(this.length, isValidAt(column, row))
      this.length++
    }
  }

  truncate(length: number): void {
    this.length = length
  }

  size(): ColumnSize {
    return { rows: this.length, valueBytes: bitmapBytes(this.length) }
  }

  slice(start: number, end: number): ColumnData {
    const { validity, nullCount } = this.#validity.slice(start, end)
    const values = sliceBitmap(this.#bits, start, end - start)
    return {
      type: this.type,
      length: end - start,
      nullCount,
      validity,
      offsets: null,
      values,
      dictionary: null,
    }
  }

  #pushBit(isSet: boolean): void {
    if (this.length >> 3 >= this.#bits.length) {
      this.#bits = grown(this.#bits, (this.length >> 3) + 1, this.#source)
    }
    setBit(this.#bits, this.length, isSet)
  }
}
