/**
 * Cuts a batch to the records whose time lies in `[since, until)`, exactly, in whatever unit the time column has.
 * Records without a time are in no range.
 */
import { type ColumnData, bigInt64View, int32View, isValidAt } from '../format/column.ts'
import { type RecordBatch, sliceRecordBatch } from '../format/record-batch.ts'
import {
  TIMESTAMP_UNITS_PER_SECOND,
  type TimestampUnit,
  fieldIndex,
  timestampUnit,
} from '../format/schema.ts'

/** Bounds in ms since 1970; null where open. */
export interface TimeBounds {
  readonly since: number | null
  readonly until: number | null
}

/** Whether any time in whole ms `[min, max]` lies within the bounds. */
export function mayOverlap(bounds: TimeBounds, min: number, max: number): boolean {
  return (
    (bounds.since === null || max >= bounds.since) && (bounds.until === null || min < bounds.until)
  )
}

/** Whether every time in whole ms `[min, max]` lies within the bounds. */
export function liesWithin(bounds: TimeBounds, min: number, max: number): boolean {
  return (
    (bounds.since === null || min >= bounds.since) && (bounds.until === null || max < bounds.until)
  )
}

/** Runs of consecutive offsets whose records lie within the bounds, in order; the batch itself when all do. */
export function* withinTime(
  batch: RecordBatch,
  timeColumn: string,
  bounds: TimeBounds,
): Generator<RecordBatch> {
  const column = batch.columns[fieldIndex(batch.schema, timeColumn)]
  const unit = column === undefined ? null : timestampUnit(column.type)
  if (column === undefined || unit === null) return
  const isWithin = rowFilter(column, unit, bounds)
  let start = -1
  for (let row = 0; row <= batch.length; row++) {
    if (row < batch.length && isWithin(row)) {
      if (start === -1) start = row
    } else if (start !== -1) {
      yield sliceRecordBatch(batch, batch.baseOffset + start, batch.baseOffset + row)
      start = -1
    }
  }
}

/** Compares 64-bit counts by their halves: exact, and without a bigint per row. */
function rowFilter(
  column: ColumnData,
  unit: TimestampUnit,
  bounds: TimeBounds,
): (row: number) => boolean {
  const perSecond = BigInt(TIMESTAMP_UNITS_PER_SECOND[unit])
  const since = halvesOf(bounds.since === null ? INT64_MIN : ceilToUnit(bounds.since, perSecond))
  const until = halvesOf(bounds.until === null ? INT64_END : ceilToUnit(bounds.until, perSecond))
  const halves = int32View(column.values)
  return (row) => {
    const high = halves[row * 2 + 1] ?? 0
    const low = (halves[row * 2] ?? 0) >>> 0
    return (
      (high > since.high || (high === since.high && low >= since.low)) &&
      (high < until.high || (high === until.high && low < until.low)) &&
      isValidAt(column, row)
    )
  }
}

const INT64_MIN = -(2n ** 63n)
const INT64_END = 2n ** 63n

/** The high half with its sign, the low one without; counts beyond int64 are those next to its ends. */
function halvesOf(count: bigint): { readonly high: number; readonly low: number } {
  const held = count < INT64_MIN ? INT64_MIN : count > INT64_END ? INT64_END : count
  return { high: Number(held >> 32n), low: Number(held & 0xffff_ffffn) }
}

/** The least count of units at or after `ms`. */
function ceilToUnit(ms: number, perSecond: bigint): bigint {
  const scaled = BigInt(ms) * perSecond
  const quotient = scaled / 1000n
  return scaled > 0n && scaled % 1000n !== 0n ? quotient + 1n : quotient
}

/** The time of one record in ms; null when it has none. */
export function timeAt(batch: RecordBatch, timeColumn: string, row: number): number | null {
  const column = batch.columns[fieldIndex(batch.schema, timeColumn)]
  const unit = column === undefined ? null : timestampUnit(column.type)
  if (column === undefined || unit === null || !isValidAt(column, row)) return null
  const count = Number(bigInt64View(column.values)[row] ?? 0n)
  return (count * 1000) / TIMESTAMP_UNITS_PER_SECOND[unit]
}
