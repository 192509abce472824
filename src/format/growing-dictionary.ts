/**
 * The words of an open text column that has few values: up to 256, so that a code takes one byte.
 *
 * A word keeps its code for good. Words are short: whoever writes a batch out as plain text must not find that it has
 * grown beyond every limit.
 */
import type { ColumnData } from './column.ts'
import type { BufferSource } from './growing-column.ts'
import { type TextPlaces, VariableValues } from './variable-values.ts'

const WORDS_MAX = 256
export const WORD_BYTES_MAX: number = 64
/** From so many rows on, a dictionary has no more than half as many words: else plain text is about as small. */
const PAYING_ROWS = 64
/** V8 cuts shorter strings out by copying; a longer one may keep alive what it was cut from. */
const CUT_CHARS_MIN = 13

/** Of a text that gets no code: the column has to be plain. */
export const NO_CODE = -1
/** Of a text with a lone surrogate. */
export const ILL_FORMED = -2

/** Places for words that were looked up lately; a power of two. */
const SLOTS = 64

const NO_CODES: Map<string, number> = new Map()

/** Codes of another dictionary, the last one that was appended, as codes of this one: also of one with equal words. */
interface Translation {
  readonly codes: Int16Array
  /** Those that have one here. */
  readonly used: number[]
}

export class GrowingDictionary {
  readonly #words: VariableValues
  /** By code. */
  readonly #texts: string[] = []
  #codes = new Map<string, number>()
  /** In front of the map, three times as fast: codes by a hash of a word's length and ends, NO_CODE where none is. */
  readonly #slots = new Int16Array(SLOTS).fill(NO_CODE)
  /** The words as of now; null when there are more than when it was made. */
  #column: ColumnData | null = null
  #translated: Translation | null = null

  constructor(source: BufferSource) {
    this.#words = new VariableValues(source)
  }

  get byteLength(): number {
    return this.#words.byteLength
  }

  get length(): number {
    return this.#words.length
  }

  codeOf(text: string): number | undefined {
    const slot = slotOf(text)
    const code = this.#slots[slot] ?? NO_CODE
    return code >= 0 && this.#texts[code] === text ? code : this.#find(text, slot)
  }

  /** The code of a text that has none yet, in a column of `rows` so far; or one of the negative ones above. */
  add(text: string, rows: number): number {
    const code = this.#words.length
    if (!text.isWellFormed()) return ILL_FORMED
    if (code === WORDS_MAX || (rows >= PAYING_ROWS && code * 2 > rows)) return NO_CODE
    if (text.length > WORD_BYTES_MAX || Buffer.byteLength(text) > WORD_BYTES_MAX) return NO_CODE
    // Before the word, for it may find no room when a buffer of the others has been replaced already.
    this.#column = null
    this.#words.pushText(text)
    const kept = text.length < CUT_CHARS_MIN ? text : this.#words.textOf(code)
    this.#texts.push(kept)
    this.#codes.set(kept, code)
    return code
  }

  /** The code of a text among places, which may be new in a column of `rows` so far; NO_CODE as `add` says. */
  codeAt({ bytes, starts, ends }: TextPlaces, index: number, rows: number): number {
    const start = starts[index] ?? 0
    const end = ends[index] ?? 0
    const slot = slotAt(bytes, start, end)
    const code = this.#slots[slot] ?? NO_CODE
    if (code >= 0 && this.#words.isAt(code, bytes, start, end)) return code
    if (end - start > WORD_BYTES_MAX) return NO_CODE
    const text = Buffer.from(
      bytes.buffer as ArrayBuffer,
      bytes.byteOffset + start,
      end - start,
    ).toString()
    const found = this.codeOf(text) ?? this.add(text, rows)
    if (found >= 0) this.#slots[slot] = found
    return found
  }

  /**
   * By code of `from`, the code here; NO_CODE where `translate` was not asked yet. To be had before `translate` is
   * asked.
   */
  translation(from: ColumnData): Int16Array {
    const known = this.#translated
    if (known !== null && this.#isTrue(known, from)) return known.codes
    const codes = new Int16Array(from.length).fill(NO_CODE)
    this.#translated = { codes, used: [] }
    return codes
  }

  /** The code of a word of another dictionary, as `add` says. */
  translate(from: ColumnData, code: number, rows: number): number {
    const { values, offsets } = from
    const text = Buffer.from(
      values.buffer as ArrayBuffer,
      values.byteOffset,
      values.byteLength,
    ).toString('utf8', offsets?.[code] ?? 0, offsets?.[code + 1] ?? 0)
    const own = this.codeOf(text) ?? this.add(text, rows)
    if (own >= 0 && this.#translated !== null) {
      this.#translated.codes[code] = own
      this.#translated.used.push(code)
    }
    return own
  }

  /** The words so far; the same object until there are more. */
  column(): ColumnData {
    this.#column ??= {
      type: 'utf8',
      length: this.#words.length,
      nullCount: 0,
      validity: null,
      ...this.#words.slice(0, this.#words.length),
      dictionary: null,
    }
    return this.#column
  }

  seal(): void {
    this.#words.seal()
    this.#codes = NO_CODES
    this.#texts.length = 0
    this.#translated = null
  }

  /** Gives the buffers back; the dictionary is of no more use. */
  retire(): void {
    this.#words.retire()
  }

  /** Whether `from` has the same words: its buffers are the caller's, who may have put others there since. */
  #isTrue({ codes, used }: Translation, from: ColumnData): boolean {
    const words = this.column()
    return (
      codes.length === from.length &&
      used.every((code) => isSameWord(from, code, words, codes[code] ?? 0))
    )
  }

  #find(text: string, slot: number): number | undefined {
    const code = this.#codes.get(text)
    if (code !== undefined) this.#slots[slot] = code
    return code
  }
}

function isSameWord(a: ColumnData, codeOfA: number, b: ColumnData, codeOfB: number): boolean {
  const startOfA = a.offsets?.[codeOfA] ?? 0
  const startOfB = b.offsets?.[codeOfB] ?? 0
  const length = (a.offsets?.[codeOfA + 1] ?? 0) - startOfA
  if (length !== (b.offsets?.[codeOfB + 1] ?? 0) - startOfB) return false
  for (let at = 0; at < length; at++)
    if (a.values[startOfA + at] !== b.values[startOfB + at]) return false
  return true
}

function slotOf(text: string): number {
  const { length } = text
  if (length === 0) return 0
  return (length * 31 + text.charCodeAt(0) * 7 + text.charCodeAt(length - 1)) & (SLOTS - 1)
}

/** The same of a text of ASCII as bytes. */
function slotAt(bytes: Uint8Array, start: number, end: number): number {
  if (start === end) return 0
  return ((end - start) * 31 + (bytes[start] ?? 0) * 7 + (bytes[end - 1] ?? 0)) & (SLOTS - 1)
}
