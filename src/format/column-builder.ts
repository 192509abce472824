/**
 * Growing columns: the append-only buffers of an open batch.
 *
 * Invariants: bytes of rows below `length` never change, so a view taken at any time stays right while the column grows
 * (bits of later rows may change in the last byte of a bitmap; readers mask by length). When a buffer is too small a
 * bigger one takes its place and the old one stays as it was for whoever still reads it. Buffers come from a
 * BufferSource, which owns them; a builder never frees one.
 */
import { assert, present } from '../base/assert.ts'
import { type ColumnData, bitmapBytes, countBits, isValidAt, sliceBitmap } from './column.ts'
import { type ColumnType, columnLayout } from './schema.ts'
import { type FixedWriter, fixedWriter } from './fixed-values.ts'
import { VALUE_BYTES_MAX } from './limits.ts'

/** Hands out buffers of at least `minBytes`, aligned to 8, with unspecified contents. */
export interface BufferSource {
  acquire(minBytes: number): Uint8Array
}

/** Why a value was not taken. */
export type PushResult = 'ok' | 'mismatch' | 'too_large' | 'ill_formed'

export interface ColumnBuilder {
  readonly type: ColumnType
  readonly length: number
  /** Appends a value; null and undefined append a null. Anything but `ok` leaves the column unchanged. */
  push(value: unknown): PushResult
  /**
   * Appends `values[0..count)`. Returns how many were null, or -1 when not all were taken: then the column holds
   * anything behind its old rows, and the caller truncates it.
   */
  pushAll(values: readonly unknown[], count: number): number
  /** Appends a column of the same type; a dictionary column is decoded. */
  append(column: ColumnData): void
  /** Forgets the rows from `length` on: how a failed append is undone. */
  truncate(length: number): void
  /** Rows and bytes of values so far. */
  size(): ColumnSize
  /** Rows `[start, end)`, sharing this builder's buffers where alignment allows. */
  slice(start: number, end: number): ColumnData
}

export interface ColumnSize {
  readonly rows: number
  readonly valueBytes: number
}

const INITIAL_BYTES = 256
/** More text at once is looked at value by value: a huge one is refused by itself. */
const STRETCH_BYTES_MAX = VALUE_BYTES_MAX
/** Texts of more characters than this on average are written one by one. */
const JOINED_MEAN_MAX = 24
const NO_SIZE: ColumnSize = { rows: 0, valueBytes: 0 }

/** `expected` is what a column of the same kind came to before; a first buffer of that size saves growing into it. */
export function createColumnBuilder(
  type: ColumnType,
  source: BufferSource,
  expected: ColumnSize = NO_SIZE,
): ColumnBuilder {
  const layout = columnLayout(type)
  if (layout.kind === 'bits') return new BitsBuilder(type, source)
  if (layout.kind === 'fixed') return new FixedBuilder(type, layout.byteWidth, source, expected)
  return new VariableBuilder(type, source, expected)
}

/** The bitmap of which rows are there; takes no memory until the first null. */
class ValidityBuilder {
  #bits: Uint8Array | null = null
  readonly #source: BufferSource

  constructor(source: BufferSource) {
    this.#source = source
  }

  /** Whether no row was null so far; then rows that are there need not be told. */
  get isAllValid(): boolean {
    return this.#bits === null
  }

  /** Says whether row `row`, the next one, is there. */
  set(row: number, isValid: boolean): void {
    if (this.#bits === null) {
      if (isValid) return
      this.#bits = this.#source.acquire(Math.max(INITIAL_BYTES, bitmapBytes(row + 1)))
      this.#bits.fill(0xff, 0, row >> 3)
      this.#bits[row >> 3] = (1 << (row & 7)) - 1
      return
    }
    if (row >> 3 >= this.#bits.length) this.#bits = grown(this.#bits, (row >> 3) + 1, this.#source)
    setBit(this.#bits, row, isValid)
  }

  /** Says which of the next rows are there: those whose value is not null. */
  setAll(first: number, values: readonly unknown[], count: number, nullCount: number): void {
    if (nullCount === 0 && this.#bits === null) return
    for (let index = 0; index < count; index++) {
      const value = values[index]
      this.set(first + index, value !== null && value !== undefined)
    }
  }

  slice(start: number, end: number): { validity: Uint8Array | null; nullCount: number } {
    if (this.#bits === null) return { validity: null, nullCount: 0 }
    const validity = sliceBitmap(this.#bits, start, end - start)
    const nullCount = end - start - countBits(validity, end - start)
    return nullCount === 0 ? { validity: null, nullCount: 0 } : { validity, nullCount }
  }
}

class FixedBuilder implements ColumnBuilder {
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

class BitsBuilder implements ColumnBuilder {
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

class VariableBuilder implements ColumnBuilder {
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
    // Up to the first text that is not ASCII there is room for all of it: one cut off by the end could be as long as if it
    // were ASCII.
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
    let nullCount = 0
    for (let index = 0; index < count; index++) {
      const value = values[index]
      if (value === null || value === undefined) nullCount++
      if (this.push(value) !== 'ok') return -1
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

function appendValidity(validity: ValidityBuilder, column: ColumnData, base: number): void {
  if (column.validity === null && validity.isAllValid) return
  for (let row = 0; row < column.length; row++) validity.set(base + row, isValidAt(column, row))
}

function setBit(bits: Uint8Array, index: number, isSet: boolean): void {
  const byte = bits[index >> 3] ?? 0
  const mask = 1 << (index & 7)
  bits[index >> 3] = isSet ? byte | mask : byte & ~mask
}

function grown(buffer: Uint8Array, needed: number, source: BufferSource): Uint8Array {
  const bigger = source.acquire(Math.max(needed, buffer.length * 2))
  bigger.set(buffer)
  return bigger
}

function int32Over(bytes: Uint8Array): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2)
}

function bufferOver(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength)
}
