/** Growing columns of text, JSON and bytes. */
import { assert, present } from '../base/assert.ts'
import { type ColumnData, isValidAt } from './column.ts'
import {
  type BufferSource,
  type ColumnBuilder,
  type ColumnSize,
  INITIAL_BYTES,
  type PushResult,
  ValidityBuilder,
  appendValidity,
  grown,
} from './growing-column.ts'
import { VALUE_BYTES_MAX } from './limits.ts'
import type { ColumnType } from './schema.ts'

/** More text at once is looked at value by value: a huge one is refused by itself. */
const STRETCH_BYTES_MAX = VALUE_BYTES_MAX
/** Texts of more characters than this on average are written one by one. */
const JOINED_MEAN_MAX = 24

export class VariableBuilder implements ColumnBuilder {
  readonly type: ColumnType
  length = 0
  readonly #source: BufferSource
  readonly #validity: ValidityBuilder
  #offsets: Int32Array
  #values: Buffer

  constructor(type: ColumnType, source: BufferSource, expected: ColumnSize) {
    this.type = type
    this.#source = source
    this.#validity = new ValidityBuilder(source)
    this.#offsets = int32Over(source.acquire(Math.max(INITIAL_BYTES, (expected.rows + 1) * 4)))
    this.#offsets[0] = 0
    this.#values = bufferOver(source.acquire(Math.max(INITIAL_BYTES, expected.valueBytes)))
  }

  push(value: unknown): PushResult {
    this.#reserveRows(1)
    const start = this.#offsets[this.length] ?? 0
    let end = start
    const isNull = value === null || value === undefined
    if (!isNull) {
      const written =
        this.type === 'binary' ? this.#writeBytes(value, start) : this.#writeText(value, start)
      if (typeof written === 'string') return written
      end = start + written
    }
    this.#offsets[this.length + 1] = end
    this.#validity.set(this.length, !isNull)
    this.length++
    return 'ok'
  }

  pushAll(values: readonly unknown[], count: number): number {
    return this.type === 'utf8' ? this.#pushTexts(values, count) : this.#pushEach(values, count)
  }

  append(column: ColumnData): void {
    assert(column.type === this.type, 'a column is appended to one of its type')
    if (column.dictionary !== null) {
      this.#appendDictionary(column, column.dictionary)
      return
    }
    const offsets = column.offsets
    assert(offsets !== null, 'a variable column has offsets')
    this.#reserveRows(column.length)
    const first = offsets[0] ?? 0
    const byteCount = (offsets[column.length] ?? 0) - first
    const start = this.#offsets[this.length] ?? 0
    this.#reserveBytes(start + byteCount)
    this.#values.set(column.values.subarray(first, first + byteCount), start)
    const shift = start - first
    const own = this.#offsets
    const base = this.length
    for (let row = 1; row <= column.length; row++) own[base + row] = (offsets[row] ?? 0) + shift
    appendValidity(this.#validity, column, base)
    this.length += column.length
  }

  truncate(length: number): void {
    this.length = length
  }

  size(): ColumnSize {
    return { rows: this.length, valueBytes: this.#offsets[this.length] ?? 0 }
  }

  slice(start: number, end: number): ColumnData {
    const { validity, nullCount } = this.#validity.slice(start, end)
    const byteEnd = this.#offsets[end] ?? 0
    return {
      type: this.type,
      length: end - start,
      nullCount,
      validity,
      offsets: this.#offsets.subarray(start, end + 1),
      values: this.#values.subarray(0, byteEnd),
      dictionary: null,
    }
  }

  /**
   * Texts that are ASCII, which is seen by their byte counts; others go one by one. Short ones are joined, so that one
   * native call encodes them all; joining long ones would only make garbage.
   */
  #pushTexts(values: readonly unknown[], count: number): number {
    let length = 0
    let longest = 0
    let nullCount = 0
    for (let index = 0; index < count; index++) {
      const value = values[index]
      if (typeof value === 'string') {
        length += value.length
        if (value.length > longest) longest = value.length
      } else if (value === null || value === undefined) nullCount++
      else return -1
    }
    if (length > STRETCH_BYTES_MAX) return -1
    this.#reserveRows(count)
    const start = this.#offsets[this.length] ?? 0
    const isLong = length > count * JOINED_MEAN_MAX
    // Up to the first text that is not ASCII there is room for all of it: one cut off by the end could be as long as if
    // it were ASCII.
    this.#reserveBytes(start + length + (isLong ? 2 * longest : 0))
    const isAscii = isLong
      ? this.#writeEachAscii(values, count, start)
      : this.#writeJoinedAscii(values, count, start, length)
    if (!isAscii) return this.#pushEach(values, count)
    const offsets = this.#offsets
    const first = this.length + 1
    let end = start
    for (let index = 0; index < count; index++) {
      const value = values[index]
      if (typeof value === 'string') end += value.length
      offsets[first + index] = end
    }
    this.#validity.setAll(this.length, values, count, nullCount)
    this.length += count
    return nullCount
  }

  #writeEachAscii(values: readonly unknown[], count: number, start: number): boolean {
    let position = start
    for (let index = 0; index < count; index++) {
      const value = values[index]
      if (typeof value !== 'string') continue
      if (this.#values.write(value, position, 'utf8') !== value.length) return false
      position += value.length
    }
    return true
  }

  #writeJoinedAscii(
    values: readonly unknown[],
    count: number,
    start: number,
    length: number,
  ): boolean {
    // Nulls join as nothing.
    const joined = (values.length === count ? values : values.slice(0, count)).join('')
    if (Buffer.byteLength(joined) !== length) return false
    this.#values.write(joined, start, length, 'latin1')
    return true
  }

  #pushEach(values: readonly unknown[], count: number): number {
    const start = this.size().valueBytes
    let nullCount = 0
    for (let index = 0; index < count; index++) {
      const value = values[index]
      if (value === null || value === undefined) nullCount++
      if (this.push(value) !== 'ok') return -1
      // One value may stand in every row; that it is too much is said by who looks at row after row.
      if ((this.#offsets[this.length] ?? 0) - start > STRETCH_BYTES_MAX) return -1
    }
    return nullCount
  }

  /** Copies the text of each code; the entries are short and repeat, so bytes are copied one by one. */
  #appendDictionary(column: ColumnData, dictionary: ColumnData): void {
    const codes = new Int32Array(column.values.buffer, column.values.byteOffset, column.length)
    const entries = present(dictionary.offsets, 'a dictionary is of a variable type')
    this.#reserveRows(column.length)
    let byteCount = 0
    for (let row = 0; row < column.length; row++) {
      const code = codes[row] ?? 0
      if (isValidAt(column, row)) byteCount += (entries[code + 1] ?? 0) - (entries[code] ?? 0)
    }
    let end = this.#offsets[this.length] ?? 0
    this.#reserveBytes(end + byteCount)
    const values = this.#values
    const text = dictionary.values
    for (let row = 0; row < column.length; row++) {
      const code = codes[row] ?? 0
      const isValid = isValidAt(column, row)
      const entryEnd = isValid ? (entries[code + 1] ?? 0) : 0
      for (let at = isValid ? (entries[code] ?? 0) : 0; at < entryEnd; at++)
        values[end++] = text[at] ?? 0
      this.#offsets[this.length + 1] = end
      this.#validity.set(this.length, isValid)
      this.length++
    }
  }

  #writeText(value: unknown, start: number): number | PushResult {
    const text = this.type === 'json' ? jsonText(value) : value
    if (typeof text !== 'string') return 'mismatch'
    if (!text.isWellFormed()) return 'ill_formed'
    if (text.length > VALUE_BYTES_MAX) return 'too_large'
    // A UTF-16 unit takes at most 3 bytes of UTF-8.
    this.#reserveBytes(start + text.length * 3)
    const written = this.#values.write(text, start, 'utf8')
    return written > VALUE_BYTES_MAX ? 'too_large' : written
  }

  #writeBytes(value: unknown, start: number): number | PushResult {
    const bytes = value instanceof ArrayBuffer ? new Uint8Array(value) : value
    if (!(bytes instanceof Uint8Array)) return 'mismatch'
    if (bytes.length > VALUE_BYTES_MAX) return 'too_large'
    this.#reserveBytes(start + bytes.length)
    this.#values.set(bytes, start)
    return bytes.length
  }

  #reserveRows(rows: number): void {
    const needed = (this.length + rows + 1) * 4
    if (needed <= this.#offsets.byteLength) return
    const bytes = new Uint8Array(
      this.#offsets.buffer,
      this.#offsets.byteOffset,
      this.#offsets.byteLength,
    )
    this.#offsets = int32Over(grown(bytes, needed, this.#source))
  }

  #reserveBytes(needed: number): void {
    if (needed > this.#values.length)
      this.#values = bufferOver(grown(this.#values, needed, this.#source))
  }
}

/** Classes whose contents JSON leaves out, without a word: `{}` is not what the caller has. */
const OPAQUE_CLASSES = [Map, Set, WeakMap, WeakSet, Promise, RegExp] as const

/**
 * JSON of a value; undefined where there is none, as for a bigint or a circle. What a getter or a `toJSON` throws goes
 * on to the caller, unless it is a TypeError.
 */
function jsonText(value: unknown): string | undefined {
  if (OPAQUE_CLASSES.some((opaque) => value instanceof opaque)) return undefined
  try {
    return JSON.stringify(value)
  } catch (error) {
    if (error instanceof TypeError) return undefined
    throw error
  }
}

function int32Over(bytes: Uint8Array): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2)
}

function bufferOver(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength)
}
