/** One line of NDJSON as a record. Integers that a number cannot hold exactly become bigints. */
import type { Field } from '../format/schema.ts'

export type JsonRecord = Readonly<Record<string, unknown>>

export type ParsedRecord = { readonly record: JsonRecord } | { readonly reason: string }

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
  return { record: hasInexactInteger(record) ? withExactIntegers(text) : record }
}

/**
 * JSON writes a float that is whole without a point, so one beyond 2^53 was read as a bigint: for a column of floats it
 * is a number again.
 */
export function withFloats(
  records: readonly JsonRecord[],
  fieldsOf: () => readonly Field[],
): readonly JsonRecord[] {
  if (!records.some(hasBigint)) return records
  const names = fieldsOf()
    .filter(({ type }) => type === 'float64')
    .map(({ name }) => name)
  const isBigint = (record: JsonRecord, name: string): boolean =>
    typeof record[name] === 'bigint' && Object.hasOwn(record, name)
  return records.map((record) => {
    const found = names.filter((name) => isBigint(record, name))
    if (found.length === 0) return record
    return { ...record, ...Object.fromEntries(found.map((name) => [name, Number(record[name])])) }
  })
}

function hasBigint(record: JsonRecord): boolean {
  for (const key in record) if (typeof record[key] === 'bigint') return true
  return false
}

/** Whether a top-level integer may have lost digits; most records have none, and are parsed once. */
function hasInexactInteger(record: JsonRecord): boolean {
  // Of all that a record of JSON inherits nothing can be enumerated.
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
