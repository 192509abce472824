import { type ColumnData, isValidAt } from '../format/column.ts'
import type { TimestampUnit } from '../format/schema.ts'

/** Least and greatest event time in whole ms, both inclusive; `min > max` when there is none. */
export interface TimeRange {
  readonly min: number
  readonly max: number
}

export const NO_TIMES: TimeRange = { min: Infinity, max: -Infinity }

/** `initial` widened by the times of a timestamp column. Null times count for nothing. */
export function timeRangeOf(
  column: ColumnData,
  unit: TimestampUnit | null,
  initial: TimeRange = NO_TIMES,
): TimeRange {
  if (unit === null) return initial
  const halves = new Int32Array(column.values.buffer, column.values.byteOffset, column.length * 2)
  const perMs = { s: 1e-3, ms: 1, us: 1e3, ns: 1e6 }[unit]
  let min = Infinity
  let max = -Infinity
  for (let row = 0; row < column.length; row++) {
    if (column.validity !== null && !isValidAt(column, row)) continue
    const count = (halves[row * 2 + 1] ?? 0) * 2 ** 32 + ((halves[row * 2] ?? 0) >>> 0)
    if (count < min) min = count
    if (count > max) max = count
  }
  return {
    min: Math.min(initial.min, min === Infinity ? Infinity : Math.floor(min / perMs)),
    max: Math.max(initial.max, max === -Infinity ? -Infinity : Math.floor(max / perMs)),
  }
}
