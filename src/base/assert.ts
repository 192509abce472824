/**
 * Assertions are for programmer errors: a broken invariant of ours, never bad input and never a failing disk.
 * Nobody catches an AssertionError; the process that sees one is no longer trusted to acknowledge anything.
 */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}

/** Marks a branch that the types prove impossible. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable value: ${String(value)}`)
}

/** Narrows away null and undefined where an invariant says the value is there. */
export function present<T>(value: T | null | undefined, what: string): T {
  if (value === null || value === undefined) throw new AssertionError(`missing: ${what}`)
  return value
}
