/**
 * Growing columns: the append-only buffers of an open batch.
 *
 * Invariants: bytes of rows below `length` never change, so a view taken at any time stays right while the column grows
 * (bits of later rows may change in the last byte of a bitmap; readers mask by length). When a buffer is too small a
 * bigger one takes its place and the old one stays as it was for whoever still reads it. Buffers come from a
 * BufferSource, which owns them; a builder never frees one.
 */
import { clearBit, copyBits, setBits } from './bits.ts'
import { type ColumnData, bitmapBytes, countBits, sliceBitmap } from './column.ts'
import type { ColumnType } from './schema.ts'

/** Where the buffers of growing columns come from and go back to. */
export interface BufferSource {
  /**
   * A buffer of at least `minBytes`, aligned to 8, with unspecified contents. What it throws leaves a builder such that
   * `truncate` brings its old rows back.
   */
  acquire(minBytes: number): Uint8Array
  /** The builder no longer uses a buffer that it acquired; views of it may still be read. */
  retire(buffer: Uint8Array): void
  /** Gives the tail of a buffer back: the same start, `bytes` long at least. */
  shrink(buffer: Uint8Array, bytes: number): Uint8Array
}

/** Buffers of the JavaScript heap, for columns that live as long as somebody holds them. */
export const HEAP_BUFFERS: BufferSource = {
  acquire: (minBytes) => new Uint8Array(Math.ceil(minBytes / 8) * 8),
  retire() {},
  shrink: (buffer, bytes) => buffer.subarray(0, bytes),
}

/** Why a value was not taken. */
export type PushResult = 'ok' | 'mismatch' | 'too_large' | 'ill_formed'

export interface ColumnBuilder {
  readonly type: ColumnType
  readonly length: number
  /** Appends a value; null and undefined append a null. Anything but `ok` leaves the column unchanged. */
  push(value: unknown): PushResult
  /**
   * Appends `values[0..count)`. Returns how many were null, or -1 when not all were taken: then the column holds
   * anything behind its old rows, and the caller truncates it.
   */
  pushAll(values: readonly unknown[], count: number): number
  /** Appends a column of the same type, with a dictionary or without. */
  append(column: ColumnData): void
  /** Forgets the rows from `length` on: how a failed append is undone. */
  truncate(length: number): void
  /** Rows and bytes of values so far. */
  size(): ColumnSize
  /** Cuts the buffers to what the rows use; the column takes no more rows. */
  seal(): void
  /**
   * The number in a row of a fixed-width type, in the column's unit; of 64 bits the nearest number. Anything for a null
   * and for other types.
   */
  numberAt(row: number): number
  /** Rows `[start, end)`, sharing this builder's buffers where alignment allows. */
  slice(start: number, end: number): ColumnData
}

export interface ColumnSize {
  readonly rows: number
  /** Without offsets; codes and their words count as they are. */
  readonly valueBytes: number
  /** Of values that follow one another and have several lengths; absent where there are none. */
  readonly offsetBytes?: number
  /** Of text: how it is kept, and the column of the next batch begins; absent, that decides by its first values. */
  readonly encoding?: 'plain' | 'dictionary'
}

export const NO_SIZE: ColumnSize = { rows: 0, valueBytes: 0 }

/** The first buffer of a column that nothing is known of: a log of one record stays small. */
export const INITIAL_BYTES: number = 64

/** The bitmap of which rows are there; takes no memory until the first null. */
export class ValidityBuilder {
  #bits: Uint8Array | null = null
  readonly #source: BufferSource

  constructor(source: BufferSource) {
    this.#source = source
  }

  /** Rows `[first, first + count)`, the next ones, are there unless `clear` says otherwise. */
  reserve(first: number, count: number): void {
    if (this.#bits === null) return
    const bits = this.#roomFor(this.#bits, first, count)
    setBits(bits, first, count)
  }

  /** Row `row` is null; it is one of those reserved up to `end`. */
  clear(row: number, end: number): void {
    clearBit(this.#bits ?? this.#begin(end), row)
  }

  /** Says which of the next rows are there: as those of `column`. */
  append(column: Pick<ColumnData, 'length' | 'validity'>, first: number): void {
    if (column.validity === null) {
      this.reserve(first, column.length)
      return
    }
    const bits = this.#bits ?? this.#begin(first + column.length)
    copyBits(this.#roomFor(bits, first, column.length), first, column.validity, column.length)
  }

  slice(start: number, end: number): { validity: Uint8Array | null; nullCount: number } {
    if (this.#bits === null) return { validity: null, nullCount: 0 }
    const validity = sliceBitmap(this.#bits, start, end - start)
    const nullCount = end - start - countBits(validity, end - start)
    return nullCount === 0 ? { validity: null, nullCount: 0 } : { validity, nullCount }
  }

  /** Cuts the bitmap to `length` rows. */
  seal(length: number): void {
    if (this.#bits !== null) this.#bits = this.#source.shrink(this.#bits, bitmapBytes(length))
  }

  #begin(end: number): Uint8Array {
    const byteCount = bitmapBytes(end)
    const bits = this.#source.acquire(Math.max(INITIAL_BYTES, byteCount))
    bits.fill(0xff, 0, byteCount)
    this.#bits = bits
    return bits
  }

  #roomFor(bits: Uint8Array, first: number, count: number): Uint8Array {
    const needed = bitmapBytes(first + count)
    if (needed <= bits.length) return bits
    this.#bits = grown(bits, bitmapBytes(first), needed, this.#source)
    return this.#bits
  }
}

/** What a column has before its first buffer; never written. */
export const NO_BYTES: Uint8Array = new Uint8Array(0)

/** A buffer for `needed` bytes, at least twice as big as the one it replaces, beginning with its first `used` bytes. */
export function grown(
  buffer: Uint8Array,
  used: number,
  needed: number,
  source: BufferSource,
): Uint8Array {
  const bigger = source.acquire(Math.max(INITIAL_BYTES, needed, buffer.length * 2))
  if (used > 0) bigger.set(buffer.subarray(0, used))
  if (buffer.length > 0) source.retire(buffer)
  return bigger
}
