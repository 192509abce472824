import { StratalogError } from '../base/errors.ts'

/** What a directory and its archive hold different records of. @param what which, as a sentence. */
export function divergedFromArchive(
  what: string,
  details: Readonly<Record<string, unknown>>,
): StratalogError {
  return new StratalogError(
    'archive_diverged',
    `${what} Another machine went on with the archive, or this directory is an old copy. 'stratalog reconcile' keeps what only the directory has as a fork, and takes the rest from the archive; or restore the archive into a new directory.`,
    { details: { ...details, remedy: 'reconcile' } },
  )
}
