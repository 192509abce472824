import { StratalogError } from './errors.ts'

const LOG_NAME_PATTERN = /^[a-z0-9][a-z0-9._-]{0,127}$/

/** A log's name after normalisation (Unicode NFC, lower case). Never used raw as a path or an object key. */
export type LogName = string & { readonly __brand: 'LogName' }

/** @throws StratalogError `log_name_invalid` when the name does not fit the pattern. */
export function parseLogName(name: unknown): LogName {
  if (typeof name === 'string') {
    const normal = name.normalize('NFC').toLowerCase()
    if (LOG_NAME_PATTERN.test(normal)) return normal as LogName
  }
  throw new StratalogError(
    'log_name_invalid',
    `${typeof name === 'string' ? JSON.stringify(name) : `A value of type ${typeof name}`} is not a log name; it needs 1 to 128 characters of a-z, 0-9, '.', '_' and '-', the first a letter or a digit.`,
    { details: { given: typeof name === 'string' ? name : typeof name } },
  )
}

/** Whether the text is a log name as it stands, already normalised. */
export function isLogName(text: string): text is LogName {
  return LOG_NAME_PATTERN.test(text)
}
