/**
 * The groups of a table's records, of which group-partials.ts tells. A record's group is a number made of the codes of
 * its texts; what is known of the groups are arrays by that number.
 *
 * Some ten thousand records are passed at a time, so that a query can be ended, and others go on, in between. After
 * some hundred thousand the groups are given on, so that sums stay exact; until then a row of no records is.
 */
import { type ColumnData, isValidAt } from '../format/column.ts'
import type { Field } from '../format/schema.ts'
import { type GroupTotals, ValueTotals, totalsOf } from './group-totals.ts'
import { RowFilter } from './row-filter.ts'
import { RowList } from './row-list.ts'
import { RowRange } from './row-range.ts'
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

/** What is known of a column's values in each group. */
interface GroupedField {
  readonly field: Field
  readonly values: ValueTotals
  readonly totals: readonly { readonly column: TableColumn; readonly totals: GroupTotals }[]
}

type DataOf = (field: Field) => ColumnData | null

/** Values of one turn, of all columns together: a few ms. */
const VALUES_PER_TURN = 200_000
/** Of sums of 32 bits, so many stay below 2^53 by far. */
const RECORDS_PER_CHUNK = 250_000

export class GroupScan {
  readonly #texts: readonly GroupedText[]
  readonly #fields: readonly Field[]
  readonly #grouped: readonly GroupedField[]
  /** Those that tell the number of records. */
  readonly #counted: readonly TableColumn[]
  readonly #filter: RowFilter
  readonly #table: ScanTable
  readonly #blocks: Generator<ScanBlock, void, undefined>
  /** How many groups there may be. */
  readonly #size: number
  readonly #records: ValueTotals
  readonly #rows: RowList
  readonly #validRows: RowList
  #block: ScanBlock | null = null
  /** The first row of the block that was not passed yet. */
  #row = 0
  #passed = 0

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
    const partials = columns.filter(
      (column) => column.origin.kind === 'partial' && projected.includes(column),
    )
    this.#counted = partials.filter(({ origin }) => origin.kind === 'partial' && origin.of === null)
    this.#grouped = groupedFields(partials, this.#size)
    this.#filter = new RowFilter(filter, columns)
    const fields = [
      ...this.#texts.map(({ field }) => field),
      ...this.#grouped.map(({ field }) => field),
      ...this.#filter.fields,
    ]
    this.#fields = [...new Set(fields)]
    this.#records = new ValueTotals(this.#size)
    const rowsMax = Math.ceil(VALUES_PER_TURN / Math.max(1, fields.length))
    this.#rows = new RowList(rowsMax)
    this.#validRows = new RowList(rowsMax)
    this.#blocks = scanBlocks({ ...stores, query, sources, fields: this.#fields, columns, bounds })
  }

  /** Null after the last. */
  next(): GroupChunk | null {
    let turn = this.#rows.capacity
    while (turn > 0 && this.#passed < RECORDS_PER_CHUNK) {
      const block = this.#currentBlock()
      if (block === null) {
        const isLast = this.#passed === 0
        this.#passed = 0
        return isLast ? null : this.#chunk(this.#seenGroups())
      }
      const count = Math.min(turn, block.end - this.#row)
      this.#add(block, this.#row, count)
      this.#row += count
      this.#passed += count
      turn -= count
      this.#table.report.add(block, this.#row - block.start)
    }
    if (this.#passed < RECORDS_PER_CHUNK) return this.#nothing()
    this.#passed = 0
    const groups = this.#seenGroups()
    return groups.length === 0 ? this.#nothing() : this.#chunk(groups)
  }

  close(): void {
    this.#blocks.return()
  }

  #currentBlock(): ScanBlock | null {
    while (this.#block === null || this.#row === this.#block.end) {
      const next = this.#blocks.next()
      if (next.done === true) return null
      this.#block = next.value
      this.#row = next.value.start
    }
    return this.#block
  }

  #add(block: ScanBlock, start: number, count: number): void {
    const dataOf: DataOf = (field) => block.columns[this.#fields.indexOf(field)] ?? null
    const range = this.#rangeOf(dataOf, start, count)
    if (range !== null) this.#addRange(range, dataOf)
    else this.#addRows(block, dataOf, start, count)
  }

  /** Null where some of the rows may not count, or their groups are not the codes of one text. */
  #rangeOf(dataOf: DataOf, start: number, count: number): RowRange | null {
    if (!this.#filter.isEmpty || this.#texts.length > 1) return null
    const [text] = this.#texts
    if (text === undefined) return new RowRange(start, start + count)
    const data = dataOf(text.field)
    if (data === null || data.validity !== null) return null
    const { codes, translation } = text.codes.rowsOf(data)
    return new RowRange(start, start + count, codes, translation)
  }

  #addRange(range: RowRange, dataOf: DataOf): void {
    this.#records.addRange(range)
    let rows: RowList | null = null
    for (const { field, values, totals } of this.#grouped) {
      const data = dataOf(field)
      if (data === null) continue
      if (data.validity === null) values.addRange(range)
      else {
        rows ??= this.#listOf(range, dataOf)
        this.#validRows.takeValid(rows, data.validity)
        values.add(this.#validRows)
      }
      for (const each of totals) {
        if (data.validity === null && each.totals.addRange !== null)
          each.totals.addRange(data, range)
        else {
          rows ??= this.#listOf(range, dataOf)
          each.totals.add(data, data.validity === null ? rows : this.#validRows)
        }
      }
    }
  }

  #listOf({ start, end }: RowRange, dataOf: DataOf): RowList {
    this.#rows.fill(start, end - start)
    this.#numberGroups(this.#rows, dataOf)
    return this.#rows
  }

  #addRows(block: ScanBlock, dataOf: DataOf, start: number, count: number): void {
    const rows = this.#rows
    rows.fill(start, count)
    this.#filter.apply(block, dataOf, rows)
    if (rows.count === 0) return
    this.#numberGroups(rows, dataOf)
    this.#records.add(rows)
    for (const { field, values, totals } of this.#grouped) {
      const data = dataOf(field)
      if (data === null) continue
      const own = data.validity === null ? rows : this.#validRows
      if (own !== rows) own.takeValid(rows, data.validity)
      values.add(own)
      for (const each of totals) each.totals.add(data, own)
    }
  }

  #numberGroups(rows: RowList, dataOf: DataOf): void {
    if (this.#texts.length === 0) rows.groups.fill(0, 0, rows.count)
    for (const [place, { field, codes, size }] of this.#texts.entries()) {
      const factor = place === 0 ? 0 : size
      addCodes(dataOf(field), codes, rows, factor, size - 1)
    }
  }

  #seenGroups(): readonly number[] {
    const groups: number[] = []
    for (let group = 0; group < this.#size; group++)
      if ((this.#records.counts[group] ?? 0) > 0) groups.push(group)
    return groups
  }

  /** A row of no records, which the statement passes over: an empty chunk would say that there is no more. */
  #nothing(): GroupChunk {
    const columns = new Map(this.#counted.map((column) => [column, NO_RECORDS]))
    return { length: 1, columns }
  }

  /** What is known of some groups; begins anew. */
  #chunk(groups: readonly number[]): GroupChunk {
    const columns = new Map<TableColumn, ColumnData>()
    let rest = groups
    for (const { column, size } of this.#texts.toReversed()) {
      columns.set(
        column,
        codeColumn(
          rest.map((group) => group % size),
          size - 1,
        ),
      )
      rest = rest.map((group) => Math.floor(group / size))
    }
    for (const column of this.#counted) columns.set(column, this.#records.take(groups))
    for (const { values, totals } of this.#grouped) {
      for (const each of totals) columns.set(each.column, each.totals.take(groups, values))
      values.reset()
    }
    this.#records.reset()
    return { length: groups.length, columns }
  }
}

const NO_RECORDS: ColumnData = {
  type: 'int64',
  length: 1,
  nullCount: 0,
  validity: null,
  offsets: null,
  values: new Uint8Array(8),
  dictionary: null,
}

/** Fields are told apart by identity, and one may be two columns' (`ts` and `_time`). */
function groupedFields(partials: readonly TableColumn[], size: number): readonly GroupedField[] {
  const fields = new Map<Field, GroupedField['totals'][number][]>()
  for (const column of partials) {
    const { origin } = column
    if (origin.kind !== 'partial' || origin.of === null) continue
    const known = fields.get(origin.of) ?? []
    fields.set(origin.of, known)
    known.push({ column, totals: totalsOf(origin, size) })
  }
  return [...fields].map(([field, totals]) => ({ field, totals, values: new ValueTotals(size) }))
}

/** Makes each group `group × factor + code` of its row's text; `ofNull` is the code of none. */
function addCodes(
  data: ColumnData | null,
  texts: TextCodes,
  { rows, groups, count }: RowList,
  factor: number,
  ofNull: number,
): void {
  if (data === null) {
    for (let at = 0; at < count; at++) groups[at] = (groups[at] ?? 0) * factor + ofNull
    return
  }
  const { codes: own, translation } = texts.rowsOf(data)
  if (data.validity === null && factor === 0) {
    for (let at = 0; at < count; at++) groups[at] = translation[own[rows[at] ?? 0] ?? 0] ?? 0
    return
  }
  for (let at = 0; at < count; at++) {
    const row = rows[at] ?? 0
    const code = isValidAt(data, row) ? (translation[own[row] ?? 0] ?? 0) : ofNull
    groups[at] = (groups[at] ?? 0) * factor + code
  }
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
