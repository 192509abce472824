/** `verify`: every file of a directory, of an archive, or of both, checked. */
import { StratalogError } from '../../base/errors.ts'
import { formatBytes, formatCount, formatDuration } from '../../base/units.ts'
import { verifyFiles } from '../../engine/archive-operations.ts'
import type {
  VerifyFilesOptions,
  VerifyProblem,
  VerifyReport,
} from '../../engine/verify/verify-report.ts'
import type { FlagValues } from '../config-flags.ts'
import { EXIT_STATUS } from '../exit-status.ts'
import { renderTable } from '../output/table.ts'
import { Progress } from '../progress.ts'
import { readConfiguration } from '../read-configuration.ts'
import { Remote } from '../remote.ts'
import { type Session, writeDocument } from '../session.ts'
import { snapshotPath } from './snapshot.ts'

/** Sets the exit status of `corrupt` when there are problems; the report is the message then. */
export async function verify(
  session: Session,
  flags: FlagValues,
  setStatus: (status: number) => void,
): Promise<void> {
  const remote = Remote.of(session, flags)
  if (remote !== null) {
    await showVerified(session, await askVerify(remote, '/v1/verify'), setStatus)
    return
  }
  const { dataDir, archive, s3 } = readConfiguration(flags)
  if (dataDir === undefined && archive === undefined) {
    throw new StratalogError(
      'argument_invalid',
      'Say what to verify: --data-dir DIR, --archive URL, or both.',
    )
  }
  await verifyPlaces(
    session,
    {
      ...(dataDir === undefined ? {} : { dataDir }),
      ...(archive === undefined ? {} : { archive }),
      ...(s3 === undefined ? {} : { s3 }),
    },
    setStatus,
  )
}

/** As `verify`, of one snapshot. */
export async function verifySnapshot(
  session: Session,
  snapshot: string,
  flags: FlagValues,
  setStatus: (status: number) => void,
): Promise<void> {
  const remote = Remote.of(session, flags)
  if (remote !== null) {
    const path = `${snapshotPath(snapshot)}/verify`
    await showVerified(session, await askVerify(remote, path), setStatus)
    return
  }
  const { archive, s3 } = readConfiguration(flags)
  if (archive === undefined) {
    throw new StratalogError(
      'argument_invalid',
      'Snapshots lie in an archive: name it with --archive URL.',
    )
  }
  await verifyPlaces(session, { archive, snapshot, ...(s3 === undefined ? {} : { s3 }) }, setStatus)
}

async function verifyPlaces(
  session: Session,
  places: VerifyFilesOptions,
  setStatus: (status: number) => void,
): Promise<void> {
  const progress = new Progress(session, 'verify')
  const report = await verifyFiles({
    ...places,
    signal: session.signal,
    onProgress: ({ bytes, bytesTotal }) =>
      progress.update({ done: bytes, total: bytesTotal, unit: 'bytes' }),
  }).finally(() => progress.end())
  await showVerified(session, report, setStatus)
}

async function askVerify(remote: Remote, path: string): Promise<VerifyReport> {
  return await remote.json<VerifyReport>(path, { method: 'POST' })
}

async function showVerified(
  session: Session,
  report: VerifyReport,
  setStatus: (status: number) => void,
): Promise<void> {
  if (report.verdict === 'FAIL') setStatus(EXIT_STATUS.corrupt)
  if (session.json) await writeDocument(session, report)
  else await session.terminal.write(`${verifyText(session, report)}${remainsText(report)}`)
}

/** What both `verify` and `scrub` print. */
export function verifyText(session: Session, report: Omit<VerifyReport, 'remains'>): string {
  const { verdict, files, bytes, problems, notes, elapsedMs } = report
  const shown = session.terminal.style(
    [verdict === 'PASS' ? 'green' : 'red', 'bold'],
    verdict,
    'output',
  )
  const looked = `${formatCount(files)} files, ${formatBytes(bytes)} in ${formatDuration(elapsedMs)}`
  const lines = [`${shown}  ${looked}; ${formatCount(problems.length)} problems`]
  for (const { where, kind, reason } of notes) lines.push(`- ${kind}: ${where}: ${reason}`)
  if (problems.length === 0) return `${lines.join('\n')}\n`
  const table = renderTable(
    ['kind', 'log', 'offsets', 'readable', 'position', 'reason'].map((name) => ({ name })),
    problems.map((problem) => [
      problem.kind,
      problem.log === null ? null : `${problem.log}/${problem.partition ?? '?'}`,
      problem.from === null || problem.to === null
        ? null
        : `${formatCount(problem.from)} to ${formatCount(problem.to)}`,
      readableText(problem),
      problem.position === null ? null : formatCount(problem.position),
      problem.reason,
    ]),
  )
  const places = problems.map(({ where }, index) => `${index + 1}. ${where}`)
  return `${lines.join('\n')}\n\n${table}\n${places.join('\n')}\n`
}

/** What nothing opens is shown by file, for whoever takes it out by hand. */
function remainsText({ remains }: VerifyReport): string {
  if (remains.length === 0) return ''
  const table = renderTable(
    ['log', 'offsets', 'in', 'position', 'file'].map((name) => ({ name })),
    remains.map(({ log, logId, partition, from, to, in: tier, position, where }) => [
      `${log ?? `(log ${logId})`}/${partition}`,
      `${formatCount(from)} to ${formatCount(to)}`,
      tier,
      formatCount(position),
      where,
    ]),
  )
  return `\nSound beside the damaged manifest:\n\n${table}\n`
}

function readableText({ readable }: VerifyProblem): string {
  if (readable === null) return 'archive not looked at'
  return readable ? 'yes' : 'NO'
}
