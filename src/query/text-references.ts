/**
 * Builds DuckDB's 16-byte strings for our text and binary columns; see text-arena.ts. A dictionary's are built once,
 * and so is the arena of a column, for as long as the scan that owns this object is on that batch.
 */
import { assert } from '../base/assert.ts'
import { type ColumnData, codesOf } from '../format/column.ts'
import { StratalogError } from '../base/errors.ts'
import { INLINE_BYTES_MAX, type TextArena, type TextArenaPool } from './text-arena.ts'

interface DictionaryReferences {
  /** Four words an entry. */
  readonly words: Int32Array
  readonly arena: TextArena | null
}

export class TextReferences {
  readonly #pool: TextArenaPool
  readonly #arenas = new Map<ColumnData, TextArena>()
  readonly #dictionaries = new Map<ColumnData, DictionaryReferences>()

  constructor(pool: TextArenaPool) {
    this.#pool = pool
  }

  /** Writes the strings of rows `[start, start + count)` to `words`; returns the arena that they point into, if any. */
  write(column: ColumnData, start: number, count: number, words: Int32Array): TextArena | null {
    if (column.dictionary !== null)
      return this.#writeCodes(column, column.dictionary, start, count, words)
    return this.#writeTexts(column, start, count, words)
  }

  /** Lets go of the arenas of plain columns; their pointers may still be held by DuckDB through other holders. */
  releaseColumns(): void {
    for (const arena of this.#arenas.values()) arena.release()
    this.#arenas.clear()
  }

  releaseAll(): void {
    this.releaseColumns()
    for (const { arena } of this.#dictionaries.values()) arena?.release()
    this.#dictionaries.clear()
  }

  #writeCodes(
    column: ColumnData,
    dictionary: ColumnData,
    start: number,
    count: number,
    words: Int32Array,
  ): TextArena | null {
    const references = this.#dictionaryReferences(dictionary)
    const codes = codesOf(column)
    const source = references.words
    for (let row = 0; row < count; row++) {
      const from = (codes[start + row] ?? 0) * 4
      const to = row * 4
      // A code out of range, which only a null may have, reads as the empty string.
      words[to] = source[from] ?? 0
      words[to + 1] = source[from + 1] ?? 0
      words[to + 2] = source[from + 2] ?? 0
      words[to + 3] = source[from + 3] ?? 0
    }
    return references.arena
  }

  #dictionaryReferences(dictionary: ColumnData): DictionaryReferences {
    const known = this.#dictionaries.get(dictionary)
    if (known !== undefined) return known
    const words = new Int32Array(dictionary.length * 4)
    const arena = this.#writeTexts(dictionary, 0, dictionary.length, words)
    this.#arenas.delete(dictionary)
    const references = { words, arena }
    this.#dictionaries.set(dictionary, references)
    return references
  }

  #writeTexts(
    column: ColumnData,
    start: number,
    count: number,
    words: Int32Array,
  ): TextArena | null {
    const { offsets, values } = column
    assert(offsets !== null, 'a text column has offsets')
    const base = offsets[0] ?? 0
    const end = Math.min(offsets[column.length] ?? base, values.length)
    let arena = this.#arenas.get(column) ?? null
    for (let row = 0; row < count; row++) {
      const from = offsets[start + row] ?? 0
      const length = (offsets[start + row + 1] ?? 0) - from
      // DuckDB would follow a wrong pointer, so every one is checked here.
      if (length < 0 || from < base || from + length > end) throw outsideText()
      const word = row * 4
      words[word] = length
      if (length <= INLINE_BYTES_MAX) {
        words[word + 1] = fourBytes(values, from, length)
        words[word + 2] = fourBytes(values, from + 4, length - 4)
        words[word + 3] = fourBytes(values, from + 8, length - 8)
      } else {
        arena ??= this.#arenaOf(column, base)
        const address = arena.address + (from - base)
        words[word + 1] = fourBytes(values, from, 4)
        words[word + 2] = address
        words[word + 3] = Math.floor(address / 2 ** 32)
      }
    }
    return arena
  }

  #arenaOf(column: ColumnData, base: number): TextArena {
    const end = column.offsets?.[column.length] ?? base
    const arena = this.#pool.load(column.values.subarray(base, end))
    this.#arenas.set(column, arena)
    return arena
  }
}

/** Up to four bytes, little-endian, the rest zero. */
function fourBytes(bytes: Uint8Array, from: number, length: number): number {
  if (length <= 0) return 0
  let word = bytes[from] ?? 0
  if (length > 1) word |= (bytes[from + 1] ?? 0) << 8
  if (length > 2) word |= (bytes[from + 2] ?? 0) << 16
  if (length > 3) word |= (bytes[from + 3] ?? 0) << 24
  return word
}

function outsideText(): StratalogError {
  return new StratalogError('segment_corrupt', 'A text column points outside its bytes.')
}
