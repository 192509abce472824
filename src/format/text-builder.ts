/**
 * Growing columns of text: plain, or as one-byte codes of a dictionary while that is smaller.
 *
 * A column decides by its first values, or begins as its predecessor ended. A value too many or too long turns it plain
 * in place, for good; a view taken before keeps the codes it saw. Words never go from a dictionary, so a failed append
 * may leave some that no row has.
 */
import { assert, present } from '../base/assert.ts'
import { type ColumnData, codesOf, isValidAt } from './column.ts'
import {
  type BufferSource,
  type ColumnBuilder,
  type ColumnSize,
  NO_BYTES,
  type PushResult,
  ValidityBuilder,
  grown,
} from './growing-column.ts'
import { GrowingDictionary, ILL_FORMED, NO_CODE, WORD_BYTES_MAX } from './growing-dictionary.ts'
import { VALUE_BYTES_MAX } from './limits.ts'
import { type CodedRows, type TextPlaces, VariableValues } from './variable-values.ts'

/** A column of so many rows has decided how it is kept. */
const DECIDED_ROWS = 64
/** More text at once is looked at value by value: a huge one is refused by itself. */
const TEXTS_CHARS_MAX = VALUE_BYTES_MAX
/** Texts of a plain column that are looked up before all of them are. */
const SAMPLED_TEXTS = 16

export class TextBuilder implements ColumnBuilder {
  readonly type = 'utf8'
  length = 0
  readonly #source: BufferSource
  readonly #expected: ColumnSize
  readonly #validity: ValidityBuilder
  #reservedEnd = 0
  /** Empty while there is a dictionary. */
  readonly #plain: VariableValues
  #dictionary: GrowingDictionary | null
  #codes: Uint8Array = NO_BYTES
  #isUndecided: boolean
  /** A dictionary did not pay: the next batch need not try again. */
  #isPlainForGood: boolean

  constructor(source: BufferSource, expected: ColumnSize) {
    this.#source = source
    this.#expected = expected
    this.#validity = new ValidityBuilder(source)
    this.#plain = new VariableValues(source, expected)
    this.#dictionary = expected.encoding === 'dictionary' ? new GrowingDictionary(source) : null
    this.#isUndecided = expected.encoding === undefined
    this.#isPlainForGood = expected.encoding === 'plain'
  }

  push(value: unknown): PushResult {
    const isNull = value === null || value === undefined
    if (!isNull && typeof value !== 'string') return 'mismatch'
    this.reserve(1)
    if (isNull) this.setNull(this.length)
    return this.pushText(isNull ? '' : value)
  }

  pushAll(values: readonly unknown[], count: number): number {
    const texts: string[] = []
    let nullCount = 0
    let chars = 0
    this.reserve(count)
    for (let index = 0; index < count; index++) {
      const value = values[index]
      if (typeof value === 'string') {
        chars += value.length
        texts.push(value)
      } else if (value === null || value === undefined) {
        this.setNull(this.length + index)
        nullCount++
        texts.push('')
      } else return -1
    }
    return this.pushTexts(texts, count, chars) ? nullCount : -1
  }

  /** Says of the next `count` rows that none is null; `setNull` says otherwise of one. Then the texts follow. */
  reserve(count: number): void {
    this.#reservedEnd = this.length + count
    this.#validity.reserve(this.length, count)
  }

  /** A null is pushed as an empty text besides. */
  setNull(row: number): void {
    this.#validity.clear(row, this.#reservedEnd)
  }

  /** Appends a text whose row is reserved. */
  pushText(text: string): PushResult {
    if (this.#isUndecided && this.length >= DECIDED_ROWS - 1) this.#decide([], 0)
    const result =
      this.#dictionary === null
        ? this.#plain.pushText(text)
        : this.#pushCode(this.#dictionary, text)
    if (result === 'ok') this.length++
    return result
  }

  /**
   * Appends `texts[0..count)`, `chars` long in all, whose rows are reserved. False when one is refused: then the column
   * holds anything behind its old rows.
   */
  pushTexts(texts: readonly string[], count: number, chars: number): boolean {
    if (chars > TEXTS_CHARS_MAX) return false
    if (this.#isUndecided && this.length + count >= DECIDED_ROWS) this.#decide(texts, count)
    const done = this.#dictionary === null ? 0 : this.#pushCodes(this.#dictionary, texts, count)
    if (done < 0) return false
    if (done < count && this.#plain.pushTexts(texts, done, count) !== 'ok') return false
    this.length += count
    return true
  }

  /** Appends `count` texts, the first of those places, whose rows are reserved and which are well-formed. */
  pushPlaces(places: TextPlaces, count: number): void {
    if (count === 0) return
    if (this.#isUndecided && this.length + count >= DECIDED_ROWS) {
      const texts = textsAt(places, Math.min(count, DECIDED_ROWS))
      this.#decide(texts, texts.length)
    }
    const done = this.#dictionary === null ? 0 : this.#codePlaces(this.#dictionary, places, count)
    if (done < count) this.#plain.pushPlaces(places, done, count)
    this.length += count
  }

  append(column: ColumnData): void {
    assert(column.type === this.type, 'a column is appended to one of its type')
    const count = column.length
    if (count === 0) return
    if (column.dictionary === null) this.#appendPlain(column)
    else this.#appendCoded(column, column.dictionary)
    this.#validity.append(column, this.length)
    this.length += count
  }

  truncate(length: number): void {
    this.length = length
    if (this.#dictionary === null) this.#plain.truncate(length)
  }

  size(): ColumnSize {
    const rows = this.length
    if (this.#dictionary !== null)
      return { rows, valueBytes: rows + this.#dictionary.byteLength, encoding: 'dictionary' }
    const { byteLength: valueBytes, offsetBytes } = this.#plain
    const size = { rows, valueBytes, offsetBytes }
    return this.#isPlainForGood ? { ...size, encoding: 'plain' } : size
  }

  seal(): void {
    this.#plain.seal()
    this.#dictionary?.seal()
    if (this.#codes.length > 0) this.#codes = this.#source.shrink(this.#codes, this.length)
    this.#validity.seal(this.length)
  }

  numberAt(): number {
    return 0
  }

  slice(start: number, end: number): ColumnData {
    const { validity, nullCount } = this.#validity.slice(start, end)
    const length = end - start
    if (this.#dictionary !== null) {
      const values = this.#codes.subarray(start, end)
      const dictionary = this.#dictionary.column()
      return { type: 'utf8', length, nullCount, validity, offsets: null, values, dictionary }
    }
    const { offsets, values } = this.#plain.slice(start, end)
    return { type: 'utf8', length, nullCount, validity, offsets, values, dictionary: null }
  }

  #pushCode(dictionary: GrowingDictionary, text: string): PushResult {
    this.#reserveCodes(1)
    const code = dictionary.codeOf(text) ?? dictionary.add(text, this.length)
    if (code === ILL_FORMED) return 'ill_formed'
    if (code === NO_CODE) {
      this.#toPlain(dictionary, this.length)
      return this.#plain.pushText(text)
    }
    this.#codes[this.length] = code
    return 'ok'
  }

  /**
   * Puts texts behind the rows, as codes. Returns how many; the column is plain then unless it is all of them. Or
   * ILL_FORMED.
   */
  #pushCodes(dictionary: GrowingDictionary, texts: readonly string[], count: number): number {
    this.#reserveCodes(count)
    const codes = this.#codes
    const base = this.length
    for (let index = 0; index < count; index++) {
      const text = texts[index] ?? ''
      const code = dictionary.codeOf(text) ?? dictionary.add(text, base + index)
      if (code === ILL_FORMED) return ILL_FORMED
      if (code === NO_CODE) {
        this.#toPlain(dictionary, base + index)
        return index
      }
      codes[base + index] = code
    }
    return count
  }

  /** As `#pushCodes`. */
  #codePlaces(dictionary: GrowingDictionary, places: TextPlaces, count: number): number {
    this.#reserveCodes(count)
    const codes = this.#codes
    const base = this.length
    for (let index = 0; index < count; index++) {
      const code = dictionary.codeAt(places, index, base + index)
      if (code < 0) {
        this.#toPlain(dictionary, base + index)
        return index
      }
      codes[base + index] = code
    }
    return count
  }

  #appendPlain(column: ColumnData): void {
    const count = column.length
    if (this.length + count >= DECIDED_ROWS) this.#isUndecided = false
    let done = 0
    if (this.#dictionary !== null) {
      if (this.#hasWordsOf(column, this.#dictionary))
        done = this.#pushCodes(this.#dictionary, textsOf(column, 1), count)
      else this.#toPlain(this.#dictionary, this.length)
    }
    const offsets = present(column.offsets, 'a variable column has offsets')
    const rest = done === 0 ? offsets : offsets.subarray(done)
    this.#plain.append(rest, column.values, count - done)
  }

  /** Whether a few of the texts are words: then all of them are looked up, else copied. */
  #hasWordsOf(column: ColumnData, dictionary: GrowingDictionary): boolean {
    const step = Math.ceil(column.length / SAMPLED_TEXTS)
    return (
      this.length > 0 &&
      textsOf(column, step).every((text) => text === '' || dictionary.codeOf(text) !== undefined)
    )
  }

  #appendCoded(column: ColumnData, words: ColumnData): void {
    const coded = { codes: codesOf(column), validity: column.validity, words }
    this.#isUndecided = false
    if (this.#dictionary === null && this.length === 0 && !this.#isPlainForGood)
      this.#toDictionary([])
    const count = column.length
    const done =
      this.#dictionary === null ? 0 : this.#translateCodes(this.#dictionary, coded, words, count)
    if (done < count) this.#plain.appendWords(coded, done, count)
  }

  /** As `#pushCodes`, from the codes of another dictionary. */
  #translateCodes(
    dictionary: GrowingDictionary,
    { codes, validity }: CodedRows,
    words: ColumnData,
    count: number,
  ): number {
    this.#reserveCodes(count)
    const own = this.#codes
    const base = this.length
    const translation = dictionary.translation(words)
    const isDense = validity === null
    for (let row = 0; row < count; row++) {
      if (isDense) row = translateFrom(row, codes, translation, own, base, count)
      if (row === count) break
      let code = 0
      if (isDense || isValidAt({ validity }, row)) {
        const given = codes[row] ?? 0
        code = translation[given] ?? NO_CODE
        if (code === NO_CODE) code = dictionary.translate(words, given, base + row)
        if (code < 0) {
          this.#toPlain(dictionary, base + row)
          return row
        }
      } else if (dictionary.length === 0) {
        // A null has some code as well, and that is of a word.
        dictionary.add('', 0)
      }
      own[base + row] = code
    }
    return count
  }

  /** Settles how the column is kept, by its rows and the first of the texts that come now. */
  #decide(texts: readonly string[], count: number): void {
    this.#isUndecided = false
    const rows = textsOf(this.slice(0, this.length), 1)
    if (isRepetitive([...rows, ...texts.slice(0, Math.min(count, DECIDED_ROWS))]))
      this.#toDictionary(rows)
  }

  /** `rows` are those of the column, and repeat. */
  #toDictionary(rows: readonly string[]): void {
    const codes = this.#source.acquire(Math.max(DECIDED_ROWS, this.#expected.rows))
    const dictionary = new GrowingDictionary(this.#source)
    try {
      for (const [row, text] of rows.entries())
        codes[row] = dictionary.codeOf(text) ?? dictionary.add(text, 0)
    } catch (error) {
      this.#source.retire(codes)
      dictionary.retire()
      throw error
    }
    this.#plain.retire()
    this.#codes = codes
    this.#dictionary = dictionary
  }

  /** Turns the first `rows`, some of which may not count yet, into plain text. */
  #toPlain(dictionary: GrowingDictionary, rows: number): void {
    try {
      this.#plain.appendWords(this.#coded(dictionary), 0, rows)
    } catch (error) {
      this.#plain.retire()
      throw error
    }
    dictionary.retire()
    if (this.#codes.length > 0) this.#source.retire(this.#codes)
    this.#codes = NO_BYTES
    this.#dictionary = null
    this.#isPlainForGood = true
  }

  /** The codes under nulls are words as well. */
  #coded(dictionary: GrowingDictionary): CodedRows {
    return { codes: this.#codes, validity: null, words: dictionary.column() }
  }

  #reserveCodes(count: number): void {
    const needed = this.length + count
    if (needed <= this.#codes.length) return
    const wanted = Math.max(needed, this.#expected.rows)
    this.#codes = grown(this.#codes, this.length, wanted, this.#source)
  }
}

/** Translates codes from `row` on, and returns the first row whose code has no translation yet. */
function translateFrom(
  row: number,
  codes: Uint8Array | Int32Array,
  translation: Int16Array,
  own: Uint8Array,
  base: number,
  count: number,
): number {
  for (let at = row; at < count; at++) {
    const code = translation[codes[at] ?? 0] ?? NO_CODE
    if (code < 0) return at
    own[base + at] = code
  }
  return count
}

/** Every `step`-th text of a plain column; a null has none. */
function textsOf(column: ColumnData, step: number): string[] {
  const { values, offsets } = column
  const bytes = Buffer.from(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength)
  const texts: string[] = []
  for (let row = 0; row < column.length; row += step) {
    const isValid = column.validity === null || isValidAt(column, row)
    texts.push(isValid ? bytes.toString('utf8', offsets?.[row] ?? 0, offsets?.[row + 1] ?? 0) : '')
  }
  return texts
}

function textsAt({ bytes, starts, ends }: TextPlaces, count: number): string[] {
  const source = Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength)
  return Array.from({ length: count }, (_, row) => source.toString('utf8', starts[row], ends[row]))
}

/** Whether texts are short, and no more than half of them distinct. */
function isRepetitive(texts: readonly string[]): boolean {
  return (
    texts.every((text) => Buffer.byteLength(text) <= WORD_BYTES_MAX) &&
    new Set(texts).size * 2 <= texts.length
  )
}
