/** `replay`: history out of an archive, into a directory, an endpoint, standard output, or only counted and hashed. */
import { StratalogError } from '../../base/errors.ts'
import { formatBytes, formatCount, formatDuration } from '../../base/units.ts'
import { resolvePorts } from '../../engine/ports.ts'
import { batchSink, replayArchive, replayToEndpoint } from '../../engine/replay-archive.ts'
import type { ReplayFromArchiveOptions } from '../../engine/replay-from-archive-options.ts'
import { Stratalog } from '../../engine/stratalog.ts'
import type { ReplayReport } from '../../replay/report.ts'
import type { ReplaySink } from '../../replay/sink.ts'
import { replayOutput } from '../output/replay-output.ts'
import { readConfiguration } from '../read-configuration.ts'
import { renderTable } from '../output/table.ts'
import { Progress } from '../progress.ts'
import { type ReplayFlags, replayJob } from '../replay-flags.ts'
import { runRemoteJob } from '../remote-jobs.ts'
import { Remote } from '../remote.ts'
import { ResumeFile } from '../resume-file.ts'
import { type Session, note, writeDocument } from '../session.ts'
import { openStepInput } from '../step-input.ts'

/** @throws StratalogError `object_corrupt` when history was missing or damaged, after the report. */
export async function replay(session: Session, flags: ReplayFlags): Promise<void> {
  const remote = Remote.of(session, flags, ['archive'])
  if (remote !== null) {
    const report = await runRemoteJob<ReplayReport>(session, remote, replayJob(flags))
    await showReport(session, report, false)
    throwDamage(report)
    return
  }
  const { archive, s3 } = readConfiguration(flags)
  if (archive === undefined)
    throw new StratalogError('argument_invalid', 'Name the archive to replay with --archive.')
  checkFlags(flags)
  const progress = new Progress(session, 'replay')
  const resume =
    flags.resume === undefined
      ? null
      : await ResumeFile.open(flags.resume, () => session.clock.monotonic())
  let resumeAt = resume?.point
  const steps = flags.speed === 'stepped' ? openStepInput(session) : null
  const options: ReplayFromArchiveOptions = {
    ...rangeOf(flags),
    ...(s3 === undefined ? {} : { s3 }),
    ...(resume === null ? {} : { resumePoint: resume.point ?? { logs: [] } }),
    ...(steps === null ? {} : { step: (next) => steps.step(next) }),
    speed: flags.speed,
    signal: session.signal,
    onProgress: ({ records, recordsPassed, recordsTotal, resumePoint }) => {
      progress.update({ done: recordsPassed, total: recordsTotal, records })
      if (resume === null) return
      resumeAt = resumePoint()
      resume.file.note(resumePoint)
    },
  }
  try {
    const report = await replayInto(session, archive, flags, options)
    resumeAt = report.resumePoint
    progress.end()
    await showReport(session, report, flags.into === '-')
    throwDamage(report)
  } finally {
    progress.end()
    steps?.close()
    if (resumeAt !== undefined) await resume?.file.write(resumeAt)
  }
}

function checkFlags({
  into,
  format,
  intoHosts,
  intoPrivate,
  stepRecords,
  speed,
}: ReplayFlags): void {
  if (format !== undefined && into !== '-')
    throw new StratalogError('argument_invalid', '--format is for --into -, standard output.')
  if ((intoHosts !== undefined || intoPrivate === true) && !isEndpoint(into))
    throw new StratalogError(
      'argument_invalid',
      '--into-hosts and --into-private are for an --into of http:// or https://.',
    )
  if (stepRecords !== undefined && speed !== 'stepped')
    throw new StratalogError('argument_invalid', '--step-records is for --speed stepped.')
  if (into !== undefined && !isEndpoint(into) && /^[a-z][a-z0-9+.-]*:\/\//i.test(into))
    throw new StratalogError(
      'argument_invalid',
      `--into takes a directory, http://…, https://… or '-'; got ${into}.`,
    )
}

function isEndpoint(into: string | undefined): boolean {
  return into !== undefined && /^https?:\/\//i.test(into)
}

async function replayInto(
  session: Session,
  archive: string,
  flags: ReplayFlags,
  options: ReplayFromArchiveOptions,
): Promise<ReplayReport> {
  const { into, intoHosts, intoPrivate, format = 'ndjson' } = flags
  const ports = resolvePorts({}, {})
  if (into === undefined)
    return await replayArchive(
      archive,
      batchSink(() => {}),
      options,
      ports,
    )
  if (into === '-') {
    const output = replayOutput(format, session)
    const sink: ReplaySink = {
      ...batchSink(output.take),
      begin: async ({ definition }) => {
        output.begin(definition.name)
        return null
      },
    }
    const report = await replayArchive(archive, sink, options, ports)
    await output.end()
    return report
  }
  if (isEndpoint(into)) {
    const endpoint = {
      url: into,
      ...(intoHosts === undefined ? {} : { hosts: intoHosts }),
      ...(intoPrivate === undefined ? {} : { allowPrivate: true }),
    }
    return await replayToEndpoint(archive, endpoint, options, ports)
  }
  const db = await Stratalog.open({ dataDir: into })
  try {
    return await db.replayFromArchive(archive, options)
  } finally {
    await db.close()
  }
}

function rangeOf(flags: ReplayFlags): Partial<ReplayFromArchiveOptions> {
  const { logs, since, until, from, to, stepRecords } = flags
  return {
    ...(logs === undefined ? {} : { logs }),
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(stepRecords === undefined ? {} : { stepRecords }),
  }
}

/** The records have standard output when they go there; the report then goes where notes go. */
async function showReport(
  session: Session,
  report: ReplayReport,
  isOutputTaken: boolean,
): Promise<void> {
  if (session.json && isOutputTaken) session.terminal.note(JSON.stringify(report))
  else if (session.json) await writeDocument(session, report)
  else if (isOutputTaken) note(session, reportText(report))
  else await session.terminal.write(`${reportText(report)}\n`)
}

/** What a replay gave, by log. */
export function reportText(report: ReplayReport): string {
  const { records, bytes, elapsedMs, limitedBy } = report
  const rate = formatCount(report.recordsPerSecond)
  const limit = limitedBy === null ? '' : `; most of the time was spent on: ${limitedBy}`
  const right = 'right' as const
  const table = renderTable(
    [
      { name: 'log' },
      { name: 'records', align: right },
      { name: 'bytes', align: right },
      { name: 'first time' },
      { name: 'last time' },
      { name: 'gaps', align: right },
      { name: 'content hash' },
    ],
    report.logs.map((log) => [
      log.name,
      formatCount(log.records),
      formatBytes(log.bytes),
      log.firstTime ?? '',
      log.lastTime ?? '',
      String(log.gaps.length),
      log.hash,
    ]),
  )
  return `${table}${formatCount(records)} records, ${formatBytes(bytes)} in ${formatDuration(elapsedMs)} (${rate} records/s)${limit}`
}

function throwDamage({ missing, corrupt }: ReplayReport): void {
  if (missing.length + corrupt.length === 0) return
  throw new StratalogError(
    'object_corrupt',
    `The archive is not whole: ${missing.length} objects are missing and ${corrupt.length} are damaged. All else was replayed.`,
    { details: { missing, corrupt } },
  )
}
