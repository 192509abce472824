/** Arguments of calls that types cannot answer for: JavaScript calls too. */
import { StratalogError } from '../base/errors.ts'
import { nearestName } from './nearest-name.ts'

/**
 * A misspelt option would be one that is silently left out: records that never expire, a read of everything.
 * @throws StratalogError `argument_invalid` naming what `call` takes.
 */
export function assertKnownKeys(
  options: object,
  known: Readonly<Record<string, unknown>>,
  call: string,
): void {
  assertObject(options, `The options of ${call} are an object`)
  for (const key in options) {
    if (Object.hasOwn(known, key)) continue
    const nearest = nearestName(key, Object.keys(known))
    const meant = nearest === null ? '' : ` Did you mean ${nearest}?`
    throw new StratalogError(
      'argument_invalid',
      `There is no option ${JSON.stringify(key)} of ${call}; the options are ${Object.keys(known).join(', ')}.${meant}`,
      { details: { option: key } },
    )
  }
}

/** What an option may be. One that is undefined is as if it were left out. */
export interface OptionKind {
  readonly expected: string
  readonly fits: (value: unknown) => boolean
}

const isText = (value: unknown): boolean => typeof value === 'string'
const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const TEXT: OptionKind = { expected: 'text', fits: isText }
export const FLAG: OptionKind = {
  expected: 'true or false',
  fits: (value) => typeof value === 'boolean',
}
export const FUNCTION: OptionKind = {
  expected: 'a function',
  fits: (value) => typeof value === 'function',
}
export const SIGNAL: OptionKind = {
  expected: 'an AbortSignal',
  fits: (value) => value instanceof AbortSignal,
}
export const OBJECT: OptionKind = { expected: 'an object', fits: isObject }
export const NAMES: OptionKind = {
  expected: 'an array of names',
  fits: (value) => Array.isArray(value) && value.every(isText),
}
/** Where none would be all that is left out, or nothing that is done. */
export const SOME_NAMES: OptionKind = {
  expected: 'an array of one or more names',
  fits: (value) => NAMES.fits(value) && (value as readonly unknown[]).length > 0,
}
export const TEXTS_BY_NAME: OptionKind = {
  expected: 'an object of texts',
  fits: (value) => isObject(value) && Object.values(value).every(isText),
}
/** Left to who reads it, who knows more of it. */
export const LOOKED_AT_LATER: OptionKind = { expected: 'anything', fits: () => true }

export function oneOf(...words: readonly string[]): OptionKind {
  const expected = words.map((word) => `'${word}'`).join(' or ')
  return { expected, fits: (value) => isText(value) && words.includes(value as string) }
}

/** @throws StratalogError `argument_invalid` for options that `call` does not take, or that are of another kind. */
export function assertOptions<Options extends object>(
  options: Options,
  kinds: Readonly<Record<keyof Options & string, OptionKind>>,
  call: string,
): void {
  assertKnownKeys(options, kinds, call)
  for (const [name, { expected, fits }] of Object.entries<OptionKind>(kinds)) {
    const value = (options as Readonly<Record<string, unknown>>)[name]
    if (value === undefined || fits(value)) continue
    throw new StratalogError(
      'argument_invalid',
      `${name} of ${call} is ${expected}; got ${shown(value)}.`,
      { details: { option: name } },
    )
  }
}

/** @throws StratalogError `argument_invalid` */
export function assertObject(value: unknown, statement: string): asserts value is object {
  if (typeof value === 'object' && value !== null) return
  throw new StratalogError('argument_invalid', `${statement}; got ${shown(value)}.`)
}

/** @throws StratalogError `argument_invalid` */
export function assertText(value: unknown, what: string): asserts value is string {
  if (typeof value === 'string') return
  throw new StratalogError('argument_invalid', `${what} is text; got ${shown(value)}.`)
}

/** @throws StratalogError `argument_invalid` */
export function assertWhole(value: unknown, what: string): asserts value is number {
  if (Number.isSafeInteger(value) && Number(value) >= 0) return
  throw new StratalogError(
    'argument_invalid',
    `${what} is a whole number from 0 on; got ${shown(value)}.`,
  )
}

/** @throws StratalogError `argument_invalid` */
export function assertSignal(signal: AbortSignal): void {
  if (signal instanceof AbortSignal) return
  throw new StratalogError('argument_invalid', 'signal is an AbortSignal.')
}

/** Any value, for a message. What is long or cannot be shown is named by its kind. */
function shown(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 80))
  if (typeof value === 'function') return 'a function'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : 'an array'
  if (typeof value === 'object' && value !== null) return 'an object'
  const plain = value as number | bigint | boolean | symbol | null
  return String(plain)
}
