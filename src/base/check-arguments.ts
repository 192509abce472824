/** Arguments of calls that types cannot answer for: JavaScript calls too. */
import { StratalogError } from './errors.ts'

/**
 * A misspelt option would be one that is silently left out: records that never expire, a read of everything.
 * @throws StratalogError `argument_invalid` naming what `call` takes.
 */
export function assertKnownKeys(
  options: object,
  known: Readonly<Record<string, true>>,
  call: string,
): void {
  assertOptions(options, call)
  for (const key in options) {
    if (Object.hasOwn(known, key)) continue
    throw new StratalogError(
      'argument_invalid',
      `There is no option ${JSON.stringify(key)} of ${call}; the options are ${Object.keys(known).join(', ')}.`,
      { details: { option: key } },
    )
  }
}

/** @throws StratalogError `argument_invalid` */
export function assertOptions(options: { readonly signal?: AbortSignal }, call: string): void {
  if (typeof options !== 'object' || options === null) {
    throw new StratalogError(
      'argument_invalid',
      `The options of ${call} are an object; got ${String(options)}.`,
    )
  }
  if (options.signal !== undefined) assertSignal(options.signal)
}

/** @throws StratalogError `argument_invalid` */
export function assertSignal(signal: AbortSignal): void {
  if (signal instanceof AbortSignal) return
  throw new StratalogError('argument_invalid', 'signal is an AbortSignal.')
}

/** @throws StratalogError `argument_invalid` */
export function assertStatement(sql: string): void {
  if (typeof sql === 'string') return
  throw new StratalogError(
    'argument_invalid',
    `sql is the text of a statement; got ${String(sql)}.`,
  )
}
