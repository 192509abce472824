/** Plants one mutant into the source as it is loaded: nothing is written, so nothing can be left behind. */
import type { Mutant } from './mutant.ts'
import { MUTANTS } from './mutants.ts'

/** Names the environment variable that says which mutant a process is to carry. */
export const MUTANT_VARIABLE = 'STRATALOG_TEST_MUTANT'

/** @throws RangeError for a name that the table does not have. */
export function mutantNamed(name: string): Mutant {
  const mutant = MUTANTS.find((other) => other.name === name)
  if (mutant === undefined) throw new RangeError(`There is no mutant '${name}'.`)
  return mutant
}

/** Whether a file, by its path or URL, is the one that a mutant changes. */
export function isChanged(mutant: Mutant, path: string): boolean {
  return path.endsWith(`/src/${mutant.file}`)
}

/**
 * The text of a source file with the mutant in it; as it was when the mutant is of another file.
 *
 * @param path the file, as a path or a URL.
 * @throws Error when the text to replace is not there exactly once: the code moved on, and the mutant has to follow.
 */
export function mutate(mutant: Mutant, path: string, source: string): string {
  if (!isChanged(mutant, path)) return source
  const parts = source.split(mutant.find)
  if (parts.length === 2) return parts.join(mutant.replace)
  throw new Error(
    `Mutant '${mutant.name}': src/${mutant.file} has its text ${parts.length - 1} times, not once.`,
  )
}
