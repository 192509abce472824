/** The bounds of a column for readers of Parquet, who prune by them. */
import type { Statistics } from 'hyparquet'
import type { ColumnRange } from './column-range.ts'
import type { ColumnType } from './schema.ts'

/** Bounds are given both or not at all: a NaN may lie anywhere. */
export function parquetStatistics(
  type: ColumnType,
  nullCount: number,
  range: ColumnRange | null,
): Statistics {
  const nulls = { null_count: BigInt(nullCount) }
  if (range === null || range.min === null || range.max === null) return nulls
  const { min, max } = range
  if (typeof min === 'object' || typeof max === 'object')
    return { ...nulls, min_value: min, max_value: max }
  if (type === 'float32' || type === 'float64') {
    // By the standard a bound of 0 holds both zeros.
    const low = min === 0 ? -0 : Number(min)
    return { ...nulls, min_value: low, max_value: max === 0 ? 0 : Number(max) }
  }
  const isWide = type.endsWith('int64') || type.startsWith('timestamp')
  return isWide
    ? { ...nulls, min_value: BigInt(min), max_value: BigInt(max) }
    : { ...nulls, min_value: Number(min), max_value: Number(max) }
}
