/** `replay`: history out of an archive, into a data directory, onto standard output, or only counted and hashed. */
import { readFile, writeFile } from 'node:fs/promises'
import { StratalogError } from '../../base/errors.ts'
import { formatBytes, formatCount, formatDuration } from '../../base/units.ts'
import type { Batch } from '../../engine/batch.ts'
import { resolvePorts } from '../../engine/ports.ts'
import {
  type ReplayFromArchiveOptions,
  batchSink,
  replayArchive,
} from '../../engine/replay-archive.ts'
import { Stratalog } from '../../engine/stratalog.ts'
import type { ReplaySpeed } from '../../replay/pace.ts'
import type { ReplayReport, ResumePoint } from '../../replay/report.ts'
import type { FlagValues } from '../config-flags.ts'
import { readConfiguration } from '../read-configuration.ts'
import { toNdjson } from '../output/text-records.ts'
import { renderTable } from '../output/table.ts'
import { Progress } from '../progress.ts'
import { type Session, note, writeDocument } from '../session.ts'

export interface ReplayFlags extends FlagValues {
  readonly logs?: readonly string[]
  readonly since?: number
  readonly until?: number
  readonly from?: number
  readonly to?: number
  readonly speed: ReplaySpeed
  readonly into?: string
  readonly resume?: string
}

/** @throws StratalogError `object_corrupt` when history was missing or damaged, after the report. */
export async function replay(session: Session, flags: ReplayFlags): Promise<void> {
  const { archive, s3 } = readConfiguration(flags)
  if (archive === undefined)
    throw new StratalogError('argument_invalid', 'Name the archive to replay with --archive.')
  const progress = new Progress(session, 'replay')
  let resumeAt = flags.resume === undefined ? undefined : await readResumePoint(flags.resume)
  const options: ReplayFromArchiveOptions = {
    ...rangeOf(flags),
    ...(s3 === undefined ? {} : { s3 }),
    ...(resumeAt === undefined ? {} : { resumePoint: resumeAt }),
    speed: flags.speed,
    signal: session.signal,
    onProgress: (state) => {
      progress.update({ done: state.records, total: state.recordsTotal, unit: 'records' })
      if (flags.resume !== undefined) resumeAt = state.resumePoint()
    },
  }
  try {
    const report = await replayInto(session, archive, flags.into, options)
    resumeAt = report.resumePoint
    progress.end()
    await showReport(session, report, flags.into === '-')
    throwDamage(report)
  } finally {
    progress.end()
    if (flags.resume !== undefined && resumeAt !== undefined)
      await writeFile(flags.resume, `${JSON.stringify(resumeAt)}\n`)
  }
}

async function replayInto(
  session: Session,
  archive: string,
  into: string | undefined,
  options: ReplayFromArchiveOptions,
): Promise<ReplayReport> {
  if (into === undefined || into === '-') {
    const take = into === '-' ? printer(session) : (): void => {}
    return await replayArchive(archive, batchSink(take), options, resolvePorts({}, {}))
  }
  const db = await Stratalog.open({ dataDir: into })
  try {
    return await db.replayFromArchive(archive, options)
  } finally {
    await db.close()
  }
}

/** Records as NDJSON; `_log` tells those of several logs apart. */
function printer(session: Session): (log: string, batch: Batch) => Promise<void> {
  return async (log, batch) => {
    const names = batch.fields.map((field) => field.name)
    const head = `{"_log":${JSON.stringify(log)},`
    const lines = toNdjson({ names, columns: batch.columns, length: batch.length })
    await session.terminal.write(lines.replace(/^\{/gm, head))
  }
}

function rangeOf({ logs, since, until, from, to }: ReplayFlags): Partial<ReplayFromArchiveOptions> {
  return {
    ...(logs === undefined ? {} : { logs }),
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
  }
}

async function readResumePoint(path: string): Promise<ResumePoint | undefined> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return null
    throw new StratalogError('input_invalid', `${path} cannot be read: ${message}.`, {
      cause: error,
    })
  })
  if (text === null) return undefined
  try {
    return JSON.parse(text) as ResumePoint
  } catch (error) {
    throw new StratalogError('input_invalid', `${path} is not the resume point of a replay.`, {
      cause: error,
    })
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
  const { records, bytes, elapsedMs } = report
  const rate = formatCount((records / Math.max(1, elapsedMs)) * 1000)
  const right = 'right' as const
  const table = renderTable(
    [
      { name: 'log' },
      { name: 'records', align: right },
      { name: 'bytes', align: right },
      { name: 'gaps', align: right },
      { name: 'content hash' },
    ],
    report.logs.map((log) => [
      log.name,
      formatCount(log.records),
      formatBytes(log.bytes),
      String(log.gaps.length),
      log.hash,
    ]),
  )
  return `${table}${formatCount(records)} records, ${formatBytes(bytes)} in ${formatDuration(elapsedMs)} (${rate} records/s)`
}

function throwDamage({ missing, corrupt }: ReplayReport): void {
  if (missing.length + corrupt.length === 0) return
  throw new StratalogError(
    'object_corrupt',
    `The archive is not whole: ${missing.length} objects are missing and ${corrupt.length} are damaged. All else was replayed.`,
    { details: { missing, corrupt } },
  )
}
