/**
 * Reads lines of JSON, as bytes, straight into growing columns: no object and no string is made of a line that is as
 * most are. That is an object of known columns, each once, in any order, whose values are numbers, texts, booleans and
 * nulls that their columns take. Of anything else nothing is decided here: the scanner stops before that line, and its
 * caller asks `JSON.parse`.
 *
 * What makes it fast: a key is compared with the one that followed last time; texts are remembered as places in the
 * bytes and copied column by column; a decimal number of up to 15 digits is a whole number divided by a power of ten,
 * both exact, so that the quotient is the nearest number, which is what `JSON.parse` gives.
 */
import { assert } from '../base/assert.ts'
import { copyBytes } from './copy-bytes.ts'
import type { CellColumn } from './fixed-builder.ts'
import { type ColumnBuilder, NO_BYTES } from './growing-column.ts'
import { escapedTextEnd, unescapeText } from './json-escapes.ts'
import { VALUE_BYTES_MAX } from './limits.ts'
import type { ColumnType, Field } from './schema.ts'
import { TextBuilder } from './text-builder.ts'

/** Rows that are read before texts are copied. */
const STRETCH_ROWS = 256
/** A key is looked for among all of them when it is not the next one. */
const COLUMNS_MAX = 64

/** What a column takes, and how it is written. */
const TEXT = 0
const FLOAT64 = 1
const INT32 = 2
const INT64 = 3
const TIME_MS = 4
const BOOL = 5
/** Numbers and texts, by the column's `write`. */
const CELL = 6

type Kind = 0 | 1 | 2 | 3 | 4 | 5 | 6

const KINDS: Readonly<Partial<Record<ColumnType, Kind>>> = {
  utf8: TEXT,
  float64: FLOAT64,
  int32: INT32,
  int64: INT64,
  'timestamp[ms]': TIME_MS,
  bool: BOOL,
  int8: CELL,
  int16: CELL,
  uint8: CELL,
  uint16: CELL,
  uint32: CELL,
  uint64: CELL,
  float32: CELL,
  date: CELL,
  'timestamp[s]': CELL,
  'timestamp[us]': CELL,
  'timestamp[ns]': CELL,
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const NEWLINE = 0x0a
const RETURN = 0x0d
const TAB = 0x09
const SPACE = 0x20
const COLON = 0x3a
const COMMA = 0x2c
const OPENING_BRACE = 0x7b
const CLOSING_BRACE = 0x7d
const MINUS = 0x2d
const PLUS = 0x2b
const POINT = 0x2e
const DIGIT_0 = 0x30
const LETTER_E = 0x65

/** Digits that a number holds whatever they are. */
const DIGITS_MAX = 15
const POWERS_OF_TEN = Float64Array.from({ length: DIGITS_MAX + 1 }, (_, power) => 10 ** power)

/** What a value that needs a closer look ends at. */
const ODD = -1

/** Null where the names or types of the columns rule a scanner out. */
export function lineScanner(fields: readonly Field[]): LineScanner | null {
  const isScanned = ({ name, type }: Field): boolean =>
    KINDS[type] !== undefined && JSON.stringify(name) === `"${name}"` && !(name in Object.prototype)
  if (fields.length === 0 || fields.length > COLUMNS_MAX || !fields.every(isScanned)) return null
  return new LineScanner(fields)
}

export class LineScanner {
  readonly #kinds: readonly Kind[]
  readonly #keys: readonly Uint8Array[]
  readonly #keyLengths: Int32Array
  readonly #isNullable: readonly boolean[]
  /** By column and row of the stretch, where texts lie; of columns of texts only. */
  readonly #starts: readonly Int32Array[]
  readonly #ends: readonly Int32Array[]
  /** By column, the number of the line that had it last. */
  readonly #seenIn: Int32Array
  #line = 0
  /** Behind the last newline. */
  #end = 0
  /** Columns of the line at hand whose text has escapes. */
  readonly #escaped: number[] = []

  #bytes: Uint8Array = NO_BYTES
  /** Whether these are not the caller's any more. */
  #isCopy = false
  #words: Int32Array = new Int32Array(0)
  #cells: readonly CellColumn[] = []
  /** The number that was read last. */
  #number = 0

  constructor(fields: readonly Field[]) {
    this.#kinds = fields.map(({ type }) => KINDS[type] ?? CELL)
    this.#keys = fields.map(({ name }) => new Uint8Array(Buffer.from(`"${name}"`)))
    this.#keyLengths = Int32Array.from(this.#keys, ({ length }) => length)
    this.#isNullable = fields.map(({ nullable }) => nullable)
    const places = (): Int32Array[] =>
      this.#kinds.map((kind) => new Int32Array(kind === TEXT ? STRETCH_ROWS : 0))
    this.#starts = places()
    this.#ends = places()
    this.#seenIn = new Int32Array(fields.length)
  }

  /** Turns to other lines: valid UTF-8 at the beginning of its buffer, which stays as it is until `close`. */
  open(bytes: Uint8Array): void {
    assert(bytes.byteOffset === 0, 'words lie at multiples of their size')
    assert(bytes.length <= VALUE_BYTES_MAX, 'no text is too long')
    this.#bytes = bytes
    this.#words = new Int32Array(bytes.buffer, 0, bytes.length >> 2)
    this.#isCopy = false
    this.#end = bytes.lastIndexOf(NEWLINE) + 1
    this.#line = 0
    this.#seenIn.fill(0)
  }

  close(): void {
    this.open(NO_BYTES)
  }

  /**
   * Appends the records of the lines from `from` on. Returns where the first line begins that it leaves to its caller,
   * or that has no end.
   */
  scan(builders: readonly ColumnBuilder[], from: number): number {
    // The columns of these types are such.
    this.#cells = builders as unknown as readonly CellColumn[]
    const end = this.#end
    let position = from
    while (position < end) {
      for (const column of this.#cells) column.reserve(STRETCH_ROWS)
      const base = builders[0]?.length ?? 0
      let rows = 0
      while (rows < STRETCH_ROWS && position < end) {
        const next = this.#scanLine(position, rows, base + rows)
        if (next === ODD) {
          this.#escaped.length = 0
          break
        }
        position = next
        rows++
      }
      this.#commit(builders, rows)
      if (rows < STRETCH_ROWS) break
    }
    return position
  }

  #commit(builders: readonly ColumnBuilder[], rows: number): void {
    for (const [index, builder] of builders.entries()) {
      if (builder instanceof TextBuilder) {
        const [starts, ends] = [this.#starts[index], this.#ends[index]]
        assert(starts !== undefined && ends !== undefined, 'a column of texts has their places')
        builder.pushPlaces({ bytes: this.#bytes, starts, ends }, rows)
      } else this.#cells[index]?.advance(rows)
    }
  }

  /** Where the next line begins, or ODD. */
  #scanLine(from: number, row: number, cell: number): number {
    const bytes = this.#bytes
    const seenIn = this.#seenIn
    const line = ++this.#line
    let count = 0
    let index = -1
    let at = this.#skipSpace(from)
    if (bytes[at] !== OPENING_BRACE) return ODD
    at = this.#skipSpace(at + 1)
    if (bytes[at] === CLOSING_BRACE) at++
    else {
      for (;;) {
        index = this.#columnAt(at, index + 1)
        if (index === ODD || seenIn[index] === line) return ODD
        seenIn[index] = line
        count++
        at += this.#keyLengths[index] ?? 0
        if (bytes[at] !== COLON) at = this.#skipSpace(at)
        if (bytes[at] !== COLON) return ODD
        if ((bytes[++at] ?? 0) <= SPACE) at = this.#skipSpace(at)
        at = this.#scanValue(at, index, row, cell)
        if (at === ODD) return ODD
        if ((bytes[at] ?? 0) <= SPACE) at = this.#skipSpace(at)
        const after = bytes[at++]
        if (after === CLOSING_BRACE) break
        if (after !== COMMA) return ODD
        if ((bytes[at] ?? 0) <= SPACE) at = this.#skipSpace(at)
      }
    }
    at = this.#skipSpace(at)
    if (bytes[at] !== NEWLINE) return ODD
    if (count < this.#keys.length && !this.#setAbsent(line, row, cell)) return ODD
    if (this.#escaped.length > 0) this.#unescapeAll(row)
    return at + 1
  }

  #skipSpace(from: number): number {
    const bytes = this.#bytes
    let at = from
    for (;;) {
      const byte = bytes[at] ?? 0
      if (byte > SPACE || (byte !== SPACE && byte !== TAB && byte !== RETURN)) return at
      at++
    }
  }

  /** The column whose key stands there; `expected` is looked at first. */
  #columnAt(at: number, expected: number): number {
    const count = this.#keys.length
    let index = expected < count ? expected : 0
    for (let tried = 0; tried < count; tried++) {
      if (this.#isAt(this.#keys[index], at)) return index
      index = index + 1 < count ? index + 1 : 0
    }
    return ODD
  }

  #isAt(text: Uint8Array | undefined, from: number): boolean {
    const bytes = this.#bytes
    if (text === undefined) return false
    for (let index = 0, at = from; index < text.length; index++, at++)
      if (bytes[at] !== text[index]) return false
    return true
  }

  /** Writes a value, of which the line may yet turn out not to be taken. Where it ends, or ODD. */
  #scanValue(at: number, index: number, row: number, cell: number): number {
    const first = this.#bytes[at] ?? 0
    if (first === QUOTE) return this.#scanText(at + 1, index, row, cell)
    if (first === MINUS || (first >= DIGIT_0 && first <= DIGIT_0 + 9)) {
      const end = this.#scanNumber(at)
      return end !== ODD && this.#writeNumber(index, cell) ? end : ODD
    }
    const column = this.#cells[index]
    if (this.#isAt(NULL, at))
      return this.#isNullable[index] === true && this.#setNull(index, row, cell)
        ? at + NULL.length
        : ODD
    if (this.#kinds[index] !== BOOL) return ODD
    if (this.#isAt(TRUE, at)) return column?.write(cell, true) === true ? at + TRUE.length : ODD
    return this.#isAt(FALSE, at) ? at + FALSE.length : ODD
  }

  #scanText(start: number, index: number, row: number, cell: number): number {
    const kind = this.#kinds[index]
    let end = this.#plainTextEnd(start)
    const hasEscapes = this.#bytes[end] === BACKSLASH
    if (hasEscapes) end = escapedTextEnd(this.#bytes, end)
    if (end === ODD || this.#bytes[end] !== QUOTE) return ODD
    if (kind === TEXT) {
      this.#place(index, row, start, end)
      if (hasEscapes) this.#escaped.push(index)
      return end + 1
    }
    if (hasEscapes || (kind !== CELL && kind !== TIME_MS)) return ODD
    const isTaken = this.#cells[index]?.write(cell, this.#textOf(start, end))
    return isTaken === true ? end + 1 : ODD
  }

  /** The first byte from `start` on that no text has as it is. */
  #plainTextEnd(start: number): number {
    const bytes = this.#bytes
    let at = start
    for (;;) {
      if ((at & 3) === 0) at = this.#skipPlainWords(at)
      const byte = bytes[at] ?? 0
      if (byte === QUOTE || byte === BACKSLASH || byte < SPACE) return at
      at++
    }
  }

  /** Four bytes at a time, up to four of which one may be a quote, a backslash or a control character. */
  #skipPlainWords(from: number): number {
    const words = this.#words
    let index = from >> 2
    for (; index < words.length; index++) {
      const word = words[index] ?? 0
      const quote = word ^ 0x22222222
      const backslash = word ^ 0x5c5c5c5c
      const found =
        ((quote - 0x01010101) & ~quote) |
        ((backslash - 0x01010101) & ~backslash) |
        ((word - 0x20202020) & ~word)
      if ((found & 0x80808080) !== 0) break
    }
    return index << 2
  }

  #place(index: number, row: number, start: number, end: number): void {
    const [starts, ends] = [this.#starts[index], this.#ends[index]]
    if (starts === undefined || ends === undefined) return
    starts[row] = start
    ends[row] = end
  }

  #unescapeAll(row: number): void {
    for (const column of this.#escaped) this.#unescape(column, row)
    this.#escaped.length = 0
  }

  /** Writes a text over itself, in a copy of the bytes: places in these are places in those. */
  #unescape(index: number, row: number): void {
    const [starts, ends] = [this.#starts[index], this.#ends[index]]
    if (starts === undefined || ends === undefined) return
    if (!this.#isCopy) {
      this.#bytes = copyOf(this.#bytes)
      this.#isCopy = true
    }
    ends[row] = unescapeText(this.#bytes, starts[row] ?? 0, ends[row] ?? 0)
  }

  /** Where the number ends that begins there, which is `#number` then. */
  #scanNumber(start: number): number {
    const bytes = this.#bytes
    const isNegative = bytes[start] === MINUS
    const whole = isNegative ? start + 1 : start
    let at = whole
    let digits = 0
    let byte = bytes[at] ?? 0
    while (byte >= DIGIT_0 && byte <= DIGIT_0 + 9) {
      digits = digits * 10 + (byte - DIGIT_0)
      byte = bytes[++at] ?? 0
    }
    let count = at - whole
    if (count === 0 || (count > 1 && bytes[whole] === DIGIT_0)) return ODD
    let fractionDigits = 0
    if (byte === POINT) {
      byte = bytes[++at] ?? 0
      const fraction = at
      while (byte >= DIGIT_0 && byte <= DIGIT_0 + 9) {
        digits = digits * 10 + (byte - DIGIT_0)
        byte = bytes[++at] ?? 0
      }
      fractionDigits = at - fraction
      if (fractionDigits === 0) return ODD
      count += fractionDigits
    }
    const hasExponent = (byte | 0x20) === LETTER_E
    if (hasExponent) {
      at = this.#skipExponent(at + 1)
      if (at === ODD) return ODD
    }
    if (hasExponent || count > DIGITS_MAX) this.#number = Number(this.#textOf(start, at))
    else {
      const value = fractionDigits === 0 ? digits : digits / (POWERS_OF_TEN[fractionDigits] ?? 1)
      this.#number = isNegative ? -value : value
    }
    return at
  }

  #skipExponent(from: number): number {
    const bytes = this.#bytes
    const sign = bytes[from]
    const start = sign === PLUS || sign === MINUS ? from + 1 : from
    let at = start
    let byte = bytes[at] ?? 0
    while (byte >= DIGIT_0 && byte <= DIGIT_0 + 9) byte = bytes[++at] ?? 0
    return at === start ? ODD : at
  }

  /** A whole number beyond 2^53 may have lost digits, and needs a closer look whatever its column. */
  #writeNumber(index: number, cell: number): boolean {
    const value = this.#number
    const column = this.#cells[index]
    if (column === undefined) return false
    if (value > MAX_SAFE || value < -MAX_SAFE) return false
    switch (this.#kinds[index]) {
      case FLOAT64:
        column.cells[cell] = value
        return true
      case INT32:
        if ((value | 0) !== value || Object.is(value, -0)) return false
        column.cells[cell] = value
        return true
      case INT64:
        if (Math.floor(value) !== value || Object.is(value, -0)) return false
        column.cells[cell * 2] = value | 0
        column.cells[cell * 2 + 1] = Math.floor(value / 2 ** 32)
        return true
      case TIME_MS:
        if (Math.floor(value) !== value) return column.write(cell, value)
        column.cells[cell * 2] = value | 0
        column.cells[cell * 2 + 1] = Math.floor(value / 2 ** 32)
        return true
      case CELL:
        return column.write(cell, value)
      default:
        return false
    }
  }

  #setAbsent(line: number, row: number, cell: number): boolean {
    for (let index = 0; index < this.#keys.length; index++) {
      if (this.#seenIn[index] === line) continue
      if (this.#isNullable[index] !== true || !this.#setNull(index, row, cell)) return false
    }
    return true
  }

  #setNull(index: number, row: number, cell: number): boolean {
    this.#cells[index]?.setNull(cell)
    this.#place(index, row, 0, 0)
    return true
  }

  #textOf(start: number, end: number): string {
    const { buffer } = this.#bytes
    return Buffer.from(buffer as ArrayBuffer, start, end - start).toString()
  }
}

/** A copy that holds until the next one; bigger ones are not kept. */
let kept = new Uint8Array(0)
const KEPT_BYTES_MAX = 2 * 1024 * 1024

function copyOf(bytes: Uint8Array): Uint8Array {
  const { length } = bytes
  if (length > KEPT_BYTES_MAX) return new Uint8Array(bytes)
  if (kept.length < length) kept = new Uint8Array(KEPT_BYTES_MAX)
  copyBytes(kept, 0, bytes)
  return kept.subarray(0, length)
}

const MAX_SAFE = Number.MAX_SAFE_INTEGER
const NULL = new Uint8Array(Buffer.from('null'))
const TRUE = new Uint8Array(Buffer.from('true'))
const FALSE = new Uint8Array(Buffer.from('false'))
