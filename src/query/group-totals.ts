/** What a scan tells of the values of each group; see `PartialKind`. */
import { assert } from '../base/assert.ts'
import { type ColumnData, bitmapBytes, int32View } from '../format/column.ts'
import { elementsOf } from '../format/column-elements.ts'
import { type ColumnType, columnLayout } from '../format/schema.ts'
import type { PartialKind } from './partial-kinds.ts'
import type { RowList } from './row-list.ts'
import type { Numbers, RowRange } from './row-range.ts'
import type { ColumnOrigin } from './table-columns.ts'

/** Of the groups `[0, size)`. */
export interface GroupTotals {
  /** Adds rows that have a value. */
  add(column: ColumnData, rows: RowList): void
  /** Adds rows all of which have a value; null where it needs a list of them. */
  readonly addRange: ((column: ColumnData, range: RowRange) => void) | null
  /** What is known of some groups, a row each; begins anew. Null where `values` counted none. */
  take(groups: readonly number[], values: ValueTotals): ColumnData
}

export function totalsOf(
  { partial, of, type }: Extract<ColumnOrigin, { readonly kind: 'partial' }>,
  size: number,
): GroupTotals {
  const own = of?.type ?? 'int64'
  switch (partial) {
    case 'rows':
    case 'values':
      return new Counts()
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

/** How many rows each group has. */
export class ValueTotals {
  readonly counts: Float64Array

  constructor(size: number) {
    this.counts = new Float64Array(size)
  }

  add({ groups, count }: RowList): void {
    const { counts } = this
    // What is grouped by nothing is one group.
    if (counts.length === 1) {
      counts[0] = (counts[0] ?? 0) + count
      return
    }
    for (let at = 0; at < count; at++) {
      const group = groups[at] ?? 0
      counts[group] = (counts[group] ?? 0) + 1
    }
  }

  addRange(range: RowRange): void {
    range.addCounts(this.counts)
  }

  take(groups: readonly number[]): ColumnData {
    return columnOf(this.counts, groups, 'int64', null)
  }

  reset(): void {
    this.counts.fill(0)
  }
}

/** The number of values, which others need as well. */
class Counts implements GroupTotals {
  add(): void {}

  readonly addRange = (): void => {}

  take(groups: readonly number[], values: ValueTotals): ColumnData {
    return values.take(groups)
  }
}

class SumTotals implements GroupTotals {
  readonly #sums: Float64Array
  readonly #type: ColumnType

  constructor(size: number, type: ColumnType) {
    this.#sums = new Float64Array(size)
    this.#type = type
  }

  add(column: ColumnData, { rows, groups, count }: RowList): void {
    const sums = this.#sums
    const elements = numbersOf(column)
    for (let at = 0; at < count; at++) {
      const group = groups[at] ?? 0
      sums[group] = (sums[group] ?? 0) + (elements[rows[at] ?? 0] ?? 0)
    }
  }

  readonly addRange = (column: ColumnData, range: RowRange): void => {
    range.addSums(numbersOf(column), this.#sums)
  }

  take(groups: readonly number[], { counts }: ValueTotals): ColumnData {
    const column = columnOf(this.#sums, groups, this.#type, counts)
    this.#sums.fill(0)
    return column
  }
}

/** Sums of the upper or the lower halves of integers of 64 bits. */
class HalfTotals implements GroupTotals {
  readonly addRange = null
  readonly #sums: Float64Array
  readonly #isHigh: boolean

  constructor(size: number, half: 'high' | 'low') {
    this.#sums = new Float64Array(size)
    this.#isHigh = half === 'high'
  }

  add(column: ColumnData, { rows, groups, count }: RowList): void {
    const sums = this.#sums
    const halves = int32View(column.values)
    const half = this.#isHigh ? 1 : 0
    for (let at = 0; at < count; at++) {
      const group = groups[at] ?? 0
      const value = halves[(rows[at] ?? 0) * 2 + half] ?? 0
      sums[group] = (sums[group] ?? 0) + (half === 1 ? value : value >>> 0)
    }
  }

  take(groups: readonly number[], { counts }: ValueTotals): ColumnData {
    const column = columnOf(this.#sums, groups, 'int64', counts)
    this.#sums.fill(0)
    return column
  }
}

/** The least or the greatest of numbers; NaN is greater than any, as in DuckDB. */
class Extremes implements GroupTotals {
  readonly addRange = null
  readonly #extremes: Float64Array
  readonly #isLeast: boolean
  readonly #type: ColumnType

  constructor(size: number, kind: PartialKind, type: ColumnType) {
    this.#isLeast = kind === 'least'
    this.#extremes = new Float64Array(size)
    this.#type = type
    this.#reset()
  }

  add(column: ColumnData, { rows, groups, count }: RowList): void {
    const extremes = this.#extremes
    const isLeast = this.#isLeast
    const elements = numbersOf(column)
    for (let at = 0; at < count; at++) {
      const group = groups[at] ?? 0
      const value = elements[rows[at] ?? 0] ?? 0
      const known = extremes[group] ?? 0
      // The first values are NaN and minus infinity, which any value of their side replaces.
      const isBeyond = isLeast
        ? value < known || Number.isNaN(known)
        : value > known || Number.isNaN(value)
      if (isBeyond) extremes[group] = value
    }
  }

  take(groups: readonly number[], { counts }: ValueTotals): ColumnData {
    const column = columnOf(this.#extremes, groups, this.#type, counts)
    this.#reset()
    return column
  }

  #reset(): void {
    this.#extremes.fill(this.#isLeast ? NaN : -Infinity)
  }
}

/** The same of counts of 64 bits, which are compared by their halves. */
class WideExtremes implements GroupTotals {
  readonly addRange = null
  readonly #halves: Int32Array
  readonly #seen: Uint8Array
  readonly #isLeast: boolean
  readonly #type: ColumnType

  constructor(size: number, kind: PartialKind, type: ColumnType) {
    this.#halves = new Int32Array(size * 2)
    this.#seen = new Uint8Array(size)
    this.#isLeast = kind === 'least'
    this.#type = type
  }

  add(column: ColumnData, { rows, groups, count }: RowList): void {
    const [known, seen, isLeast] = [this.#halves, this.#seen, this.#isLeast]
    const halves = int32View(column.values)
    for (let at = 0; at < count; at++) {
      const group = groups[at] ?? 0
      const row = rows[at] ?? 0
      const low = halves[row * 2] ?? 0
      const high = halves[row * 2 + 1] ?? 0
      const knownHigh = known[group * 2 + 1] ?? 0
      const isSame = high === knownHigh
      const isLess = isSame ? low >>> 0 < (known[group * 2] ?? 0) >>> 0 : high < knownHigh
      if (isLess !== isLeast && seen[group] === 1) continue
      seen[group] = 1
      known[group * 2] = low
      known[group * 2 + 1] = high
    }
  }

  take(groups: readonly number[], { counts }: ValueTotals): ColumnData {
    const values = new Int32Array(groups.length * 2)
    for (const [row, group] of groups.entries())
      values.set(this.#halves.subarray(group * 2, group * 2 + 2), row * 2)
    this.#seen.fill(0)
    return withValues(new Uint8Array(values.buffer), groups, this.#type, counts)
  }
}

/** The values of a column of numbers that doubles hold. */
function numbersOf(column: ColumnData): Numbers {
  const elements = elementsOf(column)
  assert(
    elements !== null && !(elements instanceof BigInt64Array || elements instanceof BigUint64Array),
    'a column of numbers',
  )
  return elements
}

/** The numbers of some groups as a column. */
function columnOf(
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
    // What has no value may be no number that a bigint can be.
    const number = counts?.[group] === 0 ? 0 : (numbers[group] ?? 0)
    if (elements instanceof BigInt64Array) elements[row] = BigInt(number)
    else if (!(elements instanceof BigUint64Array)) elements[row] = number
  }
  return column
}

/** Null where a group has no values. */
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
