/** What a scan tells of the values of each group; see `PartialKind`. */
import { assert } from '../base/assert.ts'
import { type ColumnData, bitmapBytes, int32View, isValidAt } from '../format/column.ts'
import { elementsOf } from '../format/column-elements.ts'
import { type ColumnType, columnLayout } from '../format/schema.ts'
import type { PartialKind } from './partial-kinds.ts'
import type { ColumnOrigin } from './table-columns.ts'

/** Of the groups `[0, size)`; a row of group `size` is left out. */
export interface GroupTotals {
  /**
   * Adds the rows from `start` on, of which `groups` tells the group of each. `rows` is the number of rows by group.
   * `column` is null for what is no column's.
   */
  add(column: ColumnData | null, start: number, groups: Uint16Array, rows: Float64Array): void
  /** What is known of some groups, a row each; begins anew. */
  take(groups: readonly number[]): ColumnData
}

export function totalsOf(
  { partial, of, type }: Extract<ColumnOrigin, { readonly kind: 'partial' }>,
  size: number,
): GroupTotals {
  const own = of?.type ?? 'int64'
  switch (partial) {
    case 'rows':
      return new RowTotals(size)
    case 'values':
      return new ValueTotals(size)
    case 'sum':
      return new SumTotals(size, type)
    case 'high':
    case 'low':
      return new HalfTotals(size, partial)
    case 'least':
    case 'greatest':
      return isWide(own) ? new WideExtremes(size, partial, own) : new Extremes(size, partial, own)
  }
}

/** Whether a value is two words; see `elementsOf`. */
function isWide(type: ColumnType): boolean {
  return type === 'int64' || type.startsWith('timestamp[')
}

class RowTotals implements GroupTotals {
  readonly #counts: Float64Array

  constructor(size: number) {
    this.#counts = new Float64Array(size + 1)
  }

  add(_column: ColumnData | null, _start: number, _groups: Uint16Array, rows: Float64Array): void {
    addRows(this.#counts, rows)
  }

  take(groups: readonly number[]): ColumnData {
    return taken(this.#counts, groups, 'int64', null)
  }
}

/** Rows that have a value. */
class ValueTotals implements GroupTotals {
  readonly counts: Float64Array

  constructor(size: number) {
    this.counts = new Float64Array(size + 1)
  }

  add(column: ColumnData | null, start: number, groups: Uint16Array, rows: Float64Array): void {
    if (column === null) return
    if (column.validity === null) {
      addRows(this.counts, rows)
      return
    }
    const { counts } = this
    for (let row = 0; row < groups.length; row++) {
      if (!isValidAt(column, start + row)) continue
      const group = groups[row] ?? 0
      counts[group] = (counts[group] ?? 0) + 1
    }
  }

  take(groups: readonly number[]): ColumnData {
    return taken(this.counts, groups, 'int64', null)
  }
}

class SumTotals implements GroupTotals {
  readonly #sums: Float64Array
  readonly #values: ValueTotals
  readonly #type: ColumnType

  constructor(size: number, type: ColumnType) {
    this.#sums = new Float64Array(size + 1)
    this.#values = new ValueTotals(size)
    this.#type = type
  }

  add(column: ColumnData | null, start: number, groups: Uint16Array, rows: Float64Array): void {
    if (column === null) return
    this.#values.add(column, start, groups, rows)
    const sums = this.#sums
    const elements = numbersOf(column)
    if (column.validity === null) {
      for (let row = 0; row < groups.length; row++) {
        const group = groups[row] ?? 0
        sums[group] = (sums[group] ?? 0) + (elements[start + row] ?? 0)
      }
      return
    }
    for (let row = 0; row < groups.length; row++) {
      if (!isValidAt(column, start + row)) continue
      const group = groups[row] ?? 0
      sums[group] = (sums[group] ?? 0) + (elements[start + row] ?? 0)
    }
  }

  take(groups: readonly number[]): ColumnData {
    return taken(this.#sums, groups, this.#type, this.#values.counts)
  }
}

/** Sums of the upper or the lower halves of integers of 64 bits. */
class HalfTotals implements GroupTotals {
  readonly #sums: Float64Array
  readonly #values: ValueTotals
  readonly #half: 0 | 1

  constructor(size: number, half: 'high' | 'low') {
    this.#sums = new Float64Array(size + 1)
    this.#values = new ValueTotals(size)
    this.#half = half === 'high' ? 1 : 0
  }

  add(column: ColumnData | null, start: number, groups: Uint16Array, rows: Float64Array): void {
    if (column === null) return
    this.#values.add(column, start, groups, rows)
    const sums = this.#sums
    const halves = int32View(column.values)
    const half = this.#half
    for (let row = 0; row < groups.length; row++) {
      if (!isValidAt(column, start + row)) continue
      const group = groups[row] ?? 0
      const value = halves[(start + row) * 2 + half] ?? 0
      sums[group] = (sums[group] ?? 0) + (half === 1 ? value : value >>> 0)
    }
  }

  take(groups: readonly number[]): ColumnData {
    return taken(this.#sums, groups, 'int64', this.#values.counts)
  }
}

/** The least or the greatest of numbers; NaN is greater than any, as in DuckDB. */
class Extremes implements GroupTotals {
  readonly #extremes: Float64Array
  readonly #values: ValueTotals
  readonly #isLeast: boolean
  readonly #type: ColumnType

  constructor(size: number, kind: PartialKind, type: ColumnType) {
    this.#isLeast = kind === 'least'
    this.#extremes = new Float64Array(size + 1).fill(this.#isLeast ? NaN : -Infinity)
    this.#values = new ValueTotals(size)
    this.#type = type
  }

  add(column: ColumnData | null, start: number, groups: Uint16Array, rows: Float64Array): void {
    if (column === null) return
    this.#values.add(column, start, groups, rows)
    const extremes = this.#extremes
    const isLeast = this.#isLeast
    const elements = numbersOf(column)
    for (let row = 0; row < groups.length; row++) {
      if (!isValidAt(column, start + row)) continue
      const group = groups[row] ?? 0
      const value = elements[start + row] ?? 0
      const known = extremes[group] ?? 0
      const isBeyond = isLeast
        ? value < known || Number.isNaN(known)
        : value > known || Number.isNaN(value)
      if (isBeyond) extremes[group] = value
    }
  }

  take(groups: readonly number[]): ColumnData {
    const column = taken(this.#extremes, groups, this.#type, this.#values.counts)
    this.#extremes.fill(this.#isLeast ? NaN : -Infinity)
    return column
  }
}

/** The same of counts of 64 bits, which are compared by their halves. */
class WideExtremes implements GroupTotals {
  readonly #halves: Int32Array
  readonly #values: ValueTotals
  readonly #seen: Uint8Array
  readonly #isLeast: boolean
  readonly #type: ColumnType

  constructor(size: number, kind: PartialKind, type: ColumnType) {
    this.#halves = new Int32Array((size + 1) * 2)
    this.#values = new ValueTotals(size)
    this.#seen = new Uint8Array(size + 1)
    this.#isLeast = kind === 'least'
    this.#type = type
  }

  add(column: ColumnData | null, start: number, groups: Uint16Array, rows: Float64Array): void {
    if (column === null) return
    this.#values.add(column, start, groups, rows)
    const [known, seen, isLeast] = [this.#halves, this.#seen, this.#isLeast]
    const halves = int32View(column.values)
    for (let row = 0; row < groups.length; row++) {
      if (!isValidAt(column, start + row)) continue
      const group = groups[row] ?? 0
      const low = halves[(start + row) * 2] ?? 0
      const high = halves[(start + row) * 2 + 1] ?? 0
      const knownHigh = known[group * 2 + 1] ?? 0
      const isSame = high === knownHigh
      const isLess = isSame ? low >>> 0 < (known[group * 2] ?? 0) >>> 0 : high < knownHigh
      if (isLess !== isLeast && seen[group] === 1) continue
      seen[group] = 1
      known[group * 2] = low
      known[group * 2 + 1] = high
    }
  }

  take(groups: readonly number[]): ColumnData {
    const values = new Int32Array(groups.length * 2)
    for (const [row, group] of groups.entries())
      values.set(this.#halves.subarray(group * 2, group * 2 + 2), row * 2)
    this.#seen.fill(0)
    return withValues(new Uint8Array(values.buffer), groups, this.#type, this.#values.counts)
  }
}

function addRows(counts: Float64Array, rows: Float64Array): void {
  for (let group = 0; group < counts.length; group++)
    counts[group] = (counts[group] ?? 0) + (rows[group] ?? 0)
}

/** The values of a column of numbers that doubles hold. */
function numbersOf(
  column: ColumnData,
): Exclude<ReturnType<typeof elementsOf>, BigInt64Array | BigUint64Array | null> {
  const elements = elementsOf(column)
  assert(
    elements !== null && !(elements instanceof BigInt64Array || elements instanceof BigUint64Array),
    'a column of numbers',
  )
  return elements
}

/** The numbers of some groups as a column; all of them are zero again. */
function taken(
  numbers: Float64Array,
  groups: readonly number[],
  type: ColumnType,
  counts: Float64Array | null,
): ColumnData {
  const layout = columnLayout(type)
  assert(layout.kind === 'fixed', 'a type of fixed width')
  const values = new Uint8Array(groups.length * layout.byteWidth)
  const column = withValues(values, groups, type, counts)
  const elements = elementsOf(column)
  assert(elements !== null, 'a type with elements')
  for (const [row, group] of groups.entries()) {
    const number = numbers[group] ?? 0
    if (elements instanceof BigInt64Array) elements[row] = BigInt(number)
    else if (!(elements instanceof BigUint64Array)) elements[row] = number
  }
  numbers.fill(0)
  return column
}

/** Null where a group has no values; `counts` are zero again. */
function withValues(
  values: Uint8Array,
  groups: readonly number[],
  type: ColumnType,
  counts: Float64Array | null,
): ColumnData {
  const length = groups.length
  const validity = new Uint8Array(bitmapBytes(length))
  let nullCount = 0
  for (const [row, group] of groups.entries()) {
    if (counts !== null && counts[group] === 0) nullCount++
    else validity[row >> 3] = (validity[row >> 3] ?? 0) | (1 << (row & 7))
  }
  counts?.fill(0)
  return {
    type,
    length,
    nullCount,
    validity: nullCount === 0 ? null : validity,
    offsets: null,
    values,
    dictionary: null,
  }
}
