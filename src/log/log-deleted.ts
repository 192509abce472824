import { StratalogError } from '../base/errors.ts'

/** What calls on a log are told that was deleted, under way or made later. */
export function logDeleted(name: string): StratalogError {
  return new StratalogError('log_deleted', `Log '${name}' was deleted.`, { details: { log: name } })
}
