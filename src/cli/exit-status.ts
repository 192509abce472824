/** Exit statuses, which scripts rely on: one for each kind of error, and one for a verdict of FAIL. */
import type { ErrorKind } from '../base/errors.ts'

export const EXIT_DONE = 0
export const EXIT_VERDICT_FAIL = 10

export const EXIT_STATUS: Readonly<Record<ErrorKind, number>> = {
  internal: 1,
  invalid: 2,
  not_found: 3,
  conflict: 4,
  fenced: 5,
  overloaded: 6,
  unavailable: 7,
  corrupt: 8,
  closed: 9,
  aborted: 130,
}
