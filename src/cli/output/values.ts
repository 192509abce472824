/**
 * Values as JSON and as text, by column type; docs/cli.md has the rules. 64-bit integers that a number cannot hold and
 * decimals are text, binary is base64, times are ISO 8601 in UTC with as many fractional digits as they need.
 */
import { type ColumnType, TIMESTAMP_UNITS_PER_SECOND, timestampUnit } from '../../format/schema.ts'

/** What JSON.stringify takes without loss. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue }

/** The JSON of a value of a column; `type` may also be one that only SQL has. */
export function toJsonValue(type: string, value: unknown): JsonValue {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      return Number.isFinite(value) ? value : String(value)
    case 'bigint':
      return bigintValue(type, value)
    case 'object':
      return value === null ? null : objectValue(type, value)
    default:
      return null
  }
}

/** The text of a value for tables and CSV; null stays null. */
export function toText(type: string, value: unknown): string | null {
  const json = toJsonValue(type, value)
  if (json === null) return null
  return typeof json === 'string' ? json : JSON.stringify(json)
}

function bigintValue(type: string, value: bigint): JsonValue {
  const unit = timestampUnit(type as ColumnType)
  if (unit !== null) return timestampText(value, TIMESTAMP_UNITS_PER_SECOND[unit])
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : String(value)
}

function objectValue(type: string, value: object): JsonValue {
  if (value instanceof Date) {
    if (type === 'date') return value.toISOString().replace(/T.*$/, '')
    return value.toISOString().replace(/\.000Z$/, 'Z')
  }
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')
  if (Array.isArray(value)) return value.map((item) => toJsonValue('json', item))
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toJsonValue('json', item)]))
}

const DATE_SECONDS_MAX = 8.64e12

/** ISO 8601 of a count of units since 1970; the bare count where the calendar of JavaScript ends. */
function timestampText(count: bigint, perSecond: number): string {
  const units = BigInt(perSecond)
  const fraction = ((count % units) + units) % units
  const seconds = Number((count - fraction) / units)
  if (Math.abs(seconds) > DATE_SECONDS_MAX) return String(count)
  const whole = new Date(seconds * 1000).toISOString().replace(/\.000Z$/, '')
  const digits = String(fraction).padStart(String(perSecond).length - 1, '0')
  return fraction === 0n ? `${whole}Z` : `${whole}.${needed(digits)}Z`
}

/** Fractional digits in groups of three, without groups of zeros at the end. */
function needed(digits: string): string {
  return digits.replace(/(000)+$/, '')
}
