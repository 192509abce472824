/**
 * Growing columns: the append-only buffers of an open batch.
 *
 * Invariants: bytes of rows below `length` never change, so a view taken at any time stays right while the column grows
 * (bits of later rows may change in the last byte of a bitmap; readers mask by length). When a buffer is too small a
 * bigger one takes its place and the old one stays as it was for whoever still reads it. Buffers come from a
 * BufferSource, which owns them; a builder never frees one.
 */
import { type ColumnData, bitmapBytes, countBits, isValidAt, sliceBitmap } from './column.ts'
import type { ColumnType } from './schema.ts'

/** Hands out buffers of at least `minBytes`, aligned to 8, with unspecified contents. */
export interface BufferSource {
  acquire(minBytes: number): Uint8Array
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
  /** Appends a column of the same type; a dictionary column is decoded. */
  append(column: ColumnData): void
  /** Forgets the rows from `length` on: how a failed append is undone. */
  truncate(length: number): void
  /** Rows and bytes of values so far. */
  size(): ColumnSize
  /** Rows `[start, end)`, sharing this builder's buffers where alignment allows. */
  slice(start: number, end: number): ColumnData
}

export interface ColumnSize {
  readonly rows: number
  readonly valueBytes: number
}

/** The first buffer of a column that nothing is known of. */
export const INITIAL_BYTES: number = 256

/** The bitmap of which rows are there; takes no memory until the first null. */
export class ValidityBuilder {
  #bits: Uint8Array | null = null
  readonly #source: BufferSource

  constructor(source: BufferSource) {
    this.#source = source
  }

  /** Whether no row was null so far; then rows that are there need not be told. */
  get isAllValid(): boolean {
    return this.#bits === null
  }

  /** Says whether row `row`, the next one, is there. */
  set(row: number, isValid: boolean): void {
    if (this.#bits === null) {
      if (isValid) return
      this.#bits = this.#source.acquire(Math.max(INITIAL_BYTES, bitmapBytes(row + 1)))
      this.#bits.fill(0xff, 0, row >> 3)
      this.#bits[row >> 3] = (1 << (row & 7)) - 1
      return
    }
    if (row >> 3 >= this.#bits.length) this.#bits = grown(this.#bits, (row >> 3) + 1, this.#source)
    setBit(this.#bits, row, isValid)
  }

  /** Says which of the next rows are there: those whose value is not null. */
  setAll(first: number, values: readonly unknown[], count: number, nullCount: number): void {
    if (nullCount === 0 && this.#bits === null) return
    for (let index = 0; index < count; index++) {
      const value = values[index]
      this.set(first + index, value !== null && value !== undefined)
    }
  }

  slice(start: number, end: number): { validity: Uint8Array | null; nullCount: number } {
    if (this.#bits === null) return { validity: null, nullCount: 0 }
    const validity = sliceBitmap(this.#bits, start, end - start)
    const nullCount = end - start - countBits(validity, end - start)
    return nullCount === 0 ? { validity: null, nullCount: 0 } : { validity, nullCount }
  }
}

export function appendValidity(validity: ValidityBuilder, column: ColumnData, base: number): void {
  if (column.validity === null && validity.isAllValid) return
  for (let row = 0; row < column.length; row++) validity.set(base + row, isValidAt(column, row))
}

export function setBit(bits: Uint8Array, index: number, isSet: boolean): void {
  const byte = bits[index >> 3] ?? 0
  const mask = 1 << (index & 7)
  bits[index >> 3] = isSet ? byte | mask : byte & ~mask
}

/** A buffer at least twice as big that begins with the same bytes. */
export function grown(buffer: Uint8Array, needed: number, source: BufferSource): Uint8Array {
  const bigger = source.acquire(Math.max(needed, buffer.length * 2))
  bigger.set(buffer)
  return bigger
}
