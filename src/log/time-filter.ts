/**
 * Cuts a batch to the records whose time lies in `[since, until)`, exactly, in whatever unit the time column has.
 * Records without a time are in no range.
 */
import { bigInt64View, isValidAt } from '../format/column.ts'
import { type RecordBatch, sliceRecordBatch } from '../format/record-batch.ts'
import { TIMESTAMP_UNITS_PER_SECOND, fieldIndex, timestampUnit } from '../format/schema.ts'

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

/** Runs of consecutive offsets whose records lie within the bounds, in order; the batch itself when all do. */
export function* withinTime(
  batch: RecordBatch,
  timeColumn: string,
  bounds: TimeBounds,
): Generator<RecordBatch> {
  const column = batch.columns[fieldIndex(batch.schema, timeColumn)]
  const unit = column === undefined ? null : timestampUnit(column.type)
  if (column === undefined || unit === null) return
  const perSecond = BigInt(TIMESTAMP_UNITS_PER_SECOND[unit])
  const since = bounds.since === null ? null : ceilToUnit(bounds.since, perSecond)
  const until = bounds.until === null ? null : ceilToUnit(bounds.until, perSecond)
  const counts = bigInt64View(column.values)
  let start = -1
  for (let row = 0; row <= batch.length; row++) {
    const count = counts[row] ?? 0n
    const isWithin =
      row < batch.length &&
      (since === null || count >= since) &&
      (until === null || count < until) &&
      isValidAt(column, row)
    if (isWithin && start === -1) start = row
    if (isWithin || start === -1) continue
    yield sliceRecordBatch(batch, batch.baseOffset + start, batch.baseOffset + row)
    start = -1
  }
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
