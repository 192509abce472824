/**
 * Which records of a partition a log that keeps the latest may let go of: they come in offset order, from the
 * partition's start on, and each is looked at once.
 *
 * - A record goes when a newer one of its key came, unless a snapshot ends between the two.
 * - A tombstone goes that has no older record of its key before it, if an earlier look was at it too.
 *
 * So the newest record of a key goes at no end of a snapshot, nor at the end of all.
 */
import { assert } from '../base/assert.ts'
import { type ColumnData, codesOf, isValidAt } from '../format/column.ts'
import { columnReader } from '../format/column-values.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import { type ColumnType, TOMBSTONE_COLUMN, fieldIndex } from '../format/schema.ts'
import { KeyTable, NO_OFFSET } from './key-table.ts'
import { keyBytes } from './latest-keys.ts'
import { PagedOffsets } from './paged-offsets.ts'

export interface SupersededOptions {
  /** Of the key column. */
  readonly type: ColumnType
  /** Where snapshots end. */
  readonly snapshotEnds: readonly number[]
  /** Tombstones in between may go where nothing older is: an earlier look was at them, and no snapshot needs them. */
  readonly tombstones: { readonly from: number; readonly to: number }
}

export class SupersededRecords {
  /** Offsets of the records that may go. */
  readonly gone: PagedOffsets = new PagedOffsets()
  readonly #options: SupersededOptions
  readonly #ends: readonly number[]
  /** The last offset of each key. */
  readonly #last = new KeyTable()

  constructor(options: SupersededOptions) {
    this.#options = options
    this.#ends = options.snapshotEnds.toSorted((a, b) => a - b)
  }

  /** @throws StratalogError `query_limit` for more keys than are kept; what was found until then holds. */
  add(batch: RecordBatch, keyColumn: string): void {
    const keys = batch.columns[fieldIndex(batch.schema, keyColumn)]
    if (keys === undefined) return
    assert(keys.type === this.#options.type, 'keys come in one type')
    const deleted = batch.columns[fieldIndex(batch.schema, TOMBSTONE_COLUMN)]
    const isDeleted = deleted === undefined ? null : columnReader(deleted)
    const { bytes, boundsOf } = boundsIn(keys)
    for (let row = 0; row < batch.length; row++) {
      if (!isValidAt(keys, row)) continue
      const [start, end] = boundsOf(row)
      this.#add(bytes, start, end, batch.baseOffset + row, isDeleted?.(row) === true)
    }
  }

  #add(bytes: Uint8Array, start: number, end: number, offset: number, isDeleted: boolean): void {
    const before = this.#last.get(bytes, start, end)
    const { from, to } = this.#options.tombstones
    if (before === NO_OFFSET && isDeleted && offset >= from && offset < to) {
      this.gone.add(offset)
      return
    }
    this.#last.set(bytes, start, end, offset)
    if (before !== NO_OFFSET && !this.#endsBetween(before, offset)) this.gone.add(before)
  }

  /** Whether a snapshot has the older record, and not the newer one. */
  #endsBetween(older: number, newer: number): boolean {
    let low = 0
    let high = this.#ends.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#ends[middle] ?? Infinity) > older) high = middle
      else low = middle + 1
    }
    return (this.#ends[low] ?? Infinity) <= newer
  }
}

/** Where the key of each row lies. */
function boundsIn(keys: ColumnData): {
  readonly bytes: Uint8Array
  readonly boundsOf: (row: number) => readonly [number, number]
} {
  const { dictionary } = keys
  const { bytes, offsets, width } = keyBytes(dictionary ?? keys)
  const codes = dictionary === null ? null : codesOf(keys)
  return {
    bytes,
    boundsOf: (row) => {
      const at = codes === null ? row : (codes[row] ?? 0)
      return offsets === null
        ? [at * width, at * width + width]
        : [offsets[at] ?? 0, offsets[at + 1] ?? 0]
    },
  }
}
