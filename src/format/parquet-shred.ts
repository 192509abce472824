/**
 * Columns as the entries of Parquet's stored columns: what lies inside of lists and structs becomes flat columns, whose
 * levels say how it lay there (the Dremel encoding). An entry is a value, or where there is none the place where it
 * ends: at a null, or at a list without items.
 */
import { present } from '../base/assert.ts'
import { ascending } from './ascending.ts'
import { type ColumnData, isValidAt } from './column.ts'
import { columnLayout } from './schema.ts'

/** The entries of one stored column. */
export interface LeafEntries {
  /** Of the scalar type. */
  readonly column: ColumnData
  readonly length: number
  /** The rows of `column` that are values, in the order of the entries; null when these are all rows as they are. */
  readonly rows: Int32Array | null
  /** One an entry; null when every entry is a value by its type. */
  readonly definitions: Uint8Array | null
  /** One an entry; null outside of lists. */
  readonly repetitions: Uint8Array | null
}

/** The entries of each stored column of a field, in the order of `parquetLeaves`. */
export function shredColumn(column: ColumnData, isNullable: boolean): readonly LeafEntries[] {
  const { kind } = columnLayout(column.type)
  if (kind !== 'list' && kind !== 'struct') return [flatEntries(column, isNullable)]
  const leaves: LeafEntries[] = []
  const { length } = column
  const entries = {
    rows: ascending(length),
    definitions: new Uint8Array(length),
    repetitions: new Uint8Array(length),
  }
  visit(column, isNullable, entries, 0, 0, leaves)
  return leaves
}

function flatEntries(column: ColumnData, isNullable: boolean): LeafEntries {
  const { length, nullCount } = column
  const shape = { column, length, repetitions: null }
  if (!isNullable) return { ...shape, rows: null, definitions: null }
  const definitions = new Uint8Array(length).fill(1)
  if (nullCount === 0) return { ...shape, rows: null, definitions }
  const rows = new Int32Array(length - nullCount)
  let count = 0
  for (let row = 0; row < length; row++) {
    if (isValidAt(column, row)) rows[count++] = row
    else definitions[row] = 0
  }
  return { ...shape, rows: rows.subarray(0, count), definitions }
}

/** On the way down: `rows` are those of the column that is visited, and -1 for an entry that ended above it. */
interface Entries {
  readonly rows: Int32Array
  readonly definitions: Uint8Array
  readonly repetitions: Uint8Array
}

function visit(
  column: ColumnData,
  isNullable: boolean,
  above: Entries,
  definition: number,
  repetition: number,
  leaves: LeafEntries[],
): void {
  const entries = isNullable ? withoutNulls(column, above, definition) : above
  const level = isNullable ? definition + 1 : definition
  const layout = columnLayout(column.type)
  if (layout.kind === 'struct') {
    for (const child of column.children ?? [])
      visit(child, true, entries, level, repetition, leaves)
  } else if (layout.kind === 'list') {
    const items = present(column.children?.[0], 'the items of a list')
    const inside = itemEntries(column, entries, level, repetition)
    visit(items, true, inside, level + 1, repetition + 1, leaves)
  } else {
    leaves.push(leafEntries(column, entries, repetition))
  }
}

/** Entries whose row is null end here; the others go one level down. */
function withoutNulls(column: ColumnData, above: Entries, definition: number): Entries {
  const rows = new Int32Array(above.rows)
  const definitions = new Uint8Array(above.definitions)
  for (let entry = 0; entry < rows.length; entry++) {
    const row = rows[entry] ?? -1
    if (row === -1) continue
    if (isValidAt(column, row)) definitions[entry] = definition + 1
    else rows[entry] = -1
  }
  return { rows, definitions, repetitions: above.repetitions }
}

/** An entry for each item, and one for each list without any. */
function itemEntries(
  column: ColumnData,
  { rows, definitions, repetitions }: Entries,
  definition: number,
  repetition: number,
): Entries {
  const offsets = present(column.offsets, 'the offsets of a list')
  let length = 0
  for (const row of rows)
    length += row === -1 ? 1 : Math.max(1, (offsets[row + 1] ?? 0) - (offsets[row] ?? 0))
  const inside: Entries = {
    rows: new Int32Array(length).fill(-1),
    definitions: new Uint8Array(length),
    repetitions: new Uint8Array(length),
  }
  let next = 0
  for (const [entry, row] of rows.entries()) {
    const start = row === -1 ? 0 : (offsets[row] ?? 0)
    const end = row === -1 ? 0 : (offsets[row + 1] ?? 0)
    inside.repetitions[next] = repetitions[entry] ?? 0
    if (start === end) inside.definitions[next++] = definitions[entry] ?? 0
    for (let item = start; item < end; item++, next++) {
      inside.rows[next] = item
      inside.definitions[next] = definition + 1
      if (item > start) inside.repetitions[next] = repetition + 1
    }
  }
  return inside
}

function leafEntries(column: ColumnData, entries: Entries, repetition: number): LeafEntries {
  const { definitions, repetitions } = entries
  return {
    column,
    length: definitions.length,
    rows: entries.rows.filter((row) => row !== -1),
    definitions,
    repetitions: repetition === 0 ? null : repetitions,
  }
}
