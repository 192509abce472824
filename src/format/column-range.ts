/** Least and greatest values: what segments and their blocks are pruned by. */
import { type ColumnData, float64View, int32View, isValidAt } from './column.ts'
import type { ColumnStatistics } from './segment.ts'
import { type ColumnType, timestampUnit } from './schema.ts'

/**
 * Bounds of the values of a column, both inclusive, in its own unit; text as UTF-8. A bound is null
 * when nothing is known of it: a NaN, which SQL orders above every number, leaves no upper one.
 */
export interface ColumnRange {
  readonly min: Bound | null
  readonly max: Bound | null
}

type Bound = number | bigint | Uint8Array

/** Null when the column has no value, or its type has no order that is pruned by. */
export function columnRange(column: ColumnData): ColumnRange | null {
  if (column.nullCount === column.length) return null
  if (column.type === 'utf8') return column.dictionary === null ? textRange(column) : null
  const read = orderedReader(column)
  return read === null ? null : numberRange(column, read)
}

/** The range of both; null stands for no values at all. */
export function mergeRanges(a: ColumnRange | null, b: ColumnRange | null): ColumnRange | null {
  if (a === null || b === null) return a ?? b
  return {
    min: a.min === null || b.min === null ? null : isBelow(b.min, a.min) ? b.min : a.min,
    max: a.max === null || b.max === null ? null : isBelow(a.max, b.max) ? b.max : a.max,
  }
}

/**
 * A time column's range in whole ms since 1970, both rounded down; null when it is no range of
 * times.
 */
export function rangeToMs(
  type: ColumnType,
  range: ColumnRange | null,
): { readonly min: number; readonly max: number } | null {
  if (range === null || range.min === null || range.max === null) return null
  const perUnit = msPerUnit(type)
  if (perUnit === null || range.min instanceof Uint8Array || range.max instanceof Uint8Array)
    return null
  return { min: floorMs(range.min, perUnit), max: floorMs(range.max, perUnit) }
}

const TEXT_BYTES_MAX = 64

export function toStatistics(nullCount: number, range: ColumnRange | null): ColumnStatistics {
  const min = range === null || range.min === null ? undefined : lowerBound(range.min)
  const max = range === null || range.max === null ? undefined : upperBound(range.max)
  return { nullCount, ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) }
}

type NumberReader = (row: number) => number | bigint

function orderedReader(column: ColumnData): NumberReader | null {
  const { type, values } = column
  const { buffer, byteOffset, byteLength } = values
  switch (type) {
    case 'int8':
      return elements(new Int8Array(buffer, byteOffset, byteLength))
    case 'uint8':
      return elements(values)
    case 'int16':
      return elements(new Int16Array(buffer, byteOffset, byteLength >> 1))
    case 'uint16':
      return elements(new Uint16Array(buffer, byteOffset, byteLength >> 1))
    case 'int32':
    case 'date':
      return elements(int32View(values))
    case 'uint32':
      return elements(new Uint32Array(buffer, byteOffset, byteLength >> 2))
    case 'float32':
      return elements(new Float32Array(buffer, byteOffset, byteLength >> 2))
    case 'float64':
      return elements(float64View(values))
    case 'int64':
    case 'uint64':
      return integers(values, type === 'uint64')
    default:
      return timestampUnit(type) === null ? null : integers(values, false)
  }
}

function elements(values: { readonly [index: number]: number }): NumberReader {
  return (row) => values[row] ?? 0
}

function integers(values: Uint8Array, isUnsigned: boolean): NumberReader {
  const halves = int32View(values)
  return (row) => {
    const high = halves[row * 2 + 1] ?? 0
    const low = (halves[row * 2] ?? 0) >>> 0
    const number = (isUnsigned ? high >>> 0 : high) * 2 ** 32 + low
    if (Number.isSafeInteger(number)) return number
    const wide = (BigInt(high) << 32n) | BigInt(low)
    return isUnsigned ? BigInt.asUintN(64, wide) : wide
  }
}

function numberRange(column: ColumnData, read: NumberReader): ColumnRange {
  let min: number | bigint = Infinity
  let max: number | bigint = -Infinity
  let hasNaN = false
  for (let row = 0; row < column.length; row++) {
    if (column.validity !== null && !isValidAt(column, row)) continue
    const value = read(row)
    if (value < min) min = value
    if (value > max) max = value
    if (value !== value) hasNaN = true
  }
  if (min > max) return { min: null, max: null }
  return { min, max: hasNaN ? null : max }
}

function textRange(column: ColumnData): ColumnRange {
  const { values } = column
  const offsets = column.offsets ?? new Int32Array(1)
  let min = -1
  let max = -1
  for (let row = 0; row < column.length; row++) {
    if (column.validity !== null && !isValidAt(column, row)) continue
    if (min === -1) {
      min = max = row
      continue
    }
    if (compareValues(values, offsets, row, min) < 0) min = row
    else if (compareValues(values, offsets, row, max) > 0) max = row
  }
  return {
    min: new Uint8Array(values.subarray(offsets[min] ?? 0, offsets[min + 1] ?? 0)),
    max: new Uint8Array(values.subarray(offsets[max] ?? 0, offsets[max + 1] ?? 0)),
  }
}

function compareValues(values: Uint8Array, offsets: Int32Array, a: number, b: number): number {
  let left = offsets[a] ?? 0
  let right = offsets[b] ?? 0
  const leftLength = (offsets[a + 1] ?? 0) - left
  const rightLength = (offsets[b + 1] ?? 0) - right
  const end = left + Math.min(leftLength, rightLength)
  for (; left < end; left++, right++) {
    const difference = (values[left] ?? 0) - (values[right] ?? 0)
    if (difference !== 0) return difference
  }
  return leftLength - rightLength
}

function isBelow(a: Bound, b: Bound): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) < 0
  return a < b
}

function lowerBound(bound: Bound): number | string | undefined {
  if (bound instanceof Uint8Array) return textPrefix(bound)
  return numberBound(bound)
}

function upperBound(bound: Bound): number | string | undefined {
  if (!(bound instanceof Uint8Array)) return numberBound(bound)
  if (bound.length <= TEXT_BYTES_MAX) return textPrefix(bound)
  return textAbove(textPrefix(bound))
}

/** JSON knows no infinities and no -0; a safe integer stays a number. */
function numberBound(bound: number | bigint): number | string | undefined {
  if (typeof bound === 'bigint') return String(bound)
  return Number.isFinite(bound) ? bound + 0 : undefined
}

/** The text of at most 64 bytes, cut between characters. */
function textPrefix(bytes: Uint8Array): string {
  let end = Math.min(bytes.length, TEXT_BYTES_MAX)
  if (end < bytes.length) while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  return Buffer.from(bytes.subarray(0, end)).toString()
}

/**
 * A text above every text that begins with `prefix`: its last character that has a successor,
 * raised.
 */
function textAbove(prefix: string): string | undefined {
  const points = Array.from(prefix, (character) => character.codePointAt(0) ?? 0)
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    if (last === 0x10_ffff) continue
    const next = last + 1 === 0xd800 ? 0xe000 : last + 1
    return String.fromCodePoint(...points, next)
  }
  return undefined
}

function msPerUnit(type: ColumnType): { readonly times: bigint; readonly per: bigint } | null {
  const unit = timestampUnit(type)
  if (unit === 's') return { times: 1000n, per: 1n }
  if (unit === 'us') return { times: 1n, per: 1000n }
  if (unit === 'ns') return { times: 1n, per: 1_000_000n }
  if (type === 'date') return { times: 86_400_000n, per: 1n }
  return unit === 'ms' || type === 'int64' ? { times: 1n, per: 1n } : null
}

function floorMs(
  value: number | bigint,
  unit: { readonly times: bigint; readonly per: bigint },
): number {
  const scaled = BigInt(value) * unit.times
  const quotient = scaled / unit.per
  return Number(scaled % unit.per < 0n ? quotient - 1n : quotient)
}
