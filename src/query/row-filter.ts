/** Leaves rows out that are outside of exact bounds; see `PlannedScans.filters`. */
import { present } from '../base/assert.ts'
import { type ColumnData, int32View, isValidAt } from '../format/column.ts'
import { elementsOf } from '../format/column-elements.ts'
import { type Field, TIMESTAMP_UNITS_PER_SECOND, timestampUnit } from '../format/schema.ts'
import type { RowList } from './row-list.ts'
import type { ScanBlock } from './scan-blocks.ts'
import type { ColumnBounds, ScanBounds } from './scan-bounds.ts'
import type { ColumnOrigin, TableColumn } from './table-columns.ts'

/** In the units of the stored values. */
interface StoredBounds {
  readonly origin: ColumnOrigin
  readonly min: bigint | null
  readonly max: bigint | null
}

/** Whether rows can be told by such a column. */
export function isFilterable({ kind }: ColumnOrigin): boolean {
  return kind === 'field' || kind === 'time' || kind === 'offset' || kind === 'partition'
}

export class RowFilter {
  readonly fields: readonly Field[]
  readonly #bounds: readonly StoredBounds[]

  constructor(bounds: ScanBounds, columns: readonly TableColumn[]) {
    this.#bounds = bounds.map((bound) =>
      storedBounds(bound, present(columns[bound.column], 'a column')),
    )
    this.fields = this.#bounds.flatMap(({ origin }) =>
      origin.kind === 'field' || origin.kind === 'time' ? [origin.field] : [],
    )
  }

  /** Whether no row is left out. */
  get isEmpty(): boolean {
    return this.#bounds.length === 0
  }

  /** Takes the rows of a block that are left out of the list. */
  apply(block: ScanBlock, dataOf: (field: Field) => ColumnData | null, list: RowList): void {
    for (const { origin, min, max } of this.#bounds) {
      if (origin.kind === 'partition') {
        const number = BigInt(block.partition)
        if ((min !== null && number < min) || (max !== null && number > max)) list.count = 0
      } else if (origin.kind === 'offset') {
        filterOffsets(block, numberOf(min, -Infinity), numberOf(max, Infinity), list)
      } else if (origin.kind === 'field' || origin.kind === 'time') {
        const data = dataOf(origin.field)
        // No value passes no comparison.
        if (data === null) list.count = 0
        else if (isWide(data)) filterWide(data, min, max, list)
        else filterNumbers(data, min, max, list)
      }
    }
  }
}

function storedBounds({ min, max }: ColumnBounds, { origin }: TableColumn): StoredBounds {
  const [least, greatest] = [min, max].map((value) => (typeof value === 'bigint' ? value : null))
  const unit =
    origin.kind === 'field' || origin.kind === 'time' ? timestampUnit(origin.field.type) : null
  if (unit === null) return { origin, min: least ?? null, max: greatest ?? null }
  // Bounds are in µs: those of longer units lie between the next whole ones, those of ns cover a thousand.
  const perSecond = BigInt(TIMESTAMP_UNITS_PER_SECOND[unit])
  const isFiner = perSecond > 1_000_000n
  const factor = isFiner ? perSecond / 1_000_000n : 1_000_000n / perSecond
  const lower = (value: bigint): bigint => (isFiner ? value * factor : ceilDivide(value, factor))
  const upper = (value: bigint): bigint =>
    isFiner ? value * factor + factor - 1n : -ceilDivide(-value, factor)
  return {
    origin,
    min: typeof least === 'bigint' ? lower(least) : null,
    max: typeof greatest === 'bigint' ? upper(greatest) : null,
  }
}

function ceilDivide(value: bigint, by: bigint): bigint {
  const whole = value / by
  return whole * by < value ? whole + 1n : whole
}

/** Nearly the same number: the values that it is compared with are far smaller than what is rounded. */
function numberOf(value: bigint | null, open: number): number {
  return value === null ? open : Number(value)
}

function isWide({ type }: ColumnData): boolean {
  return type === 'int64' || type === 'uint64' || timestampUnit(type) !== null
}

function filterOffsets(
  { baseOffset, offsets }: ScanBlock,
  min: number,
  max: number,
  list: RowList,
): void {
  const { rows, count } = list
  let kept = 0
  for (let at = 0; at < count; at++) {
    const row = rows[at] ?? 0
    const offset = offsets?.[row] ?? baseOffset + row
    rows[kept] = row
    if (offset >= min && offset <= max) kept++
  }
  list.count = kept
}

function filterNumbers(
  data: ColumnData,
  min: bigint | null,
  max: bigint | null,
  list: RowList,
): void {
  const elements = elementsOf(data)
  const [least, greatest] = [numberOf(min, -Infinity), numberOf(max, Infinity)]
  const { rows, count } = list
  let kept = 0
  for (let at = 0; at < count; at++) {
    const row = rows[at] ?? 0
    const value = Number(elements?.[row] ?? 0)
    rows[kept] = row
    if (value >= least && value <= greatest && isValidAt(data, row)) kept++
  }
  list.count = kept
}

const INT64_MIN = -(2n ** 63n)
const INT64_MAX = 2n ** 63n - 1n
const UINT64_MAX = 2n ** 64n - 1n

/** By halves, as bigints are slow. */
function filterWide(data: ColumnData, min: bigint | null, max: bigint | null, list: RowList): void {
  const isSigned = data.type !== 'uint64'
  const [lowest, highest] = isSigned ? [INT64_MIN, INT64_MAX] : [0n, UINT64_MAX]
  if ((min !== null && min > highest) || (max !== null && max < lowest)) {
    list.count = 0
    return
  }
  const least = min === null || min < lowest ? lowest : min
  const greatest = max === null || max > highest ? highest : max
  const [leastHigh, leastLow] = [Number(least >> 32n), Number(BigInt.asUintN(32, least))]
  const [mostHigh, mostLow] = [Number(greatest >> 32n), Number(BigInt.asUintN(32, greatest))]
  const halves = int32View(data.values)
  const { rows, count } = list
  let kept = 0
  for (let at = 0; at < count; at++) {
    const row = rows[at] ?? 0
    const low = (halves[row * 2] ?? 0) >>> 0
    const half = halves[row * 2 + 1] ?? 0
    const high = isSigned ? half : half >>> 0
    const isBelow = high === leastHigh ? low < leastLow : high < leastHigh
    const isAbove = high === mostHigh ? low > mostLow : high > mostHigh
    rows[kept] = row
    if (!isBelow && !isAbove && isValidAt(data, row)) kept++
  }
  list.count = kept
}
