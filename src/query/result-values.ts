/** The values of a result: JavaScript's for programs, JSON's for the command line. */
import { type ColumnData, bigInt64View, int32View, isValidAt } from '../format/column.ts'
import { columnReader } from '../format/column-values.ts'
import { nestedReader } from '../format/nested-values.ts'
import { timestampUnit } from '../format/schema.ts'
import type { ResultChunk, ResultColumn } from './protocol.ts'

type ValueReader = (row: number) => unknown

/** Names for the keys of an object: a second `n` becomes `n:1`. */
export function uniqueNames(names: readonly string[]): readonly string[] {
  const counts = new Map<string, number>()
  return names.map((name) => {
    const count = counts.get(name) ?? 0
    counts.set(name, count + 1)
    return count === 0 ? name : `${name}:${count}`
  })
}

/** Rows of a chunk as objects, made as they are taken. */
export function rowReader(
  columns: readonly ResultColumn[],
): (chunk: ResultChunk) => Generator<Record<string, unknown>> {
  const names = uniqueNames(columns.map((column) => column.name))
  return function* rows(chunk) {
    const readers = chunk.columns.map((column, index) =>
      valueReader(column, columns[index]?.type ?? ''),
    )
    for (let row = 0; row < chunk.length; row++) {
      const record: Record<string, unknown> = {}
      for (let index = 0; index < readers.length; index++)
        defineValue(record, names[index] ?? '', readers[index]?.(row))
      yield record
    }
  }
}

/** A column may be called `__proto__`. */
function defineValue(record: Record<string, unknown>, name: string, value: unknown): void {
  if (name === '__proto__')
    Object.defineProperty(record, name, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    })
  else record[name] = value
}

/**
 * Values as the table in format/schema.ts says, but for what SQL makes of them: HUGEINT, the type of every sum of whole
 * numbers, is a number where that is exact, else a bigint; TIMESTAMP is a Date, its µs below the ms cut off.
 */
export function valueReader(column: ColumnData, sqlType: string): ValueReader {
  if (sqlType === 'HUGEINT') return nullable(column, hugeintReader(column))
  if (timestampUnit(column.type) === 'us') return nullable(column, microsReader(column))
  return columnReader(column)
}

function nullable(column: ColumnData, read: ValueReader): ValueReader {
  return column.validity === null ? read : (row) => (isValidAt(column, row) ? read(row) : null)
}

function hugeintReader(column: ColumnData): ValueReader {
  const halves = bigInt64View(column.values)
  return (row) => {
    const wide = ((halves[row * 2 + 1] ?? 0n) << 64n) | BigInt.asUintN(64, halves[row * 2] ?? 0n)
    const number = Number(wide)
    return Number.isSafeInteger(number) ? number : wide
  }
}

const DATE_MS_MAX = 8.64e15

function microsReader(column: ColumnData): ValueReader {
  const halves = int32View(column.values)
  return (row) => {
    const micros = (halves[row * 2 + 1] ?? 0) * 2 ** 32 + ((halves[row * 2] ?? 0) >>> 0)
    const ms = Math.floor(micros / 1000)
    return Math.abs(ms) <= DATE_MS_MAX ? new Date(ms) : BigInt(micros)
  }
}

/** Rows of a chunk as lists of JSON values: see "Everywhere on the command line" in docs/cli.md. */
export function jsonReader(columns: readonly ResultColumn[]): (chunk: ResultChunk) => unknown[][] {
  return (chunk) => {
    const readers = chunk.columns.map((column, index) =>
      jsonValueReader(column, columns[index]?.type ?? ''),
    )
    return Array.from({ length: chunk.length }, (_, row) => readers.map((read) => read(row)))
  }
}

/** Times are ISO 8601 with the digits that they have, whole numbers beyond 2^53 text, binary base64. */
export function jsonValueReader(column: ColumnData, sqlType: string): ValueReader {
  if (column.children !== undefined)
    return nullable(
      column,
      nestedReader(column, (inside) => jsonValueReader(inside, '')),
    )
  const unit = timestampUnit(column.type)
  if (unit === 'us' || unit === 'ns')
    return nullable(column, isoReader(column, unit === 'us' ? 6 : 9))
  const read = valueReader(column, sqlType)
  return (row) => jsonValue(read(row), column.type)
}

function jsonValue(value: unknown, type: string): unknown {
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Date)
    return type === 'date' ? value.toISOString().replace(/T.*$/, '') : value.toISOString()
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  // JSON has no name for these numbers.
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  return value
}

/** At least milliseconds, and the digits after them where there are any. */
function isoReader(column: ColumnData, digits: 6 | 9): ValueReader {
  const counts = bigInt64View(column.values)
  const perMs = 10n ** BigInt(digits - 3)
  return (row) => {
    const count = counts[row] ?? 0n
    const rest = ((count % perMs) + perMs) % perMs
    const ms = Number((count - rest) / perMs)
    if (Math.abs(ms) > DATE_MS_MAX) return String(count)
    const text = new Date(ms).toISOString()
    return rest === 0n
      ? text
      : `${text.slice(0, -1)}${String(rest)
          .padStart(digits - 3, '0')
          .replace(/0+$/, '')}Z`
  }
}
