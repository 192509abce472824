/**
 * Decides from the data whether a text column is dictionary-encoded in a segment, and makes the
 * dictionary: the distinct values over the whole segment, sorted by bytes, so that codes order as
 * the texts do.
 *
 * Gives up as soon as there are too many values to be worth it. Work is bounded also for texts
 * chosen to collide.
 */
import { type ColumnData, codesOf, int32View, isValidAt } from './column.ts'
import type { Validity } from './column-concat.ts'
import { DICTIONARY_BYTES_MAX, DICTIONARY_ENTRIES_MAX } from './limits.ts'

export interface DictionaryPlan {
  /** The distinct values, ascending by bytes, each once. */
  readonly dictionary: ColumnData
  readonly codeWidth: CodeWidth
  /**
   * Row by row over all columns, which entry it is in the order of discovery; anything for a null.
   */
  readonly entries: Uint16Array
  /** From the order of discovery to the dictionary's. */
  readonly codes: Uint16Array
}

/** Bytes of one code in a segment. */
export type CodeWidth = 1 | 2 | 4

/** The width that codes into a dictionary of `length` entries have; part of the segment format. */
export function codeWidthFor(length: number): CodeWidth {
  return length <= 0x80 ? 1 : length <= 0x8000 ? 2 : 4
}

/** A dictionary has to save this much to be worth a message of its own and a look-up per value. */
const SAVED_BYTES_MIN = 1024
/** Rows per distinct value at least. */
const ROWS_PER_ENTRY_MIN = 8
/** Look-ups may cost this many comparisons a row on average; more means texts that collide. */
const PROBES_PER_ROW_MAX = 8

/**
 * Null when the values are better stored as they are. `columns` are one column of consecutive
 * batches.
 */
export function planDictionary(columns: readonly ColumnData[]): DictionaryPlan | null {
  const rowCount = columns.reduce((sum, column) => sum + column.length, 0)
  const entriesMax = Math.min(DICTIONARY_ENTRIES_MAX, Math.floor(rowCount / ROWS_PER_ENTRY_MIN))
  if (entriesMax === 0) return null
  const table = new EntryTable(entriesMax, rowCount * PROBES_PER_ROW_MAX)
  const entries = new Uint16Array(rowCount)
  let row = 0
  for (const column of columns) {
    const isDone =
      column.dictionary === null
        ? findPlain(table, column, entries, row)
        : findCoded(table, column, column.dictionary, entries, row)
    if (!isDone) return null
    row += column.length
  }
  // A dictionary has at least one value; a column of nulls has none to give.
  const isWorthIt = table.count > 0 && table.savedBytes(rowCount) >= SAVED_BYTES_MIN
  return isWorthIt ? { ...table.sorted(), entries } : null
}

function findPlain(
  table: EntryTable,
  column: ColumnData,
  entries: Uint16Array,
  base: number,
): boolean {
  const offsets = column.offsets ?? new Int32Array(1)
  for (let row = 0; row < column.length; row++) {
    if (!isValidAt(column, row)) continue
    const entry = table.find(column.values, offsets[row] ?? 0, offsets[row + 1] ?? 0)
    if (entry === -1) return false
    entries[base + row] = entry
  }
  return true
}

/** Looks every value of the column's own dictionary up once, and only those that rows use. */
function findCoded(
  table: EntryTable,
  column: ColumnData,
  dictionary: ColumnData,
  entries: Uint16Array,
  base: number,
): boolean {
  const offsets = dictionary.offsets ?? new Int32Array(1)
  const codes = codesOf(column)
  const entryOfCode = new Int32Array(dictionary.length).fill(-1)
  for (let row = 0; row < column.length; row++) {
    if (!isValidAt(column, row)) continue
    const code = codes[row] ?? 0
    const start = offsets[code] ?? 0
    const end = offsets[code + 1] ?? 0
    let entry = entryOfCode[code] ?? -1
    if (entry === -1) {
      entry = table.find(dictionary.values, start, end)
      if (entry === -1) return false
      entryOfCode[code] = entry
    } else {
      table.countAgain(end - start)
    }
    entries[base + row] = entry
  }
  return true
}

/** Distinct byte strings, numbered in the order they came: open addressing with linear probing. */
class EntryTable {
  readonly #entriesMax: number
  readonly #slots: Int32Array
  readonly #hashes: Int32Array
  readonly #ends: Int32Array
  #bytes: Uint8Array = new Uint8Array(4096)
  #count = 0
  #probesLeft: number
  #plainBytes = 0

  constructor(entriesMax: number, probesMax: number) {
    this.#entriesMax = entriesMax
    this.#probesLeft = probesMax
    // At most half full, so that a free slot is near; 0 is free, entry e is stored as e + 1.
    this.#slots = new Int32Array(2 ** Math.ceil(Math.log2(entriesMax * 2 + 1)))
    this.#hashes = new Int32Array(entriesMax)
    this.#ends = new Int32Array(entriesMax + 1)
  }

  get count(): number {
    return this.#count
  }

  /** The entry of these bytes, added when new; -1 when there are too many. */
  find(source: Uint8Array, start: number, end: number): number {
    this.#plainBytes += end - start
    const hash = hashBytes(source, start, end)
    const mask = this.#slots.length - 1
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = (this.#slots[slot] ?? 0) - 1
      if (entry === -1) return this.#add(source, start, end, hash, slot)
      if (this.#hashes[entry] === hash && this.#equals(entry, source, start, end)) return entry
      if (--this.#probesLeft < 0) return -1
    }
  }

  /** Counts another use of an entry that the caller remembers. */
  countAgain(byteCount: number): void {
    this.#plainBytes += byteCount
  }

  /** What the dictionary takes less than the plain values would, before compression. */
  savedBytes(rowCount: number): number {
    const own =
      rowCount * codeWidthFor(this.#count) + (this.#ends[this.#count] ?? 0) + this.#count * 4
    return this.#plainBytes + rowCount * 4 - own
  }

  sorted(): { dictionary: ColumnData; codes: Uint16Array; codeWidth: CodeWidth } {
    const order = Uint16Array.from({ length: this.#count }, (_, entry) => entry)
    order.sort((a, b) => this.#compare(a, b))
    const codes = new Uint16Array(this.#count)
    const offsets = new Int32Array(this.#count + 1)
    const values = new Uint8Array(this.#ends[this.#count] ?? 0)
    let end = 0
    order.forEach((entry, code) => {
      const bytes = this.#bytes.subarray(this.#ends[entry] ?? 0, this.#ends[entry + 1] ?? 0)
      values.set(bytes, end)
      end += bytes.length
      codes[entry] = code
      offsets[code + 1] = end
    })
    const dictionary: ColumnData = {
      type: 'utf8',
      length: this.#count,
      nullCount: 0,
      validity: null,
      offsets,
      values,
      dictionary: null,
    }
    return { dictionary, codes, codeWidth: codeWidthFor(this.#count) }
  }

  #add(source: Uint8Array, start: number, end: number, hash: number, slot: number): number {
    const entry = this.#count
    const position = this.#ends[entry] ?? 0
    const bytesEnd = position + end - start
    if (entry === this.#entriesMax || bytesEnd > DICTIONARY_BYTES_MAX) return -1
    if (bytesEnd > this.#bytes.length) {
      const bigger = new Uint8Array(Math.max(bytesEnd, this.#bytes.length * 2))
      bigger.set(this.#bytes)
      this.#bytes = bigger
    }
    this.#bytes.set(source.subarray(start, end), position)
    this.#ends[entry + 1] = bytesEnd
    this.#hashes[entry] = hash
    this.#slots[slot] = entry + 1
    this.#count++
    return entry
  }

  #equals(entry: number, source: Uint8Array, start: number, end: number): boolean {
    let position = this.#ends[entry] ?? 0
    if ((this.#ends[entry + 1] ?? 0) - position !== end - start) return false
    for (let from = start; from < end; from++, position++) {
      if (this.#bytes[position] !== source[from]) return false
    }
    return true
  }

  #compare(a: number, b: number): number {
    const left = this.#bytes.subarray(this.#ends[a] ?? 0, this.#ends[a + 1] ?? 0)
    const right = this.#bytes.subarray(this.#ends[b] ?? 0, this.#ends[b + 1] ?? 0)
    return Buffer.compare(left, right)
  }
}

/** FNV-1a over 32 bits, with the high bits folded in for the mask. */
function hashBytes(source: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5 | 0
  for (let position = start; position < end; position++) {
    hash = Math.imul(hash ^ (source[position] ?? 0), 0x01000193)
  }
  return hash ^ (hash >>> 15)
}

/** Codes of the plan's width for the rows of `column`, the plan's from `start` on; 0 for a null. */
export function dictionaryCodes(plan: DictionaryPlan, column: Validity, start: number): Uint8Array {
  const { codeWidth, entries, codes } = plan
  const bytes = new Uint8Array(column.length * codeWidth)
  const target =
    codeWidth === 1 ? bytes : codeWidth === 2 ? new Uint16Array(bytes.buffer) : int32View(bytes)
  for (let row = 0; row < column.length; row++) {
    if (isValidAt(column, row)) target[row] = codes[entries[start + row] ?? 0] ?? 0
  }
  return bytes
}
