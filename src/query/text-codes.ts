/** One code for each text of a column, whatever the dictionaries of its batches and segments say. */
import { isAscii } from 'node:buffer'
import { present } from '../base/assert.ts'
import type { ColumnData } from '../format/column.ts'

/** More texts than this are better grouped as texts: DuckDB's table for small numbers ends below. */
export const TEXT_CODES_MAX = 255

export class TextCodes {
  readonly #codes = new Map<string, number>()
  /** By dictionary, the code of each of its entries. */
  readonly #translations = new WeakMap<ColumnData, Uint8Array>()

  /** By code. */
  get texts(): readonly string[] {
    return [...this.#codes.keys()]
  }

  /** False where a dictionary has a text that cannot be told from another, or one too many. */
  add(dictionary: ColumnData): boolean {
    if (this.#translations.has(dictionary)) return true
    const texts = textsOf(dictionary)
    if (texts === null) return false
    for (const text of texts) {
      if (!this.#codes.has(text)) this.#codes.set(text, this.#codes.size)
    }
    if (this.#codes.size > TEXT_CODES_MAX) return false
    this.#translate(dictionary, texts)
    return true
  }

  /** The code of each entry of a dictionary whose texts were added. */
  translation(dictionary: ColumnData): Uint8Array {
    return (
      this.#translations.get(dictionary) ??
      this.#translate(dictionary, present(textsOf(dictionary), 'the texts of a dictionary'))
    )
  }

  #translate(dictionary: ColumnData, texts: readonly string[]): Uint8Array {
    const translation = Uint8Array.from(texts, (text) =>
      present(this.#codes.get(text), 'the code of a text'),
    )
    this.#translations.set(dictionary, translation)
    return translation
  }
}

/** Null where bytes are no UTF-8, or DuckDB would take a text to end before it does. */
function textsOf({ offsets, values, length }: ColumnData): readonly string[] | null {
  if (offsets === null || length > TEXT_CODES_MAX) return null
  const [first, last] = [offsets[0] ?? 0, offsets[length] ?? 0]
  // Copied, as what decodes takes no shared memory.
  const bytes = Buffer.from(values.subarray(first, last))
  if (bytes.includes(0)) return null
  const textOf = isAscii(bytes) ? asciiTexts(bytes) : utf8Texts(bytes)
  const texts: string[] = []
  for (let entry = 0; entry < length; entry++) {
    const text = textOf((offsets[entry] ?? 0) - first, (offsets[entry + 1] ?? 0) - first)
    if (text === null) return null
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
