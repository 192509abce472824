/** One code for each text of a column, whatever the dictionaries of its batches and segments say. */
import { isAscii } from 'node:buffer'
import { assert, present } from '../base/assert.ts'
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
    const translation = new Uint8Array(texts.length)
    for (let entry = 0; entry < texts.length; entry++) {
      const text = texts[entry] ?? ''
      let code = this.#codes.get(text)
      if (code === undefined) {
        code = this.#codes.size
        if (code === TEXT_CODES_MAX) return false
        this.#codes.set(text, code)
      }
      translation[entry] = code
    }
    this.#translations.set(dictionary, translation)
    return true
  }

  /** The code of each entry of a dictionary; of one that was not added, all its texts were. */
  translation(dictionary: ColumnData): Uint8Array {
    const known = this.#translations.get(dictionary)
    if (known !== undefined) return known
    assert(this.add(dictionary), 'a dictionary whose texts are known')
    return present(this.#translations.get(dictionary), 'the codes of a dictionary')
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
