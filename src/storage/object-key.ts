/**
 * The form of object keys, as the object-store port states it. Keys that come from outside are
 * checked before use.
 */
import { StratalogError } from '../base/errors.ts'

const KEY_PATTERN = /^[A-Za-z0-9._=-]+(?:\/[A-Za-z0-9._=-]+)*$/
const DOT_PART_PATTERN = /(?:^|\/)\.{1,2}(?:\/|$)/

/** S3 takes 1,024 bytes for prefix and key together; this leaves room for the prefix. */
const KEY_LENGTH_MAX = 768

export function isObjectKey(key: string): boolean {
  return key.length <= KEY_LENGTH_MAX && KEY_PATTERN.test(key) && !DOT_PART_PATTERN.test(key)
}

/**
 * @throws StratalogError `argument_invalid`. A key that passes is safe below a directory: it cannot
 * climb out of it.
 */
export function checkObjectKey(key: string): void {
  if (isObjectKey(key)) return
  throw new StratalogError(
    'argument_invalid',
    `${JSON.stringify(key)} is not an object key; it needs parts of A-Z, a-z, 0-9, '.', '_', '=', '-' separated by '/', no part '.' or '..', at most ${KEY_LENGTH_MAX} characters.`,
    { details: { key } },
  )
}

/** A byte order for keys; they are ASCII, so code units and bytes agree. */
export function compareKeys(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
