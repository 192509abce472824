/**
 * The newest record of each key of one partition, kept as records come in offset order. Offsets decide what is newest;
 * times do not. A tombstone takes its key away, and a record whose key is null is of no key.
 *
 * Keys are equal when their values are, whatever the schema of their records: numbers widen to the same number.
 */
import { StratalogError } from '../base/errors.ts'
import { type ColumnData, codesOf, isValidAt } from '../format/column.ts'
import { columnReader, dictionaryTexts } from '../format/column-values.ts'
import { LATEST_KEYS_MAX } from '../format/limits.ts'
import { type RecordBatch, endOffset } from '../format/record-batch.ts'
import { TOMBSTONE_COLUMN, fieldIndex, timestampUnit } from '../format/schema.ts'
import { OffsetSet } from './offset-set.ts'

/** A key as a map holds it. */
export type Key = string | number | bigint | boolean

/** Of a map's entry, beside the characters of its key. */
const ENTRY_BYTES = 48
/** Shorter strings that were cut from a longer one are copies of their own. */
const COPIED_CHARACTERS = 13

export class LatestKeys {
  readonly #newest = new Map<Key, number>()
  readonly #live: OffsetSet
  #next: number
  #keyBytes = 0

  constructor(start: number) {
    this.#live = new OffsetSet(start)
    this.#next = start
  }

  /** Everything before it was taken. */
  get next(): number {
    return this.#next
  }

  get bytes(): number {
    return this.#newest.size * ENTRY_BYTES + this.#keyBytes + this.#live.bytes
  }

  get count(): number {
    return this.#newest.size
  }

  /** Where the newest record of a key is; undefined where the key is not, or not any more. */
  offsetOf(key: Key): number | undefined {
    return this.#newest.get(key)
  }

  /** Offsets of the newest records in `[from, to)`, which ends where everything was taken. */
  offsets(from: number, to: number): OffsetSet {
    return this.#live.copy(from, to)
  }

  countBetween(from: number, to: number): number {
    return this.#live.count(from, to)
  }

  /** Takes the next records. @throws StratalogError `query_limit` for more keys than are kept. */
  add(batch: RecordBatch, keyColumn: string): void {
    const keys = batch.columns[fieldIndex(batch.schema, keyColumn)]
    if (keys !== undefined) {
      const deleted = batch.columns[fieldIndex(batch.schema, TOMBSTONE_COLUMN)]
      const isDeleted = deleted === undefined ? null : columnReader(deleted)
      if (keys.dictionary === null) this.#addRows(batch, keys, isDeleted)
      else this.#addCodes(batch, keys, keys.dictionary, isDeleted)
    }
    this.#next = endOffset(batch)
  }

  /** Says that everything is taken up to there: what was not, nobody has. */
  skipTo(offset: number): void {
    this.#next = Math.max(this.#next, offset)
  }

  /** Forgets keys whose newest record lies before `start`, once they are many. */
  forget(start: number): void {
    const kept = this.#live.count(start, this.#next)
    if (this.#newest.size < 2 * kept + 1_000) return
    for (const [key, offset] of this.#newest) if (offset < start) this.#delete(key, offset)
    this.#live.forget(start)
  }

  #addRows(
    batch: RecordBatch,
    keys: ColumnData,
    isDeleted: ((row: number) => unknown) | null,
  ): void {
    const read = keyReader(keys)
    for (let row = 0; row < batch.length; row++) {
      const key = read(row)
      if (key !== null) this.#set(key, batch.baseOffset + row, isDeleted?.(row) === true)
    }
  }

  /** Of a dictionary only the last row of each code counts. */
  #addCodes(
    { baseOffset, length }: RecordBatch,
    keys: ColumnData,
    dictionary: ColumnData,
    isDeleted: ((row: number) => unknown) | null,
  ): void {
    const codes = codesOf(keys)
    const last = new Int32Array(dictionary.length).fill(-1)
    for (let row = 0; row < length; row++) if (isValidAt(keys, row)) last[codes[row] ?? 0] = row
    const texts = dictionaryTexts(dictionary)
    for (const [code, row] of last.entries()) {
      if (row >= 0) this.#set(texts[code] ?? '', baseOffset + row, isDeleted?.(row) === true)
    }
  }

  #set(key: Key, offset: number, isDeleted: boolean): void {
    const before = this.#newest.get(key)
    if (isDeleted) {
      if (before !== undefined) this.#delete(key, before)
      return
    }
    this.#live.add(offset)
    if (before === undefined) {
      this.#insert(key, offset)
      return
    }
    this.#live.delete(before)
    this.#newest.set(key, offset)
  }

  #insert(key: Key, offset: number): void {
    if (this.#newest.size >= LATEST_KEYS_MAX) throw tooManyKeys()
    this.#newest.set(typeof key === 'string' ? ownText(key) : key, offset)
    this.#keyBytes += textBytes(key)
  }

  #delete(key: Key, offset: number): void {
    this.#newest.delete(key)
    this.#live.delete(offset)
    this.#keyBytes -= textBytes(key)
  }
}

/** A key per row; null where there is none. */
function keyReader(column: ColumnData): (row: number) => Key | null {
  const { type } = column
  if (type === 'binary') {
    const read = columnReader(column)
    return (row) => {
      const value = read(row)
      return value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : null
    }
  }
  // Times count in their unit, and JSON is its text.
  const plain =
    timestampUnit(type) !== null
      ? ({ ...column, type: 'int64' } as const)
      : type === 'date'
        ? ({ ...column, type: 'int32' } as const)
        : type === 'json'
          ? ({ ...column, type: 'utf8' } as const)
          : column
  return columnReader(plain) as (row: number) => Key | null
}

/** The key of the first row of a column; null where it has none. */
export function firstKey(column: ColumnData): Key | null {
  return keyReader(column)(0)
}

function textBytes(key: Key): number {
  return typeof key === 'string' ? key.length : 0
}

/** A text that was cut from a longer one keeps all of that. */
function ownText(text: string): string {
  return text.length < COPIED_CHARACTERS ? text : Buffer.from(text).toString()
}

function tooManyKeys(): StratalogError {
  return new StratalogError(
    'query_limit',
    `The latest view of a partition holds at most ${LATEST_KEYS_MAX} keys.`,
    { details: { keysMax: LATEST_KEYS_MAX } },
  )
}
