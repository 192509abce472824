/** `scrub`: every copy of every segment checked, and with `--repair` made again from the other one. */
import { StratalogError } from '../../base/errors.ts'
import { scrubFiles } from '../../engine/archive-operations.ts'
import type { VerifyReport } from '../../engine/verify/verify-report.ts'
import type { ScrubProblem, ScrubReport } from '../../tiering/scrub-report.ts'
import type { FlagValues } from '../config-flags.ts'
import { withWriter } from '../engine-access.ts'
import { EXIT_STATUS } from '../exit-status.ts'
import { Progress } from '../progress.ts'
import { readConfiguration } from '../read-configuration.ts'
import { Remote } from '../remote.ts'
import { type Session, note, writeDocument } from '../session.ts'
import { verifyText } from './verify.ts'

export interface ScrubFlags extends FlagValues {
  readonly repair?: boolean
}

type ShownReport = Omit<VerifyReport, 'remains'> & { readonly repaired: readonly ScrubProblem[] }

/** Sets the exit status of `corrupt` when problems are left; the report is the message then. */
export async function scrub(
  session: Session,
  flags: ScrubFlags,
  setStatus: (status: number) => void,
): Promise<void> {
  const { repair = false, ...where } = flags
  const progress = new Progress(session, 'scrub')
  const remote = Remote.of(session, where)
  const report = await (
    remote === null
      ? (repair ? repairing : looking)(session, where, progress)
      : asking(remote, repair)
  ).finally(() => progress.end())
  if (report.verdict === 'FAIL') setStatus(EXIT_STATUS.corrupt)
  if (session.json) {
    await writeDocument(session, report)
    return
  }
  await session.terminal.write(verifyText(session, report))
  for (const { where: place, kind } of report.repaired)
    note(session, `repaired: ${place} (${kind})`)
}

async function asking(remote: Remote, repair: boolean): Promise<ShownReport> {
  const request = { method: 'POST', body: { repair } } as const
  return { ...(await remote.json<ScrubReport>('/v1/tier/scrub', request)), notes: [] }
}

async function looking(
  session: Session,
  flags: FlagValues,
  progress: Progress,
): Promise<ShownReport> {
  const { dataDir, archive, s3 } = readConfiguration(flags)
  if (dataDir === undefined && archive === undefined) {
    throw new StratalogError(
      'argument_invalid',
      'Say what to scrub: --data-dir DIR, --archive URL, or both.',
    )
  }
  const { remains: _remains, ...report } = await scrubFiles({
    signal: session.signal,
    ...(dataDir === undefined ? {} : { dataDir }),
    ...(archive === undefined ? {} : { archive }),
    ...(s3 === undefined ? {} : { s3 }),
    onProgress: ({ bytes, bytesTotal }) =>
      progress.update({ done: bytes, total: bytesTotal, unit: 'bytes' }),
  })
  return { ...report, repaired: [] }
}

async function repairing(
  session: Session,
  flags: FlagValues,
  progress: Progress,
): Promise<ShownReport> {
  const report = await withWriter(session, flags, (db) =>
    db.tier.scrub({
      signal: session.signal,
      onProgress: ({ copies, copiesTotal }) =>
        progress.update({ done: copies, total: copiesTotal, unit: 'records' }),
    }),
  )
  return { ...report, notes: [] }
}
