/** One line of NDJSON as a record. Integers that a number cannot hold exactly become bigints. */
import type { Field } from '../format/schema.ts'

export type JsonRecord = Readonly<Record<string, unknown>>

export type ParsedRecord = { readonly record: JsonRecord } | Refusal

export interface Refusal {
  readonly reason: string
  /** The column whose value is why, of what is a record. */
  readonly column?: string
}

export function parseJsonRecord(text: string): ParsedRecord {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return { reason: `not JSON: ${(error as Error).message}` }
  }
  if (typeof value !== 'object' || value === null)
    return { reason: `not an object but ${typeName(value)}` }
  if (Array.isArray(value)) return { reason: 'not an object but an array' }
  const record = value as JsonRecord
  const column = columnBeyondNumbers(record)
  if (column !== null) return { reason: `a number beyond ±1.8e308 in '${column}'`, column }
  return { record: hasInexactInteger(record) ? withExactIntegers(text) : record }
}

/** The column with a number, at any depth, that is none of those there are: JSON.parse makes an infinity of it. */
function columnBeyondNumbers(record: JsonRecord): string | null {
  // Of all that a record of JSON inherits nothing can be enumerated.
  for (const key in record) {
    const value = record[key]
    const isBeyond = typeof value === 'object' ? hasInfinity(value) : isInfinite(value)
    if (isBeyond) return key
  }
  return null
}

/** Without recursion: JSON nests deeper than a stack is. */
function hasInfinity(nested: object | null): boolean {
  const left: unknown[] = [nested]
  while (left.length > 0) {
    const value = left.pop()
    if (isInfinite(value)) return true
    if (typeof value === 'object' && value !== null)
      for (const inner of Object.values(value)) left.push(inner)
  }
  return false
}

function isInfinite(value: unknown): boolean {
  return value === Infinity || value === -Infinity
}

/**
 * JSON writes a float that is whole without a point, so one beyond 2^53 was read as a bigint: for a column of floats it
 * is a number again. One with digits that no float has stays a bigint, which such a column refuses from rows too.
 */
export function withFloats(
  records: readonly JsonRecord[],
  fieldsOf: () => readonly Field[],
): readonly JsonRecord[] {
  if (!records.some(hasBigint)) return records
  const names = fieldsOf()
    .filter(({ type }) => type === 'float64')
    .map(({ name }) => name)
  return records.map((record) => {
    const found = names.filter((name) => Object.hasOwn(record, name) && isFloat(record[name]))
    if (found.length === 0) return record
    return { ...record, ...Object.fromEntries(found.map((name) => [name, Number(record[name])])) }
  })
}

/** Whether a float is that number, or is written so: with its first 17 digits and zeros. */
function isFloat(value: unknown): boolean {
  if (typeof value !== 'bigint') return false
  const float = Number(value)
  if (!Number.isFinite(float)) return false
  const [digits = '', exponent = ''] = float.toExponential().split('e')
  const written = digits.replace('.', '').padEnd(Number(exponent) + digits.indexOf('-') + 2, '0')
  return written === String(value) || BigInt(float) === value
}

function hasBigint(record: JsonRecord): boolean {
  for (const key in record) if (typeof record[key] === 'bigint') return true
  return false
}

/** Whether a top-level integer may have lost digits; most records have none, and are parsed once. */
function hasInexactInteger(record: JsonRecord): boolean {
  for (const key in record) {
    const value = record[key]
    if (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value))
      return true
  }
  return false
}

/** The record with every top-level integer beyond 2^53 as the bigint that the text says. */
function withExactIntegers(text: string): JsonRecord {
  const exact: Array<{ readonly holder: unknown; readonly key: string; readonly value: bigint }> =
    []
  const parsed = JSON.parse(
    text,
    function (this: unknown, key: string, value: unknown, context?: { source?: string }) {
      if (
        typeof value === 'number' &&
        !Number.isSafeInteger(value) &&
        /^-?\d+$/.test(context?.source ?? '')
      ) {
        exact.push({ holder: this, key, value: BigInt(context?.source ?? '0') })
      }
      return value
    },
  ) as Record<string, unknown>
  for (const { holder, key, value } of exact) {
    if (holder === parsed) parsed[key] = value
  }
  return parsed
}

function typeName(value: unknown): string {
  return value === null ? 'null' : `a ${typeof value}`
}
