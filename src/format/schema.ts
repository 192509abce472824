/**
 * The logical schema of a log and its column types. Types are spelled as text, everywhere: in manifests, in the API
 * and on the command line, so that equal types are equal strings.
 *
 * | type | JavaScript value | bytes in a column (Arrow layout, little-endian) |
 * |---|---|---|
 * | bool | boolean | bitmap |
 * | int8…int64, uint8…uint64 | number; bigint beyond 2^53 | 1, 2, 4, 8 |
 * | float32, float64 | number | 4, 8 |
 * | utf8 | string | int32 offsets + UTF-8 |
 * | json | any JSON value | as utf8, the text of the value |
 * | binary | Uint8Array | int32 offsets + bytes |
 * | timestamp[s\|ms\|us\|ns] | Date for s and ms; bigint count for us and ns | int64 since 1970 UTC |
 * | date | Date at midnight UTC | int32 days since 1970 |
 * | decimal(p,s) | string | 16, two's complement, value × 10^s |
 * | list<T> | array | int32 offsets into a column of T |
 * | struct<name:T,…> | plain object | a column per field, as long as the struct's |
 */
import { assert } from '../base/assert.ts'
import { type NestedShape, isNestedText, parseNestedType } from './nested-type.ts'

export type TimestampUnit = 's' | 'ms' | 'us' | 'ns'

export type ColumnType =
  | 'bool'
  | 'int8'
  | 'int16'
  | 'int32'
  | 'int64'
  | 'uint8'
  | 'uint16'
  | 'uint32'
  | 'uint64'
  | 'float32'
  | 'float64'
  | 'utf8'
  | 'json'
  | 'binary'
  | `timestamp[${TimestampUnit}]`
  | 'date'
  | `decimal(${number},${number})`
  | `list<${string}>`
  | `struct<${string}>`

export interface Field {
  readonly name: string
  readonly type: ColumnType
  readonly nullable: boolean
}

/** A schema never changes once it has an id; evolution makes the next id. Ids count from 0 in a log. */
export interface Schema {
  readonly id: number
  readonly fields: readonly Field[]
}

/** The column that the engine stamps with its clock when a log names no time column. Hidden from the user's schema. */
export const STAMPED_TIME_COLUMN = '_time'

/**
 * Set to true on a record, it says that the record's key is gone from the latest view. A user column like any other.
 */
export const TOMBSTONE_COLUMN = '_deleted'

/** Readable beside the user's columns; refused as names of user columns. */
export const SYSTEM_COLUMNS = ['_offset', '_partition', '_time', '_key', '_tier'] as const

export type SystemColumn = (typeof SYSTEM_COLUMNS)[number]

/**
 * How the values of a type lie in memory. `bits` is a bitmap, `fixed` has one width, `variable` has int32 offsets;
 * the values of a `list` and a `struct` lie in columns of their own.
 */
export type ColumnLayout =
  | { readonly kind: 'bits' }
  | { readonly kind: 'fixed'; readonly byteWidth: number }
  | { readonly kind: 'variable' }
  | NestedLayout

export type NestedLayout =
  | { readonly kind: 'list'; readonly item: ColumnType }
  | { readonly kind: 'struct'; readonly fields: readonly StructField[] }

export interface StructField {
  readonly name: string
  readonly type: ColumnType
}

const FIXED_WIDTHS: Readonly<Record<string, number>> = {
  int8: 1,
  uint8: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  uint32: 4,
  float32: 4,
  date: 4,
  int64: 8,
  uint64: 8,
  float64: 8,
  'timestamp[s]': 8,
  'timestamp[ms]': 8,
  'timestamp[us]': 8,
  'timestamp[ns]': 8,
}

const BITS: ColumnLayout = { kind: 'bits' }
const VARIABLE: ColumnLayout = { kind: 'variable' }
const DECIMAL: ColumnLayout = { kind: 'fixed', byteWidth: 16 }
const FIXED: ReadonlyMap<string, ColumnLayout> = new Map(
  Object.entries(FIXED_WIDTHS).map(([type, byteWidth]) => [type, { kind: 'fixed', byteWidth }]),
)

export function columnLayout(type: ColumnType): ColumnLayout {
  if (type === 'bool') return BITS
  if (type === 'utf8' || type === 'json' || type === 'binary') return VARIABLE
  return FIXED.get(type) ?? (isNestedText(type) ? nestedLayout(type) : DECIMAL)
}

/** Parsed once for all columns that have it. */
const nestedShapes = new Map<string, NestedShape | null>()
const NESTED_SHAPES_MAX = 1_024

function nestedShape(text: string): NestedShape | null {
  const known = nestedShapes.get(text)
  if (known !== undefined) return known
  const shape = parseNestedType(text, isScalarType)
  if (nestedShapes.size === NESTED_SHAPES_MAX) nestedShapes.clear()
  nestedShapes.set(text, shape)
  return shape
}

function nestedLayout(type: ColumnType): NestedLayout {
  const shape = nestedShape(type)
  assert(shape !== null, 'a column type was checked where it came from')
  // What stands inside was parsed as column types.
  return shape as NestedLayout
}

/** Whether a type is a list or a struct. */
export function isNestedType(type: ColumnType): boolean {
  return isNestedText(type)
}

/** The types of the columns inside: a list's items, a struct's fields; none for other types. */
export function childTypes(type: ColumnType): readonly ColumnType[] {
  const layout = columnLayout(type)
  if (layout.kind === 'list') return [layout.item]
  return layout.kind === 'struct' ? layout.fields.map((field) => field.type) : []
}

/** Columns that values of the type are stored as: a list has one for its items, a struct one a field. */
export function storedColumnCount(type: ColumnType): number {
  return isColumnType(type) && isNestedText(type) ? (nestedShape(type)?.columnCount ?? 1) : 1
}

const DECIMAL_PATTERN = /^decimal\((\d{1,2}),(\d{1,2})\)$/

/** Precision (1 to 38 digits) and scale of a decimal type; null for every other type. */
export function decimalParameters(
  type: string,
): { readonly precision: number; readonly scale: number } | null {
  const match = DECIMAL_PATTERN.exec(type)
  if (match === null) return null
  const precision = Number(match[1])
  const scale = Number(match[2])
  return precision >= 1 && precision <= 38 && scale <= precision ? { precision, scale } : null
}

export function timestampUnit(type: ColumnType): TimestampUnit | null {
  return type.startsWith('timestamp[') ? (type.slice(10, -1) as TimestampUnit) : null
}

/** Units of each timestamp type in one second. */
export const TIMESTAMP_UNITS_PER_SECOND: Readonly<Record<TimestampUnit, number>> = {
  s: 1,
  ms: 1e3,
  us: 1e6,
  ns: 1e9,
}

export function isColumnType(value: unknown): value is ColumnType {
  if (typeof value !== 'string') return false
  return isNestedText(value) ? nestedShape(value) !== null : isScalarType(value)
}

function isScalarType(value: string): boolean {
  if (value === 'bool' || value === 'utf8' || value === 'json' || value === 'binary') return true
  return Object.hasOwn(FIXED_WIDTHS, value) || decimalParameters(value) !== null
}

/** Whether every value of `from` is a value of `to`: the only type changes that a live log takes. */
export function isWidening(from: ColumnType, to: ColumnType): boolean {
  return (
    (from === 'int32' && (to === 'int64' || to === 'float64')) ||
    (from === 'float32' && to === 'float64')
  )
}

/** Columns that fields are stored as, those inside of others included: what COLUMNS_MAX limits. */
export function countColumns(fields: readonly Field[]): number {
  return fields.reduce((sum, field) => sum + storedColumnCount(field.type), 0)
}

export function fieldIndex(schema: Schema, name: string): number {
  return schema.fields.findIndex((field) => field.name === name)
}
