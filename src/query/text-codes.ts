/** One code for each text of a column, whatever the dictionaries of its batches and segments say. */
import { isAscii } from 'node:buffer'
import { assert, present } from '../base/assert.ts'
import { type ColumnData, codesOf, isValidAt } from '../format/column.ts'

/** More texts than this are better grouped as texts: DuckDB's table for small numbers ends below. */
export const TEXT_CODES_MAX = 255

/** A column of so many rows that has no dictionary gets codes text by text. */
export const PLAIN_ROWS_MAX = 4_096

/** The codes of rows, and what each of them is among all texts. */
export interface CodedRows {
  /** By row; what lies under a null is unspecified. */
  readonly codes: Uint8Array | Int32Array
  readonly translation: Uint8Array
}

export class TextCodes {
  readonly #codes = new Map<string, number>()
  /** By dictionary, the code of each of its entries. */
  readonly #translations = new WeakMap<ColumnData, Uint8Array>()
  /** Each code as itself. */
  #same: Uint8Array = new Uint8Array(0)

  /** By code. */
  get texts(): readonly string[] {
    return [...this.#codes.keys()]
  }

  /**
   * False where a dictionary, or a column that has none, has a text that cannot be told from another, or one too many.
   */
  add(column: ColumnData): boolean {
    if (this.#translations.has(column)) return true
    const texts = column.length > PLAIN_ROWS_MAX ? null : textsOf(column)
    if (texts === null) return false
    const translation = new Uint8Array(texts.length)
    for (let entry = 0; entry < texts.length; entry++) {
      const text = texts[entry]
      if (text === undefined || text === null) continue
      let code = this.#codes.get(text)
      if (code === undefined) {
        code = this.#codes.size
        if (code === TEXT_CODES_MAX) return false
        this.#codes.set(text, code)
      }
      translation[entry] = code
    }
    this.#translations.set(column, translation)
    return true
  }

  /** A column whose texts were added, if not in this object then in another. */
  rowsOf(column: ColumnData): CodedRows {
    const { dictionary } = column
    if (dictionary !== null)
      return { codes: codesOf(column), translation: this.#translation(dictionary) }
    if (this.#same.length !== this.#codes.size)
      this.#same = Uint8Array.from({ length: this.#codes.size }, (_, code) => code)
    return { codes: this.#translation(column), translation: this.#same }
  }

  #translation(column: ColumnData): Uint8Array {
    const known = this.#translations.get(column)
    if (known !== undefined) return known
    assert(this.add(column), 'a column whose texts are known')
    return present(this.#translations.get(column), 'the codes of a column')
  }
}

/** By row, null for a null. Null where bytes are no UTF-8, or DuckDB would take a text to end before it does. */
function textsOf(column: ColumnData): readonly (string | null)[] | null {
  const { offsets, values, length } = column
  if (offsets === null) return null
  const [first, last] = [offsets[0] ?? 0, offsets[length] ?? 0]
  // Copied, as what decodes takes no shared memory.
  const bytes = Buffer.from(values.subarray(first, last))
  if (bytes.includes(0)) return null
  const textOf = isAscii(bytes) ? asciiTexts(bytes) : utf8Texts(bytes)
  const texts: (string | null)[] = []
  for (let row = 0; row < length; row++) {
    const isNull = !isValidAt(column, row)
    const text = isNull
      ? null
      : textOf((offsets[row] ?? 0) - first, (offsets[row + 1] ?? 0) - first)
    if (text === null && !isNull) return null
    texts.push(text)
  }
  return texts
}

type TextOf = (start: number, end: number) => string | null

function asciiTexts(bytes: Buffer): TextOf {
  const all = bytes.toString('latin1')
  return (start, end) => all.slice(start, end)
}

function utf8Texts(bytes: Buffer): TextOf {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  return (start, end) => {
    try {
      return decoder.decode(bytes.subarray(start, end))
    } catch {
      return null
    }
  }
}
