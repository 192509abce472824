/**
 * The offsets and bytes of a growing column of a variable type: texts and bytes one behind the other.
 *
 * What makes it fast: a native call costs 20 to 90 ns whatever it copies, so short texts are joined and encoded by one
 * call for a whole stretch; that they are ASCII, and their places known, is told by how many bytes came of it.
 *
 * While all values have one length there are no offsets: a slice has those that every column of that length shares
 * (stride-offsets.ts). The first value of another length has the offsets of its own made, for good.
 */
import { present } from '../base/assert.ts'
import { copyBytes } from './copy-bytes.ts'
import { type ColumnData, int32View, isValidAt } from './column.ts'
import {
  type BufferSource,
  type ColumnSize,
  INITIAL_BYTES,
  NO_BYTES,
  NO_SIZE,
  type PushResult,
  grown,
} from './growing-column.ts'
import { VALUE_BYTES_MAX } from './limits.ts'
import { MIXED, charStride, strideOf, strideOffsets, strideRowsMax } from './stride-offsets.ts'

/** Joined texts are encoded at this many characters: longer strings would be garbage that V8 collects slowly. */
const STRETCH_CHARS = 24 * 1024
/** A text of more characters is encoded by itself: joining it would copy more than a native call costs. */
const JOINED_CHARS_MAX = 160
/** A single text of at most so many characters is written faster by a loop than by a native call. */
const LOOPED_CHARS_MAX = 24
/**
 * Room behind a text that is taken for ASCII: with this much more than it has characters, one that is not is never cut
 * off to just as many bytes.
 */
const SLACK_BYTES = 4

/** Fewer bytes are copied faster one by one than by a native call. */
const SET_BYTES_MIN = 48

/** Texts that lie in `bytes` as UTF-8. */
export interface TextPlaces {
  readonly bytes: Uint8Array
  readonly starts: Int32Array
  readonly ends: Int32Array
}

export class VariableValues {
  length = 0
  readonly #source: BufferSource
  /** Room that the first buffers have. */
  readonly #expected: ColumnSize
  /** Bytes of all values. */
  byteLength = 0
  /** Bytes of each value, while there are no offsets; of no value any. */
  #stride = 0
  /** Rows of that length that need no offsets. */
  #strideRowsMax = 0
  /** Null while all values have one length. */
  #offsets: Int32Array | null = null
  #bytes: Uint8Array = NO_BYTES
  /** The same bytes, for native calls; made by the first. */
  #buffer: Buffer | null = null

  constructor(source: BufferSource, expected: ColumnSize = NO_SIZE) {
    this.#source = source
    this.#expected = expected
  }

  /** Bytes of the offsets that the rows need. */
  get offsetBytes(): number {
    return this.#offsets === null ? 0 : (this.length + 1) * 4
  }

  /** Makes room for `rows` more with `bytes` in all. */
  reserve(rows: number, bytes: number): void {
    if (this.#offsets !== null) this.#reserveOffsets(this.#offsets, rows)
    this.#reserveBytes(bytes)
  }

  /** A row without bytes, such as a null. */
  pushEmpty(): void {
    this.reserve(1, 0)
    this.#end(this.byteLength)
  }

  pushBytes(bytes: Uint8Array): PushResult {
    if (bytes.length > VALUE_BYTES_MAX) return 'too_large'
    this.reserve(1, bytes.length)
    const start = this.byteLength
    this.#bytes.set(bytes, start)
    this.#end(start + bytes.length)
    return 'ok'
  }

  pushText(text: string): PushResult {
    const { length } = text
    if (length > VALUE_BYTES_MAX) return 'too_large'
    if (length <= LOOPED_CHARS_MAX) {
      this.reserve(1, length)
      if (this.#writeShort(text)) return 'ok'
    } else {
      this.reserve(1, length + SLACK_BYTES)
      const start = this.byteLength
      const written = this.#native().write(text, start, length + SLACK_BYTES)
      if (written === length) {
        this.#end(start + length)
        return 'ok'
      }
    }
    return this.#pushOther(text)
  }

  /** Appends `texts[from..to)`; anything but `ok` leaves rows of them behind, for the caller to truncate. */
  pushTexts(texts: readonly string[], from: number, to: number): PushResult {
    let row = from
    while (row < to) {
      let joined = texts[row++] ?? ''
      const first = row - 1
      if (joined.length > VALUE_BYTES_MAX) return 'too_large'
      while (row < to && joined.length < STRETCH_CHARS) {
        const text = texts[row] ?? ''
        if (text.length > JOINED_CHARS_MAX) break
        joined += text
        row++
      }
      const result = this.#pushStretch(joined, texts, first, row)
      if (result !== 'ok') return result
    }
    return 'ok'
  }

  /** Appends texts `[from, to)` of those places. */
  pushPlaces({ bytes: source, starts, ends }: TextPlaces, from: number, to: number): void {
    const { stride, byteCount } = placeLengths(starts, ends, from, to)
    this.reserve(to - from, byteCount)
    const own = this.#offsets ?? this.#offsetsFor(stride, to - from)
    const bytes = this.#bytes
    const base = this.length + 1 - from
    let end = this.byteLength
    for (let row = from; row < to; row++) {
      const last = ends[row] ?? 0
      let at = starts[row] ?? 0
      if (last - at >= SET_BYTES_MIN) {
        bytes.set(source.subarray(at, last), end)
        end += last - at
      } else while (at < last) bytes[end++] = source[at++] ?? 0
      if (own !== null) own[base + row] = end
    }
    this.length += to - from
    this.byteLength = end
  }

  /** Appends `count` values that `offsets` divide `values` into. */
  append(offsets: Int32Array, values: Uint8Array, count: number): void {
    if (count === 0) return
    const first = offsets[0] ?? 0
    const last = offsets[count] ?? 0
    this.reserve(count, last - first)
    const start = this.byteLength
    copyBytes(
      this.#bytes,
      start,
      first === 0 && last === values.length ? values : values.subarray(first, last),
    )
    const shift = start - first
    const own = this.#offsets ?? this.#offsetsFor(strideOf(offsets, count), count)
    if (own !== null) {
      const base = this.length
      for (let row = 1; row <= count; row++) own[base + row] = (offsets[row] ?? 0) + shift
    }
    this.length += count
    this.byteLength = last + shift
  }

  /**
   * Appends the word of each code, and nothing for a null; words are short and repeat, so their bytes are copied one by
   * one.
   */
  appendWords(coded: CodedRows, from: number, to: number): void {
    if (from === to) return
    const { codes, validity, words } = coded
    const starts = present(words.offsets, 'a dictionary is of a variable type')
    const { stride, byteCount } = wordLengths(coded, from, to)
    this.reserve(to - from, byteCount)
    const own = this.#offsets ?? this.#offsetsFor(stride, to - from)
    const text = words.values
    const bytes = this.#bytes
    const base = this.length + 1 - from
    let end = this.byteLength
    for (let row = from; row < to; row++) {
      if (validity === null || isValidAt({ validity }, row)) {
        const code = codes[row] ?? 0
        const textEnd = starts[code + 1] ?? 0
        for (let at = starts[code] ?? 0; at < textEnd; at++) bytes[end++] = text[at] ?? 0
      }
      if (own !== null) own[base + row] = end
    }
    this.length += to - from
    this.byteLength = end
  }

  truncate(length: number): void {
    this.byteLength = this.#startOf(length)
    this.length = length
  }

  seal(): void {
    if (this.#offsets !== null)
      this.#offsets = int32View(this.#source.shrink(bytesOf(this.#offsets), this.offsetBytes))
    if (this.#bytes.length > 0) this.#bytes = this.#source.shrink(this.#bytes, this.byteLength)
    this.#buffer = null
  }

  /** Gives the buffers back; the values are of no more use. */
  retire(): void {
    if (this.#offsets !== null) this.#source.retire(bytesOf(this.#offsets))
    if (this.#bytes.length > 0) this.#source.retire(this.#bytes)
    this.#offsets = null
    this.#bytes = NO_BYTES
    this.#buffer = null
    this.length = 0
    this.byteLength = 0
  }

  slice(start: number, end: number): VariableSlice {
    const offsets =
      this.#offsets?.subarray(start, end + 1) ?? strideOffsets(this.#stride, start, end)
    return { offsets, values: this.#bytes.subarray(0, this.#startOf(end)) }
  }

  textOf(row: number): string {
    return this.#native().toString('utf8', this.#startOf(row), this.#startOf(row + 1))
  }

  /** Whether the value in a row is these bytes. */
  isAt(row: number, source: Uint8Array, start: number, end: number): boolean {
    const bytes = this.#bytes
    let at = this.#startOf(row)
    if (this.#startOf(row + 1) - at !== end - start) return false
    for (let from = start; from < end; from++, at++) if (bytes[at] !== source[from]) return false
    return true
  }

  #startOf(row: number): number {
    return this.#offsets === null ? row * this.#stride : (this.#offsets[row] ?? 0)
  }

  /**
   * Of a column that needed no offsets so far: null when it needs none for `count` rows more, of `stride` bytes each;
   * else its offsets, with room for those rows.
   */
  #offsetsFor(stride: number, count: number): Int32Array | null {
    if (stride === this.#stride && this.length + count <= this.#strideRowsMax) return null
    if (this.length > 0 || count > strideRowsMax(stride)) return this.#makeOffsets(count)
    this.#stride = stride
    this.#strideRowsMax = strideRowsMax(stride)
    return null
  }

  #makeOffsets(count: number): Int32Array {
    const rows = Math.max(this.length + count, this.#expected.rows)
    const offsets = int32View(this.#source.acquire(Math.max(INITIAL_BYTES, (rows + 1) * 4)))
    offsets.set(strideOffsets(this.#stride, 0, this.length))
    this.#offsets = offsets
    return offsets
  }

  #pushStretch(joined: string, texts: readonly string[], from: number, to: number): PushResult {
    const { length } = joined
    const count = to - from
    this.reserve(count, length + SLACK_BYTES)
    const start = this.byteLength
    if (length > 0 && this.#native().write(joined, start, length + SLACK_BYTES) !== length)
      return this.#pushOthers(joined, texts, from, to)
    const own = this.#offsets ?? this.#offsetsFor(charStride(texts, from, to, length), count)
    if (own !== null) {
      let end = start
      const base = this.length + 1 - from
      for (let row = from; row < to; row++) {
        end += (texts[row] ?? '').length
        own[base + row] = end
      }
    }
    this.length += count
    this.byteLength = start + length
    return 'ok'
  }

  /** Texts of which some are not ASCII. */
  #pushOthers(joined: string, texts: readonly string[], from: number, to: number): PushResult {
    this.reserve(to - from, Buffer.byteLength(joined))
    for (let row = from; row < to; row++) {
      const text = texts[row] ?? ''
      const isShort = text.length <= LOOPED_CHARS_MAX
      // The row before may have been the one that needed offsets.
      this.reserve(1, 0)
      const result = isShort && this.#writeShort(text) ? 'ok' : this.#pushOther(text)
      if (result !== 'ok') return result
    }
    return 'ok'
  }

  /** A text that is, as likely as not, not ASCII. */
  #pushOther(text: string): PushResult {
    if (!text.isWellFormed()) return 'ill_formed'
    const byteCount = Buffer.byteLength(text)
    if (byteCount > VALUE_BYTES_MAX) return 'too_large'
    this.reserve(1, byteCount)
    const start = this.byteLength
    this.#native().write(text, start, byteCount)
    this.#end(start + byteCount)
    return 'ok'
  }

  /** Writes a text for which there is room; false when it is not ASCII. */
  #writeShort(text: string): boolean {
    const bytes = this.#bytes
    const start = this.byteLength
    let seen = 0
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index)
      seen |= code
      bytes[start + index] = code
    }
    if (seen > 0x7f) return false
    this.#end(start + text.length)
    return true
  }

  #end(position: number): void {
    const own = this.#offsets ?? this.#offsetsFor(position - this.byteLength, 1)
    if (own !== null) own[this.length + 1] = position
    this.length++
    this.byteLength = position
  }

  #reserveOffsets(own: Int32Array, rows: number): void {
    const needed = (this.length + rows + 1) * 4
    if (needed > own.byteLength)
      this.#offsets = int32View(grown(bytesOf(own), this.offsetBytes, needed, this.#source))
  }

  #reserveBytes(bytes: number): void {
    const used = this.byteLength
    const needed = used + bytes
    if (needed <= this.#bytes.length) return
    const wanted = Math.max(needed, this.#expected.valueBytes)
    this.#bytes = grown(this.#bytes, used, wanted, this.#source)
    this.#buffer = null
  }

  #native(): Buffer {
    this.#buffer ??= Buffer.from(
      this.#bytes.buffer as ArrayBuffer,
      this.#bytes.byteOffset,
      this.#bytes.byteLength,
    )
    return this.#buffer
  }
}

/** Rows that are codes into words; what lies under a null is unspecified. */
export interface CodedRows {
  readonly codes: Uint8Array | Int32Array
  readonly validity: Uint8Array | null
  readonly words: Pick<ColumnData, 'offsets' | 'values'>
}

/** How long rows `[from, to)` are once each has its own bytes. */
function wordLengths(
  { codes, validity, words }: CodedRows,
  from: number,
  to: number,
): { readonly stride: number; readonly byteCount: number } {
  const { offsets } = words
  let stride = MIXED
  let byteCount = 0
  for (let row = from; row < to; row++) {
    const isValid = validity === null || isValidAt({ validity }, row)
    const code = codes[row] ?? 0
    const length = isValid ? (offsets?.[code + 1] ?? 0) - (offsets?.[code] ?? 0) : 0
    byteCount += length
    if (row === from) stride = length
    else if (length !== stride) stride = MIXED
  }
  return { stride, byteCount }
}

function placeLengths(
  starts: Int32Array,
  ends: Int32Array,
  from: number,
  to: number,
): { readonly stride: number; readonly byteCount: number } {
  let stride = from < to ? (ends[from] ?? 0) - (starts[from] ?? 0) : MIXED
  let byteCount = 0
  for (let row = from; row < to; row++) {
    const length = (ends[row] ?? 0) - (starts[row] ?? 0)
    byteCount += length
    if (length !== stride) stride = MIXED
  }
  return { stride, byteCount }
}

function bytesOf({ buffer, byteOffset, byteLength }: Int32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}

interface VariableSlice {
  readonly offsets: Int32Array
  /** From the first byte of the column on, whatever the offsets begin with. */
  readonly values: Uint8Array
}
