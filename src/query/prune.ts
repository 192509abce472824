/**
 * Which sources of a pinned view a statement can need, from the bounds of its scans. Pure, and conservative: a source
 * is left out only when every scan of its table excludes it.
 */
import { present } from '../base/assert.ts'
import type { Tier } from '../format/manifest.ts'
import { type ColumnType, fieldIndex, timestampUnit } from '../format/schema.ts'
import type { LogView, ViewSource } from '../log/log-view.ts'
import type { BoundValue, ColumnBounds, ScanBounds } from './scan-bounds.ts'
import type { TableColumn } from './table-columns.ts'

/** Inclusive least and greatest value of a column in a source, in the units of ColumnBounds; null is unknown. */
export interface ValueRange {
  readonly min: BoundValue | null
  readonly max: BoundValue | null
}

/** What is known of the values of a table's column; null when nothing is. */
export type RangeOf = (column: TableColumn) => ValueRange | null

/** Whether some scan may use rows with such values. `scans` is null when nothing is known of them. */
export function isNeeded(
  scans: readonly ScanBounds[] | null,
  columns: readonly TableColumn[],
  rangeOf: RangeOf,
): boolean {
  if (scans === null) return true
  return scans.some((bounds) =>
    bounds.every((bound) => overlaps(bound, rangeOf(present(columns[bound.column], 'column')))),
  )
}

function overlaps(bound: ColumnBounds, range: ValueRange | null): boolean {
  if (range === null) return true
  return !isBelow(range.max, bound.min) && !isBelow(bound.max, range.min)
}

function isBelow(a: BoundValue | null, b: BoundValue | null): boolean {
  if (a === null || b === null) return false
  if (typeof a === 'string' && typeof b === 'string')
    return Buffer.compare(Buffer.from(a), Buffer.from(b)) < 0
  return typeof a !== 'string' && typeof b !== 'string' && a < b
}

/** What the view and the manifest tell of a source, without reading it. */
export function columnRange(
  view: LogView,
  partition: number,
  source: ViewSource,
  column: TableColumn,
): ValueRange | null {
  const { origin } = column
  switch (origin.kind) {
    case 'partition':
      return { min: partition, max: partition }
    case 'tier':
      return tierRange(source.tier)
    case 'offset':
      return offsetRange(source)
    case 'time':
    case 'field':
      break
    case 'key':
    case 'code':
    case 'partial':
    case 'latest':
      return null
  }
  const isLogTime =
    origin.kind === 'time' && origin.field.name === (view.definition.timeColumn ?? '_time')
  if (source.tier === 'memory') {
    const { timeMin = -Infinity, timeMax = Infinity } = source
    // Of times finer than a ms the statistics are a ms exact.
    return isLogTime ? timeRange(timeMin - 1, timeMax + 1) : null
  }
  const { segment } = source
  if (isLogTime) return timeRange(segment.timeMin, segment.timeMax)
  const schema = view.schemas[segment.schemaId]
  const position = schema === undefined ? -1 : fieldIndex(schema, origin.field.name)
  const statistics = segment.statistics[position]
  const type = schema?.fields[position]?.type
  if (statistics === undefined || type === undefined) return null
  return {
    min: statisticValue(type, statistics.min, 'min'),
    max: statisticValue(type, statistics.max, 'max'),
  }
}

function tierRange(tier: Tier): ValueRange {
  return { min: tier, max: tier }
}

function offsetRange(source: ViewSource): ValueRange {
  if (source.tier !== 'memory') return { min: source.from, max: source.to - 1 }
  return { min: source.batch.baseOffset, max: source.batch.baseOffset + source.batch.length - 1 }
}

/** Whole ms, rounded down, as µs. Unknown when there is no time at all. */
export function timeRange(minMs: number, maxMs: number): ValueRange | null {
  if (!Number.isFinite(minMs) || !Number.isFinite(maxMs)) return null
  return { min: BigInt(Math.floor(minMs)) * 1000n, max: BigInt(Math.floor(maxMs)) * 1000n + 999n }
}

function statisticValue(
  type: ColumnType,
  value: number | string | undefined,
  side: 'min' | 'max',
): BoundValue | null {
  if (value === undefined) return null
  if (type === 'utf8') return String(value)
  const unit = timestampUnit(type)
  const count = typeof value === 'string' || unit !== null ? BigInt(value) : value
  if (unit === null) return count
  const wide = BigInt(count)
  if (unit === 'ns') return wide / 1000n + (side === 'min' ? -1n : 1n)
  return wide * { s: 1_000_000n, ms: 1000n, us: 1n }[unit]
}
