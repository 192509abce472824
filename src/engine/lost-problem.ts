/** Records that a damaged WAL has lost, in the form in which a status tells of damage. */
import type { LostRecords } from '../log/lost-records.ts'
import type { ScrubProblem } from '../tiering/scrub-report.ts'

export function lostProblem(lost: LostRecords | null): readonly ScrubProblem[] {
  if (lost === null) return []
  const { file: where, position, kind, log, partition, from, to } = lost
  const range = { log, partition, from, to }
  const reason = lost.refusal().message
  return [{ where, tier: 'disk', position, kind, ...range, readable: false, reason }]
}
