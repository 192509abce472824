/** `stream-sql`: the rows of a continuous query, as NDJSON, while its windows close. */
import { readFile } from 'node:fs/promises'
import { StratalogError } from '../../base/errors.ts'
import type { StreamSqlOptions } from '../../engine/stream-options.ts'
import { toNdjson } from '../../query/ndjson.ts'
import type { StreamResumePoint } from '../../query/stream/resume-point.ts'
import type { WindowStream } from '../../query/stream/window-stream.ts'
import { withReader } from '../engine-access.ts'
import type { FlagValues } from '../config-flags.ts'
import { readConfiguration } from '../read-configuration.ts'
import { problemError } from '../../base/server-problem.ts'
import { Remote } from '../remote.ts'
import { replaceFile } from '../replace-file.ts'
import type { Session } from '../session.ts'
import { parameterValue } from './sql.ts'

export interface StreamSqlFlags extends FlagValues {
  readonly param?: readonly string[]
  readonly lateness?: string | number
  readonly late?: 'drop' | 'update'
  readonly emit?: 'close' | 'change'
  readonly emitInterval?: string | number
  readonly idleTimeout?: string | number
  readonly from?: number | 'now'
  readonly since?: number
  readonly untilNow?: true
  readonly skipGaps?: true
  readonly resume?: string
}

/** Rows as lines of JSON, and where the query is behind them. */
interface RowGroup {
  readonly rows: string
  readonly resumePoint: StreamResumePoint | null
}

const NOTE_INTERVAL_MS = 1_000

export async function streamSql(
  session: Session,
  statement: string,
  flags: StreamSqlFlags,
): Promise<void> {
  const options = await optionsOf(flags)
  const remote = Remote.of(session, flags)
  if (remote !== null) {
    await writeGroups(session, remoteGroups(remote, statement, options), flags.resume)
    return
  }
  if (readConfiguration(flags).dataDir === undefined) {
    throw new StratalogError(
      'argument_invalid',
      'A continuous query follows a log as it grows: name a directory with --data-dir, or a server with --url.',
    )
  }
  await withReader(session, flags, async (reading) => {
    if (!('streamSql' in reading)) return
    const { signal } = session
    await using stream = reading.streamSql(statement, { ...options, signal })
    await writeGroups(session, groupsOf(stream), flags.resume)
  })
}

async function* groupsOf(stream: WindowStream): AsyncGenerator<RowGroup, void, undefined> {
  for await (const { schema, columns, length } of stream.batches()) {
    const names = schema.fields.map(({ name }) => name)
    const sqlTypes = stream.columns?.map(({ type }) => type) ?? []
    const rows = toNdjson({ names, sqlTypes, columns, length })
    yield { rows, resumePoint: stream.resumePoint }
  }
  yield { rows: '', resumePoint: stream.resumePoint }
}

/** As the server says them; see its api/sql-stream.ts. */
async function* remoteGroups(
  remote: Remote,
  sql: string,
  options: StreamSqlOptions,
): AsyncGenerator<RowGroup, void, undefined> {
  const body = { sql, ...options }
  const answer = await remote.ask('/v1/sql/stream', { method: 'POST', body })
  const decoder = new TextDecoder()
  let rows = ''
  let rest = ''
  for await (const bytes of remote.bytes(answer)) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (line.startsWith('{"row":')) {
        rows += `${line.slice('{"row":'.length, -1)}\n`
        continue
      }
      const { problem, resumePoint } = JSON.parse(line) as {
        readonly problem?: Readonly<Record<string, unknown>>
        readonly resumePoint?: StreamResumePoint
      }
      if (problem !== undefined) throw problemError(problem)
      yield { rows, resumePoint: resumePoint ?? null }
      rows = ''
    }
  }
}

/** Rows first, then where they end: a run that is killed between gives some of them again, and none is missing. */
async function writeGroups(
  session: Session,
  groups: AsyncIterable<RowGroup>,
  file: string | undefined,
): Promise<void> {
  const { terminal, clock } = session
  let reached: StreamResumePoint | null = null
  let noted: StreamResumePoint | null = null
  let notedMs = -Infinity
  const note = async (): Promise<void> => {
    if (file === undefined || reached === null || reached === noted) return
    await replaceFile(file, `${JSON.stringify(reached)}\n`)
    noted = reached
    notedMs = clock.monotonic()
  }
  try {
    for await (const { rows, resumePoint } of groups) {
      if (rows !== '') await terminal.write(rows)
      if (terminal.outputClosed) break
      reached = resumePoint
      if (clock.monotonic() - notedMs >= NOTE_INTERVAL_MS) await note()
    }
  } finally {
    await note()
  }
  // Following has no end but this one.
  session.signal.throwIfAborted()
}

async function optionsOf(flags: StreamSqlFlags): Promise<StreamSqlOptions> {
  const { param = [], lateness, late, emit, emitInterval, idleTimeout, from, since } = flags
  const { untilNow, skipGaps, resume } = flags
  const resumePoint = resume === undefined ? null : await readResumePoint(resume)
  const given = {
    parameters: param.length === 0 ? undefined : param.map(parameterValue),
    lateness,
    late,
    emit,
    emitInterval,
    idleTimeout,
    // Where it goes on says that.
    from: resumePoint === null ? from : undefined,
    since,
    live: untilNow === true ? false : undefined,
    onGap: skipGaps === true ? 'skip' : undefined,
    resumePoint: resumePoint ?? undefined,
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

/** Null where there is no file yet; the engine checks what is in it. @throws StratalogError `input_invalid`. */
async function readResumePoint(path: string): Promise<StreamResumePoint | null> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw unreadable(path, error)
  }
  try {
    return JSON.parse(text) as StreamResumePoint
  } catch (error) {
    throw unreadable(path, error)
  }
}

function unreadable(path: string, cause: unknown): StratalogError {
  const { message } = cause as Error
  return new StratalogError('input_invalid', `${path} cannot be read: ${message}.`, { cause })
}
