/** What JavaScript may call with, whatever the types say. What else is wrong with it the server says. */
import { StratalogError } from '../base/errors.ts'

/** @throws StratalogError `argument_invalid` */
export function assertStatement(sql: unknown): asserts sql is string {
  if (typeof sql !== 'string')
    throw new StratalogError('argument_invalid', 'The statement of a query is text.')
}

/** @throws StratalogError `argument_invalid` */
export function assertOptions(options: { readonly signal?: AbortSignal }, call: string): void {
  if (typeof options !== 'object' || options === null)
    throw new StratalogError('argument_invalid', `The options of ${call} are an object.`)
  if (options.signal !== undefined && !(options.signal instanceof AbortSignal))
    throw new StratalogError('argument_invalid', `signal of ${call} is an AbortSignal.`)
}
