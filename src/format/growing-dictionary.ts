/**
 * The words of an open text column that has few values: up to 256, so that a code takes one byte.
 *
 * A word keeps its code for good. Words are short: whoever writes a batch out as plain text must not find that it has
 * grown beyond every limit.
 */
import type { ColumnData } from './column.ts'
import type { BufferSource } from './growing-column.ts'
import { VariableValues } from './variable-values.ts'

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

export class GrowingDictionary {
  readonly #words: VariableValues
  /** By code. */
  readonly #texts: string[] = []
  #codes = new Map<string, number>()
  /** In front of the map, three times as fast: codes by a hash of a word's length and ends, NO_CODE where none is. */
  readonly #slots = new Int16Array(SLOTS).fill(NO_CODE)
  /** The words as of now; null when there are more than when it was made. */
  #column: ColumnData | null = null
  /** Codes of another dictionary, the last one that was appended, as codes of this one. It may lie in a big buffer. */
  #translated: { readonly from: WeakRef<ColumnData>; readonly codes: Int16Array } | null = null

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
    this.#words.pushText(text)
    const kept = text.length < CUT_CHARS_MIN ? text : this.#words.textOf(code)
    this.#texts.push(kept)
    this.#codes.set(kept, code)
    this.#column = null
    return code
  }

  /** By code of `from`, the code here; NO_CODE where `translate` was not asked yet. */
  translation(from: ColumnData): Int16Array {
    if (this.#translated !== null && this.#translated.from.deref() === from)
      return this.#translated.codes
    const codes = new Int16Array(from.length).fill(NO_CODE)
    this.#translated = { from: new WeakRef(from), codes }
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
    if (own >= 0) this.translation(from)[code] = own
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

  #find(text: string, slot: number): number | undefined {
    const code = this.#codes.get(text)
    if (code !== undefined) this.#slots[slot] = code
    return code
  }
}

function slotOf(text: string): number {
  const { length } = text
  if (length === 0) return 0
  return (length * 31 + text.charCodeAt(0) * 7 + text.charCodeAt(length - 1)) & (SLOTS - 1)
}
