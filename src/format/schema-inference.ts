/**
 * Which schema a log takes from its records, and how it may grow with them (design: additive columns, two widenings).
 */
import { StratalogError } from '../base/errors.ts'
import { parseIsoTime } from '../base/units.ts'
import { COLUMNS_MAX, COLUMN_NAME_BYTES_MAX } from './limits.ts'
import { shapeOfValue } from './nested-inference.ts'
import {
  type ColumnType,
  type Field,
  type Schema,
  STAMPED_TIME_COLUMN,
  SYSTEM_COLUMNS,
  TOMBSTONE_COLUMN,
  countColumns,
  isNestedType,
  isWidening,
} from './schema.ts'

export type Row = Readonly<Record<string, unknown>>

const FORBIDDEN_NAMES: ReadonlySet<string> = new Set([
  ...SYSTEM_COLUMNS,
  '__proto__',
  'constructor',
  'prototype',
  '',
])

/** Whether the name means something to the system or to JavaScript, so that no column has it. */
export function isReservedName(name: string): boolean {
  return FORBIDDEN_NAMES.has(name)
}

/** @throws StratalogError `schema_invalid` for a name that no column may have. */
export function assertColumnName(name: string): void {
  if (typeof name !== 'string')
    throw new StratalogError('schema_invalid', 'A column has a name, which is text.')
  if (FORBIDDEN_NAMES.has(name)) {
    throw new StratalogError(
      'schema_invalid',
      `${JSON.stringify(name)} is reserved; name the column otherwise.`,
      {
        details: { column: name },
      },
    )
  }
  if (!name.isWellFormed()) {
    throw new StratalogError(
      'schema_invalid',
      `The column name ${JSON.stringify(name)} has a lone surrogate, which UTF-8 cannot hold; use toWellFormed().`,
      { details: { column: name } },
    )
  }
  if (Buffer.byteLength(name) > COLUMN_NAME_BYTES_MAX) {
    throw new StratalogError(
      'schema_invalid',
      `A column name takes at most ${COLUMN_NAME_BYTES_MAX} bytes; got ${Buffer.byteLength(name)}.`,
    )
  }
}

/** @throws StratalogError `record_invalid` naming the row, when the value cannot be read as a record. */
export function assertRecord(value: unknown, row: number): asserts value is Row {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const prototype: unknown = Object.getPrototypeOf(value)
    if (prototype === Object.prototype || prototype === null) return
    const wrong = NO_RECORDS.find((made) => value instanceof made)
    if (wrong === undefined) return
    throw new StratalogError(
      'record_invalid',
      `Record ${row} is a ${wrong.name}, whose contents are not columns; a record is { column: value, … }.`,
      { details: { row } },
    )
  }
  throw new StratalogError(
    'record_invalid',
    `Record ${row} is not an object; a record is { column: value, … }.`,
    {
      details: { row },
    },
  )
}

/** As records they would be empty ones, without a word: an `await` that was forgotten, or one step too little. */
const NO_RECORDS = [Promise, Map, Set, Date] as const

/**
 * The fields that `rows` need: those of `schema` first, widened where a value asks for it, then new nullable ones in
 * the order they appear. A column whose every value is null is left out until it has one. A new time column takes ms
 * since 1970 and ISO 8601 text as times.
 *
 * @throws StratalogError `schema_mismatch` naming row, column and both types; `schema_invalid` for names and counts;
 * `record_invalid` for what is no record.
 */
export function inferFields(
  rows: readonly Row[],
  schema: Schema | null,
  timeColumn: string | null,
): readonly Field[] {
  const fields = new Map<string, Field>()
  for (const field of schema?.fields ?? []) {
    if (field.name !== STAMPED_TIME_COLUMN) fields.set(field.name, field)
  }
  const fixed: ReadonlySet<string> = new Set(fields.keys())
  for (const [index, row] of rows.entries()) {
    assertRecord(row, index)
    for (const name of Object.keys(row)) {
      const value = row[name]
      if (value === null || value === undefined) {
        if (!fields.has(name)) assertColumnName(name)
        continue
      }
      const known = fields.get(name)
      if (known === undefined) {
        assertColumnName(name)
        const isTime = name === timeColumn
        const type = isTime ? typeOfTime(value, name, index) : typeOfNew(name, value, index)
        fields.set(name, { name, type, nullable: !isTime })
      } else {
        const type = typeToHold(known.type, value, fixed.has(name))
        if (type === null) throw schemaMismatch(index, known, value)
        if (type !== known.type) fields.set(name, { ...known, type })
      }
    }
  }
  const count = countColumns([...fields.values()])
  if (count > COLUMNS_MAX) {
    throw new StratalogError(
      'schema_invalid',
      `A log has at most ${COLUMNS_MAX} columns; these records have ${count}.`,
    )
  }
  return [...fields.values()]
}

export function schemaMismatch(row: number, field: Field, value: unknown): StratalogError {
  const given = isNestedType(field.type)
    ? shapeOfValue(value, (item) => typeOfValue(item) ?? describeValue(item))
    : field.type === 'json' && typeof value === 'object'
      ? 'an object that JSON cannot hold: with a bigint, a circle, too many levels, or of a class such as Map'
      : describeValue(value)
  return new StratalogError(
    'schema_mismatch',
    `Record ${row}, column ${JSON.stringify(field.name)}: expected ${field.type}, got ${given}. Nothing of this append was applied.`,
    { details: { row, column: field.name, expected: field.type, given } },
  )
}

function typeOfTime(value: unknown, name: string, row: number): ColumnType {
  const ms =
    value instanceof Date
      ? value.getTime()
      : typeof value === 'string'
        ? parseIsoTime(value)
        : value
  if (typeof ms === 'number' && Number.isFinite(ms)) return 'timestamp[ms]'
  throw schemaMismatch(row, { name, type: 'timestamp[ms]', nullable: false }, value)
}

function typeOfNew(name: string, value: unknown, row: number): ColumnType {
  const type = name === TOMBSTONE_COLUMN && typeof value !== 'boolean' ? null : typeOfValue(value)
  if (type !== null) return type
  throw new StratalogError(
    'schema_mismatch',
    `Record ${row}, column ${JSON.stringify(name)}: no column type holds ${describeValue(value)}.`,
    { details: { row, column: name, given: describeValue(value) } },
  )
}

/** The narrowest type that a log infers for one value; null when none holds it. */
export function typeOfValue(value: unknown): ColumnType | null {
  switch (typeof value) {
    case 'string':
      return 'utf8'
    case 'boolean':
      return 'bool'
    case 'number':
      return typeOfNumber(value)
    case 'bigint':
      return value >= -(2n ** 63n) && value < 2n ** 63n
        ? 'int64'
        : value >= 0n && value < 2n ** 64n
          ? 'uint64'
          : null
    case 'object':
      if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : 'timestamp[ms]'
      return value instanceof Uint8Array || value instanceof ArrayBuffer ? 'binary' : 'json'
    default:
      return null
  }
}

function typeOfNumber(value: number): ColumnType {
  if (!Number.isInteger(value) || Object.is(value, -0)) return 'float64'
  if (value >= -(2 ** 31) && value < 2 ** 31) return 'int32'
  return Number.isSafeInteger(value) ? 'int64' : 'float64'
}

/**
 * The type a column needs so that it also holds `value`: its own, a wider one, or null for a change that is refused.
 */
function typeToHold(type: ColumnType, value: unknown, isDeclared: boolean): ColumnType | null {
  if (type === 'json') return typeof value === 'function' || typeof value === 'symbol' ? null : type
  // Whether what is inside fits, the column itself finds out.
  if (isNestedType(type)) return typeof value === 'object' ? type : null
  const wanted = typeOfValue(value)
  if (wanted === type) return type
  if (wanted === null) return null
  if (isWidening(type, wanted)) return wanted
  if (!isDeclared && mergesInference(type, wanted)) return 'float64'
  return acceptsAsIs(type, value) ? type : null
}

/** Types first seen in this very append may still meet in float64: `[2 ** 40, 0.5]` is a column of floats. */
function mergesInference(type: ColumnType, wanted: ColumnType): boolean {
  const numbers: readonly ColumnType[] = ['int32', 'int64', 'float64']
  return (
    numbers.includes(type) &&
    numbers.includes(wanted) &&
    (type === 'float64' || wanted === 'float64')
  )
}

/** Values that a column takes without being the type that inference would choose; the column itself checks ranges. */
function acceptsAsIs(type: ColumnType, value: unknown): boolean {
  if (typeof value === 'number') return !['bool', 'utf8', 'binary', 'date'].includes(type)
  if (typeof value === 'bigint') return /int|timestamp|decimal/.test(type)
  if (typeof value === 'string') return /timestamp|date|decimal/.test(type)
  return value instanceof Date && /timestamp|date/.test(type)
}

export function describeValue(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value === 'string')
    return `the text ${JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)}`
  if (typeof value === 'number' || typeof value === 'boolean')
    return `the ${typeof value} ${Object.is(value, -0) ? '-0' : String(value)}`
  if (typeof value === 'bigint') return `the bigint ${value}`
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'an invalid Date' : 'a Date'
  if (value instanceof Uint8Array) return 'bytes'
  return Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`
}
