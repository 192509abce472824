/** `drill`: a restore that is rehearsed, measured and judged. */
import { writeFile } from 'node:fs/promises'
import { StratalogError } from '../../base/errors.ts'
import { formatBytes, formatCount, formatDuration } from '../../base/units.ts'
import { drillArchive } from '../../engine/archive-operations.ts'
import type { DrillArchiveOptions, DrillCheckOptions } from '../../engine/drill-archive.ts'
import { type DrillReport, drillMarkdown } from '../../replay/drill-report.ts'
import { drillHtml } from '../../replay/drill-html.ts'
import type { FlagValues } from '../config-flags.ts'
import { readConfiguration } from '../read-configuration.ts'
import { EXIT_VERDICT_FAIL } from '../exit-status.ts'
import { Progress } from '../progress.ts'
import { runRemoteJob } from '../remote-jobs.ts'
import { remoteLiveEngine } from '../remote-live.ts'
import { Remote } from '../remote.ts'
import { type Session, writeDocument } from '../session.ts'

export interface DrillFlags extends FlagValues {
  readonly archive?: string
  readonly url?: string
  readonly against?: string
  readonly token?: string
  readonly sample?: number
  readonly check?: readonly string[]
  readonly expect?: readonly string[]
  readonly report?: string
}

export async function drill(
  session: Session,
  flags: DrillFlags,
  setStatus: (status: number) => void,
): Promise<void> {
  const remote = Remote.of(session, flags, ['archive', 'dataDir'])
  if (flags['dataDir'] !== undefined) {
    throw new StratalogError(
      'argument_invalid',
      'A drill reads an archive alone and has no use for --data-dir; name a live engine to compare with by --against.',
    )
  }
  if (flags.report !== undefined && !/\.(md|html)$/.test(flags.report)) {
    throw new StratalogError(
      'argument_invalid',
      `--report writes .md or .html; ${flags.report} is neither.`,
    )
  }
  const report = await (remote === null
    ? drillHere(session, flags)
    : drillThere(session, remote, flags))
  if (report.verdict === 'FAIL') setStatus(EXIT_VERDICT_FAIL)
  if (flags.report !== undefined) await writeReport(flags.report, report, titleOf(flags))
  if (session.json) await writeDocument(session, report)
  else await session.terminal.write(drillText(session, report))
}

async function drillHere(session: Session, flags: DrillFlags): Promise<DrillReport> {
  const { archive, s3 } = readConfiguration(flags)
  if (archive === undefined)
    throw new StratalogError('argument_invalid', 'Name the archive to rehearse with --archive.')
  const checks = checksOf(flags)
  const progress = new Progress(session, 'drill')
  const against = await liveEngineOf(session, flags)
  return await drillArchive({
    archive,
    checks,
    signal: session.signal,
    ...(s3 === undefined ? {} : { s3 }),
    ...(against === undefined ? {} : { against }),
    ...(flags.sample === undefined ? {} : { sample: flags.sample }),
    onProgress: ({ records, recordsTotal }) =>
      progress.update({ done: records, total: recordsTotal, unit: 'records' }),
  }).finally(() => progress.end())
}

/** The server has its own logs to hold its archive against. */
function drillThere(session: Session, remote: Remote, flags: DrillFlags): Promise<DrillReport> {
  const { archive, sample, against } = flags
  if (against !== undefined) {
    throw new StratalogError(
      'argument_invalid',
      '--against goes without --url: the server holds its archive against its own logs.',
    )
  }
  const checks = checksOf(flags)
  return runRemoteJob(session, remote, { kind: 'drill', archive, sample, checks })
}

/** A data directory as it is named, or what a server has at this point. */
async function liveEngineOf(
  session: Session,
  { against, token }: DrillFlags,
): Promise<DrillArchiveOptions['against']> {
  if (against === undefined || !/^[a-z][a-z0-9+.-]*:\/\//i.test(against)) return against
  if (!/^https?:/i.test(against)) {
    throw new StratalogError(
      'argument_invalid',
      `--against takes a data directory, which may be in use, or http://host:port of a server; got ${against}.`,
    )
  }
  const remote = Remote.of(session, { url: against, ...(token === undefined ? {} : { token }) })
  return remote === null ? undefined : await remoteLiveEngine(remote)
}

/** The n-th `--expect` belongs to the n-th `--check`. */
function checksOf({ check = [], expect = [] }: DrillFlags): readonly DrillCheckOptions[] {
  if (check.length !== expect.length) {
    throw new StratalogError(
      'argument_invalid',
      `Each --check needs an --expect: there are ${check.length} and ${expect.length}.`,
    )
  }
  return check.map((sql, index) => {
    const text = expect[index] ?? ''
    try {
      return { sql, expected: JSON.parse(text) as unknown }
    } catch (error) {
      throw new StratalogError(
        'argument_invalid',
        `--expect ${text} is not JSON; give rows such as [[42]].`,
        { cause: error },
      )
    }
  })
}

function titleOf(flags: DrillFlags): string {
  const archive = flags.url === undefined ? readConfiguration(flags).archive : flags.archive
  return `Archive ${archive ?? `of ${flags.url}`}`
}

async function writeReport(path: string, report: DrillReport, title: string): Promise<void> {
  const page = path.endsWith('.html') ? drillHtml : drillMarkdown
  await writeFile(path, page(report, title))
}

function hashText(hashEqual: boolean | null): string {
  if (hashEqual === null) return 'not compared'
  return hashEqual ? 'equal to the live engine' : 'DIFFERENT from the live engine'
}

function drillText(session: Session, report: DrillReport): string {
  const {
    verdict,
    records,
    rtoMs,
    rpoMs,
    rpoRecords,
    bytesPerSecond,
    hashEqual,
    coverage,
    reasons,
  } = report
  const shown = session.terminal.style(
    [verdict === 'PASS' ? 'green' : 'red', 'bold'],
    verdict,
    'output',
  )
  const lines = [
    `${shown}  ${formatCount(records)} records restored, ${(coverage * 100).toFixed(coverage === 1 ? 0 : 3)} % of what there is`,
    `recovery time   ${formatDuration(rtoMs)}, ${formatBytes(bytesPerSecond)}/s`,
    `recovery point  ${rpoMs === null ? 'not measured; name the live engine with --against' : `${formatDuration(rpoMs)}, ${formatCount(rpoRecords ?? 0)} records`}`,
    `content hash    ${hashText(hashEqual)}`,
    ...report.checks.map(
      (check) =>
        `check           ${check.passed ? 'ok' : `FAILED: ${check.error ?? JSON.stringify(check.actual)}`}  ${check.sql}`,
    ),
    ...reasons.map((reason) => `- ${reason}`),
  ]
  return `${lines.join('\n')}\n`
}
