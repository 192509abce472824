/**
 * From the entries of stored columns back to the column that they are of: what parquet-shred.ts does, the other way.
 * Levels that no column has are refused, or give other values; nothing is read out of range.
 */
import { present } from '../base/assert.ts'
import { type ColumnData, bitmapBytes } from './column.ts'
import type { Fail } from './json-fields.ts'
import type { DecodedChunk } from './parquet-page.ts'
import { ascending } from './ascending.ts'
import { codeBits, decodeRuns } from './parquet-runs.ts'
import { leafCount } from './parquet-schema.ts'
import { decodePlain } from './parquet-values.ts'
import { type ColumnType, type Field, childTypes, columnLayout } from './schema.ts'

/** A stored column, and which of its entries begin a row of the column that is made. */
interface Slots {
  readonly chunk: DecodedChunk
  readonly entries: Int32Array
}

/** @param chunks of the field, in the order of `parquetLeaves`. @throws `fail`. */
export function assembleColumn(
  { type, nullable }: Field,
  length: number,
  chunks: readonly DecodedChunk[],
  fail: Fail,
): ColumnData {
  const slots = chunks.map((chunk) => ({ chunk, entries: rowEntries(chunk, fail) }))
  if (slots.some(({ entries }) => entries.length !== length))
    fail('a column has another count of rows')
  return assemble(type, nullable, { definition: 0, repetition: 0 }, slots, fail)
}

/** The first entry of each row. */
function rowEntries({ length, repetitions }: DecodedChunk, fail: Fail): Int32Array {
  if (repetitions === null) return ascending(length)
  if (repetitions[0] !== 0) fail('a column begins inside a list')
  return entriesAt(repetitions, 0)
}

function entriesAt(repetitions: Uint8Array, level: number): Int32Array {
  const entries = new Int32Array(repetitions.length)
  let count = 0
  for (let entry = 0; entry < repetitions.length; entry++)
    if (repetitions[entry] === level) entries[count++] = entry
  return entries.subarray(0, count)
}

interface Level {
  /** Of what is around the column. */
  readonly definition: number
  readonly repetition: number
}

function assemble(
  type: ColumnType,
  isNullable: boolean,
  { definition, repetition }: Level,
  slots: readonly Slots[],
  fail: Fail,
): ColumnData {
  const first = present(slots[0], 'a stored column')
  const level = definition + (isNullable ? 1 : 0)
  const length = first.entries.length
  const shape = { type, length, ...validityOf(first, level) }
  const layout = columnLayout(type)
  if (layout.kind !== 'list' && layout.kind !== 'struct') return decodeLeaf(first, shape, fail)
  if (layout.kind === 'list') {
    const inside = slots.map((slot) => itemSlots(slot, level + 1, repetition + 1))
    const { offsets } = present(inside[0], 'the items of a list')
    if (inside.some((other) => !areEqual(other.offsets, offsets)))
      fail('the stored columns of a list have other counts of items')
    const below = { definition: level + 1, repetition: repetition + 1 }
    const items = assemble(layout.item, true, below, inside, fail)
    return { ...shape, offsets, values: NO_BYTES, dictionary: null, children: [items] }
  }
  let next = 0
  const children = childTypes(type).map((child) => {
    const own = slots.slice(next, (next += leafCount(child)))
    return assemble(child, true, { definition: level, repetition }, own, fail)
  })
  return { ...shape, offsets: null, values: NO_BYTES, dictionary: null, children }
}

const NO_BYTES = new Uint8Array(0)

type Validity = Pick<ColumnData, 'length' | 'nullCount' | 'validity'>

/** Which rows reach a definition level. */
function validityOf({ chunk, entries }: Slots, level: number): Omit<Validity, 'length'> {
  const { definitions } = chunk
  if (definitions === null || level === 0) return { nullCount: 0, validity: null }
  let nullCount = 0
  for (let row = 0; row < entries.length; row++)
    if ((definitions[entries[row] ?? 0] ?? 0) < level) nullCount++
  if (nullCount === 0) return { nullCount, validity: null }
  const validity = new Uint8Array(bitmapBytes(entries.length))
  for (let row = 0; row < entries.length; row++) {
    if ((definitions[entries[row] ?? 0] ?? 0) >= level)
      validity[row >> 3] = (validity[row >> 3] ?? 0) | (1 << (row & 7))
  }
  return { nullCount, validity }
}

interface ItemSlots extends Slots {
  readonly offsets: Int32Array
}

/** The first entry of each item of the lists that begin at the given entries. */
function itemSlots({ chunk, entries }: Slots, definition: number, repetition: number): ItemSlots {
  const definitions = present(chunk.definitions, 'definition levels')
  const repetitions = present(chunk.repetitions, 'repetition levels')
  const items = new Int32Array(chunk.length)
  const offsets = new Int32Array(entries.length + 1)
  let count = 0
  for (let row = 0; row < entries.length; row++) {
    const start = entries[row] ?? 0
    const end = entries[row + 1] ?? chunk.length
    if ((definitions[start] ?? 0) >= definition) {
      items[count++] = start
      for (let entry = start + 1; entry < end; entry++)
        if (repetitions[entry] === repetition) items[count++] = entry
    }
    offsets[row + 1] = count
  }
  return { chunk, entries: items.subarray(0, count), offsets }
}

function areEqual(a: Int32Array, b: Int32Array): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index])
}

function decodeLeaf(
  { chunk }: Slots,
  shape: Validity & Pick<ColumnData, 'type'>,
  fail: Fail,
): ColumnData {
  const { dictionary, values } = chunk
  if (dictionary === null)
    return { ...shape, ...decodePlain(values, shape.type, shape, fail), dictionary }
  return {
    ...shape,
    offsets: null,
    values: decodeCodes(values, dictionary, shape, fail),
    dictionary,
  }
}

/** Codes of int32, 0 for a null. */
function decodeCodes(
  bytes: Uint8Array,
  dictionary: ColumnData,
  { length, nullCount, validity }: Validity,
  fail: Fail,
): Uint8Array {
  const width = codeBits(dictionary.length)
  if (bytes[0] !== width) fail('its codes have another width')
  const compact = new Int32Array(length - nullCount)
  decodeRuns(bytes.subarray(1), width, compact, dictionary.length - 1, fail)
  if (validity === null) return new Uint8Array(compact.buffer)
  const codes = new Int32Array(length)
  let next = 0
  for (let row = 0; row < length; row++)
    if (((validity[row >> 3] ?? 0) >> (row & 7)) & 1) codes[row] = compact[next++] ?? 0
  return new Uint8Array(codes.buffer)
}
