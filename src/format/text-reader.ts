/**
 * Texts of a column as strings. A native call costs about as much for a thousand bytes as for ten, so rows that are
 * read one after the other are decoded a stretch at a time and cut from it.
 *
 * A string that is cut keeps its stretch alive (shorter than 13 characters V8 copies), so a stretch is short: one text
 * that is kept for long holds 40 times its length, about, and never more than 4 KiB. What is read here and there is
 * decoded by itself.
 */
import type { ColumnData } from './column.ts'

const STRETCH_BYTES_MAX = 4096
/** Texts of a stretch: few where some text near is not ASCII, which spoils it, and twice as many after each success. */
const STRETCH_TEXTS_MIN = 10
const STRETCH_TEXTS_MAX = 40
/** Longer texts are decoded by themselves: a stretch would hold too few. */
const CUT_BYTES_MAX = 256
/** Rows that may be passed over, as nulls are, within what counts as one after the other. */
const SKIPPED_ROWS_MAX = 8

export class TextReader {
  readonly #bytes: Buffer
  readonly #offsets: Int32Array
  readonly #length: number
  /** The text of rows `[first, end)`; `start` is where it lies in the bytes. */
  #text = ''
  #first = 0
  #end = 0
  #start = 0
  /** The row after the last one that was decoded. */
  #next = 0
  /** Rows before this are in no stretch: some text near is not ASCII. */
  #aloneBefore = 0
  #stretchTexts = STRETCH_TEXTS_MIN

  constructor(column: ColumnData) {
    const { buffer, byteOffset, byteLength } = column.values
    this.#bytes = Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength)
    this.#offsets = column.offsets ?? new Int32Array(1)
    this.#length = column.length
  }

  at(row: number): string {
    const from = this.#offsets[row] ?? 0
    const to = this.#offsets[row + 1] ?? 0
    if (row >= this.#first && row < this.#end) {
      return this.#text.slice(from - this.#start, to - this.#start)
    }
    const skipped = row - this.#next
    this.#next = row + 1
    const isAlone =
      skipped < 0 ||
      skipped > SKIPPED_ROWS_MAX ||
      row < this.#aloneBefore ||
      to - from > CUT_BYTES_MAX
    return isAlone ? this.#bytes.toString('utf8', from, to) : this.#cutFromStretch(row, from, to)
  }

  /**
   * Brings the bytes of a row near. Values of one row lie far from each other, and a native call waits for its own
   * bytes alone: those that are asked for before it come together.
   */
  touch(row: number): number {
    const from = this.#offsets[row] ?? 0
    const to = this.#offsets[row + 1] ?? 0
    return (this.#bytes[from] ?? 0) | (this.#bytes[(from + to) >> 1] ?? 0)
  }

  #cutFromStretch(row: number, from: number, to: number): string {
    const offsets = this.#offsets
    let end = Math.min(row + this.#stretchTexts, this.#length)
    while (end > row + 1 && (offsets[end] ?? 0) - from > STRETCH_BYTES_MAX) end--
    const stop = offsets[end] ?? 0
    const text = this.#bytes.toString('utf8', from, stop)
    if (text.length !== stop - from) {
      this.#aloneBefore = end
      this.#stretchTexts = STRETCH_TEXTS_MIN
      return this.#bytes.toString('utf8', from, to)
    }
    this.#stretchTexts = Math.min(this.#stretchTexts * 2, STRETCH_TEXTS_MAX)
    this.#text = text
    this.#first = row
    this.#end = end
    this.#start = from
    this.#next = end
    return text.slice(0, to - from)
  }
}
