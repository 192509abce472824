/** Checks parameters where they are given: what cannot be bound cannot be sent to a worker either. */
import { StratalogError } from './errors.ts'

export type QueryParameter = null | boolean | number | bigint | string | Date | Uint8Array

/** By position (`?`, `$1`) or by name (`$name`). */
export type QueryParameters = readonly QueryParameter[] | Readonly<Record<string, QueryParameter>>

const INT128_MAX = 2n ** 127n - 1n

/**
 * A copy, which stays as it is while the query waits. Undefined is null.
 *
 * @throws StratalogError `argument_invalid` for what is neither a list nor named, `query_invalid` for a value that has
 * no type in SQL.
 */
export function checkedParameters(given: unknown): QueryParameters {
  if (Array.isArray(given))
    return Array.from(given, (value: unknown, index) => checkedParameter(String(index + 1), value))
  if (typeof given === 'object' && given !== null && !(Symbol.iterator in given) && !isValue(given))
    return Object.fromEntries(
      Object.entries(given).map(([name, value]) => [name, checkedParameter(name, value)]),
    )
  throw new StratalogError(
    'argument_invalid',
    `The parameters of a query are an array, or an object by name; got ${kindOf(given)}.`,
  )
}

function checkedParameter(name: string, value: unknown): QueryParameter {
  if (value === undefined || value === null) return null
  if (typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string')
    return value
  if (typeof value === 'bigint' && isInt128(value)) return value
  if (typeof value === 'object' && isValue(value)) return value
  throw new StratalogError(
    'query_invalid',
    `The query's parameter $${name} is none of null, boolean, number, bigint of 128 bits, text, Date and bytes.`,
    { details: { name } },
  )
}

export function isInt128(value: bigint): boolean {
  return value <= INT128_MAX && value >= -INT128_MAX - 1n
}

function isValue(value: object): value is Date | Uint8Array {
  return value instanceof Uint8Array || (value instanceof Date && !Number.isNaN(value.getTime()))
}

function kindOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value)
  return value.constructor?.name ?? 'an object'
}
