/** Parameters of the native API, read strictly: from the query of a URL and from JSON bodies. */
import { RequestProblem } from '../http-error.ts'

/** @throws RequestProblem `request_invalid` for a parameter that is not taken here, or comes twice. */
export function assertKnownParameters(query: URLSearchParams, known: readonly string[]): void {
  for (const name of query.keys()) {
    if (!known.includes(name))
      throw new RequestProblem('request_invalid', `There is no parameter ${JSON.stringify(name)}.`)
    if (query.getAll(name).length > 1)
      throw new RequestProblem('request_invalid', `There is more than one ${name}.`)
  }
}

/** @throws RequestProblem `request_invalid` for a key that is not taken here. */
export function assertKnownKeys(
  body: Readonly<Record<string, unknown>>,
  known: readonly string[],
): void {
  const unknown = Object.keys(body).find((key) => !known.includes(key))
  if (unknown !== undefined)
    throw new RequestProblem('request_invalid', `There is no key ${JSON.stringify(unknown)}.`)
}

export function wholeParameter(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name)
  if (text === null) return undefined
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (Number.isSafeInteger(value)) return value
  throw new RequestProblem('request_invalid', `${name} is a whole number.`)
}

/** How many a page has: what is asked for, and `most` at most. */
export function pageParameter(query: URLSearchParams, most: number): number {
  const limit = wholeParameter(query, 'limit') ?? most
  if (limit > 0) return Math.min(limit, most)
  throw new RequestProblem('request_invalid', 'limit is a whole number above 0.')
}

/** A time as ISO 8601, or as ms. */
export function timeParameter(query: URLSearchParams, name: string): string | number | undefined {
  const text = query.get(name) ?? undefined
  return text !== undefined && /^-?\d{1,16}$/.test(text) ? Number(text) : text
}

export function flagParameter(query: URLSearchParams, name: string): boolean {
  const text = query.get(name)
  if (text === null || text === 'false') return false
  if (text === 'true') return true
  throw new RequestProblem('request_invalid', `${name} is true or false.`)
}

export function listParameter(query: URLSearchParams, name: string): readonly string[] | undefined {
  return query.get(name)?.split(',')
}

/** The keys that are given, without those that are undefined. */
export function given<T extends object>(
  values: T,
): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as { [Key in keyof T]?: Exclude<T[Key], undefined> }
}
