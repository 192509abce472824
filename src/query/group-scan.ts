/**
 * The groups of a table's records, of which group-partials.ts tells. A record's group is a number made of the codes of
 * its texts; what is known of the groups are arrays by that number. They are given on each time that some hundred
 * thousand records have been passed, so that a query can be ended in between, and sums stay exact.
 */
import { present } from '../base/assert.ts'
import { type ColumnData, codesOf, isValidAt } from '../format/column.ts'
import type { Field } from '../format/schema.ts'
import { type GroupTotals, totalsOf } from './group-totals.ts'
import { RowFilter } from './row-filter.ts'
import { type ScanBlock, scanBlocks } from './scan-blocks.ts'
import type { ScanBounds } from './scan-bounds.ts'
import type { ScanStores, ScanTable } from './scan-table.ts'
import type { TableColumn } from './table-columns.ts'
import type { TextCodes } from './text-codes.ts'

/** Some groups, a row each. */
export interface GroupChunk {
  readonly length: number
  readonly columns: ReadonlyMap<TableColumn, ColumnData>
}

/** A text column that is grouped by. */
interface GroupedText {
  readonly column: TableColumn
  readonly field: Field
  readonly codes: TextCodes
  /** Of the texts, and one for null. */
  readonly size: number
}

/** A column of what is known of groups. */
interface GroupedValues {
  readonly column: TableColumn
  /** Null for the number of records. */
  readonly field: Field | null
  readonly totals: GroupTotals
}

/** Of sums of 32 bits, so many stay below 2^53 by far. */
const RECORDS_PER_CHUNK = 250_000

export class GroupScan {
  readonly #texts: readonly GroupedText[]
  readonly #values: readonly GroupedValues[]
  readonly #fields: readonly Field[]
  readonly #filter: RowFilter | null
  readonly #table: ScanTable
  readonly #blocks: Generator<ScanBlock, void, undefined>
  /** How many there may be. The number after the last is the group of what the filter leaves out. */
  readonly #size: number
  /** Records of each group. */
  readonly #rows: Float64Array
  /** The same of one block. */
  readonly #blockRows: Float64Array
  #groups = new Uint16Array(0)

  /** Of what is known of groups, only the columns in `projected` are made. */
  constructor(
    table: ScanTable,
    projected: readonly (TableColumn | undefined)[],
    filter: ScanBounds,
    stores: ScanStores,
  ) {
    const { columns, query, sources, bounds } = table
    this.#table = table
    this.#texts = columns.flatMap((column) => {
      const { origin } = column
      if (origin.kind !== 'code') return []
      const { field, codes } = origin
      return [{ column, field, codes, size: codes.texts.length + 1 }]
    })
    this.#size = this.#texts.reduce((size, text) => size * text.size, 1)
    this.#values = columns.flatMap((column) => {
      const { origin } = column
      if (origin.kind !== 'partial' || !projected.includes(column)) return []
      return [{ column, field: origin.of, totals: totalsOf(origin, this.#size) }]
    })
    this.#filter = filter.length === 0 ? null : new RowFilter(filter, columns)
    const valueFields = this.#values.flatMap(({ field }) => field ?? [])
    const textFields = this.#texts.map(({ field }) => field)
    this.#fields = [...new Set([...textFields, ...valueFields, ...(this.#filter?.fields ?? [])])]
    this.#rows = new Float64Array(this.#size + 1)
    this.#blockRows = new Float64Array(this.#size + 1)
    this.#blocks = scanBlocks({ ...stores, query, sources, fields: this.#fields, columns, bounds })
  }

  /** Null after the last. */
  next(): GroupChunk | null {
    for (;;) {
      let passed = 0
      while (passed < RECORDS_PER_CHUNK) {
        const next = this.#blocks.next()
        if (next.done === true) break
        this.#add(next.value)
        passed += next.value.end - next.value.start
      }
      if (passed === 0) return null
      const chunk = this.#chunk()
      // Where the filter left out all of them, an empty chunk would say that there is no more.
      if (chunk.length > 0) return chunk
    }
  }

  close(): void {
    this.#blocks.return()
  }

  #add(block: ScanBlock): void {
    const count = block.end - block.start
    if (this.#groups.length < count) this.#groups = new Uint16Array(count)
    const groups = this.#groups.subarray(0, count)
    this.#numberGroups(block, groups)
    const dataOf = (field: Field): ColumnData | null =>
      block.columns[this.#fields.indexOf(field)] ?? null
    this.#filter?.apply(block, dataOf, groups, this.#size)
    const rows = this.#blockRows
    if (this.#size === 1 && this.#filter === null) rows[0] = count
    else {
      rows.fill(0)
      for (let row = 0; row < count; row++) {
        const group = groups[row] ?? 0
        rows[group] = (rows[group] ?? 0) + 1
      }
    }
    addTo(this.#rows, rows)
    for (const { field, totals } of this.#values) {
      const data = field === null ? null : dataOf(field)
      if (field === null || data !== null) totals.add(data, block.start, groups, rows)
    }
    this.#table.report.add(block, count)
  }

  /** The group of each record of a block, before any is left out. */
  #numberGroups(block: ScanBlock, groups: Uint16Array): void {
    // What an earlier block's filter left out is still marked.
    if (this.#texts.length === 0 && this.#filter !== null) groups.fill(0)
    for (const [place, { field, codes, size }] of this.#texts.entries()) {
      const data = block.columns[this.#fields.indexOf(field)] ?? null
      if (data === null) addNulls(groups, place === 0, size)
      else addCodes(data, codes, block.start, groups, place === 0 ? 0 : size, size - 1)
    }
  }

  #chunk(): GroupChunk {
    const numbers: number[] = []
    for (let group = 0; group < this.#size; group++)
      if ((this.#rows[group] ?? 0) > 0) numbers.push(group)
    this.#rows.fill(0)
    const columns = new Map<TableColumn, ColumnData>()
    let rest = numbers
    for (const { column, size } of this.#texts.toReversed()) {
      columns.set(
        column,
        codeColumn(
          rest.map((number) => number % size),
          size - 1,
        ),
      )
      rest = rest.map((number) => Math.floor(number / size))
    }
    for (const { column, totals } of this.#values) columns.set(column, totals.take(numbers))
    return { length: numbers.length, columns }
  }
}

function addTo(sums: Float64Array, values: Float64Array): void {
  for (let index = 0; index < sums.length; index++)
    sums[index] = (sums[index] ?? 0) + (values[index] ?? 0)
}

/** Makes each group `group × factor + code` of its row's text; `ofNull` is the code of none. */
function addCodes(
  data: ColumnData,
  codes: TextCodes,
  start: number,
  groups: Uint16Array,
  factor: number,
  ofNull: number,
): void {
  const own = codesOf(data)
  const translation = codes.translation(present(data.dictionary, 'a dictionary'))
  const count = groups.length
  if (data.validity === null && factor === 0) {
    for (let row = 0; row < count; row++) groups[row] = translation[own[start + row] ?? 0] ?? 0
    return
  }
  for (let row = 0; row < count; row++) {
    const code = isValidAt(data, start + row) ? (translation[own[start + row] ?? 0] ?? 0) : ofNull
    groups[row] = factor === 0 ? code : (groups[row] ?? 0) * factor + code
  }
}

function addNulls(groups: Uint16Array, isFirst: boolean, size: number): void {
  if (isFirst) groups.fill(size - 1)
  else
    for (let row = 0; row < groups.length; row++)
      groups[row] = (groups[row] ?? 0) * size + (size - 1)
}

/** Codes of a byte, of which `ofNull` is none. */
function codeColumn(codes: readonly number[], ofNull: number): ColumnData {
  const length = codes.length
  const validity = new Uint8Array((length + 7) >> 3)
  let nullCount = 0
  for (const [row, code] of codes.entries()) {
    if (code === ofNull) nullCount++
    else validity[row >> 3] = (validity[row >> 3] ?? 0) | (1 << (row & 7))
  }
  return {
    type: 'uint8',
    length,
    nullCount,
    validity: nullCount === 0 ? null : validity,
    offsets: null,
    values: Uint8Array.from(codes, (code) => (code === ofNull ? 0 : code)),
    dictionary: null,
  }
}
