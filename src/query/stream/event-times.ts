/** The time column of a batch as whole ms. */
import { type ColumnData, bigInt64View, int32View, isValidAt } from '../../format/column.ts'
import { timestampUnit } from '../../format/schema.ts'

/** Times in ms, rounded down; NaN for a record that has none. */
export function eventTimes(column: ColumnData): Float64Array {
  const { length } = column
  const times = new Float64Array(length)
  const unit = timestampUnit(column.type)
  if (unit === 'ns') {
    // A double does not hold ns of today to the ms.
    const counts = bigInt64View(column.values)
    for (let row = 0; row < length; row++) times[row] = floorMs(counts[row] ?? 0n)
  } else {
    const halves = int32View(column.values)
    const perMs = unit === 'us' ? 1000 : unit === 's' ? 1 / 1000 : 1
    for (let row = 0; row < length; row++) {
      const count = (halves[row * 2 + 1] ?? 0) * 2 ** 32 + ((halves[row * 2] ?? 0) >>> 0)
      times[row] = perMs === 1 ? count : perMs < 1 ? count * 1000 : Math.floor(count / perMs)
    }
  }
  if (column.validity !== null)
    for (let row = 0; row < length; row++) if (!isValidAt(column, row)) times[row] = Number.NaN
  return times
}

function floorMs(nanoseconds: bigint): number {
  const rest = nanoseconds % 1_000_000n
  return Number((nanoseconds - (rest < 0n ? rest + 1_000_000n : rest)) / 1_000_000n)
}
