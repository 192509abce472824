/**
 * When the records of a segment expire and which go first: only of logs in mode `memory`, where that was asked for.
 * In the facts it is a list of runs, `[rows, expiresAt or 0, priority + 1000]`, which together are all records.
 */
import type { Fail, JsonFields } from './json-fields.ts'
import { PRIORITY_MIN } from './limits.ts'

export interface TermsRun {
  readonly rows: number
  /** Engine clock, ms; Infinity: never. */
  readonly expiresAt: number
  readonly priority: number
}

export function termsFacts(runs: readonly TermsRun[]): readonly (readonly number[])[] {
  return runs.map(({ rows, expiresAt, priority }) => [
    rows,
    expiresAt === Infinity ? 0 : expiresAt,
    priority - PRIORITY_MIN,
  ])
}

/** @param records of the segment. @throws `fail`. */
export function decodeTerms(fields: JsonFields, records: number, fail: Fail): readonly TermsRun[] {
  let rest = records
  const runs = fields.arraysOfIntegers('terms').map((run) => {
    const [rows = 0, expiresAt = 0, priority = 0] = run
    if (run.length !== 3 || rows === 0) fail('a run of its terms is not three numbers')
    rest -= rows
    return {
      rows,
      expiresAt: expiresAt === 0 ? Infinity : expiresAt,
      priority: priority + PRIORITY_MIN,
    }
  })
  if (rest !== 0) fail('its terms are not those of its records')
  return runs
}
