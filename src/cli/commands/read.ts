/** `read`: records of a log in offset order, across all tiers. */
import { StratalogError } from '../../base/errors.ts'
import type { AsOf } from '../../engine/as-of.ts'
import type { LatestReadOptions } from '../../engine/latest-log.ts'
import { readFields } from '../../engine/read-fields.ts'
import type { ReadOptions } from '../../engine/read-options.ts'
import type { FlagValues } from '../config-flags.ts'
import { withReaderAsOf } from '../engine-access.ts'
import type { OutputFormat } from '../output/output-format.ts'
import { openRecordOutput } from '../output/record-output.ts'
import { logPath } from '../remote-logs.ts'
import { writeRemoteRecords } from '../remote-records.ts'
import { Remote, type RemoteRequest } from '../remote.ts'
import type { Session } from '../session.ts'

/** Which records: the flags that `read` and `export` share. */
export interface RangeFlags extends FlagValues {
  readonly log: string
  readonly partition?: number
  readonly from?: number
  readonly to?: number
  readonly since?: number
  readonly until?: number
  readonly last?: number
  readonly limit?: number
  readonly columns?: readonly string[]
  readonly asOf?: AsOf
}

export interface ReadFlags extends RangeFlags {
  readonly latest?: true
  readonly follow?: true
  readonly format?: OutputFormat
}

export async function readRecords(session: Session, flags: ReadFlags): Promise<void> {
  const format = outputFormat(session, flags)
  if (flags.latest === true) assertLatest(flags)
  const remote = Remote.of(session, flags)
  if (remote !== null) {
    const parameters = { ...rangeParameters(flags), live: flags.follow, latest: flags.latest }
    await writeRemoteRecords(session, remote, recordsPath(flags.log), { parameters }, format)
    return
  }
  await withReaderAsOf(session, flags, async (reading) => {
    const log = reading.log(flags.log)
    const output = await openRecordOutput(format, session)
    const { signal } = session
    const live = flags.follow === true
    const records =
      flags.latest === true
        ? log.latest({ ...latestOptions(flags), signal })
        : log.read({ ...rangeOptions(flags), live, signal })
    for await (const batch of records) {
      await output.write(batch)
      if (session.terminal.outputClosed) return
    }
    // Following has no end but this one.
    session.signal.throwIfAborted()
    await output.end(readFields(log.describe(), flags.columns))
  })
}

export function recordsPath(log: string): string {
  return `${logPath(log)}/records`
}

/** The range as a server is asked for it. */
export function rangeParameters(flags: RangeFlags): NonNullable<RemoteRequest['parameters']> {
  const { columns, asOf, ...rest } = rangeOptions(flags)
  return { ...rest, columns: columns?.join(','), asOf: asOf as string | number | undefined }
}

type RangeOptions = Pick<ReadOptions, 'partition' | 'limit' | 'last' | 'columns' | 'asOf'> & {
  readonly [Key in 'from' | 'to' | 'since' | 'until']?: number
}

export function rangeOptions(flags: RangeFlags): RangeOptions {
  const { partition, from, to, since, until, last, limit, columns, asOf } = flags
  const given = Object.entries({
    partition,
    from,
    to,
    since,
    until,
    last,
    limit,
    columns,
    asOf,
  }).filter(([, value]) => value !== undefined)
  return Object.fromEntries(given)
}

/** `--json` is JSON Lines; otherwise a table for people and NDJSON for programs. */
function outputFormat(session: Session, flags: ReadFlags): OutputFormat {
  if (session.json) {
    if (flags.format === undefined || flags.format === 'ndjson') return 'ndjson'
    throw new StratalogError(
      'argument_invalid',
      `--json is JSON Lines; leave --format ${flags.format} or --json out.`,
    )
  }
  const format =
    flags.format ??
    (session.terminal.outputIsTerminal && flags.follow !== true ? 'table' : 'ndjson')
  if (flags.follow === true && format !== 'ndjson' && format !== 'csv') {
    throw new StratalogError(
      'argument_invalid',
      `--follow has no end, and ${format} needs one: use ndjson or csv.`,
    )
  }
  return format
}

/** A state has no history to choose from. @throws StratalogError `argument_invalid`. */
function assertLatest({ from, to, since, until, last, follow }: ReadFlags): void {
  const given = Object.entries({ from, to, since, until, last, follow })
  const refused = given.filter(([, value]) => value !== undefined).map(([name]) => `--${name}`)
  if (refused.length === 0) return
  throw new StratalogError(
    'argument_invalid',
    `--latest is the newest record of each key; it goes without ${refused.join(', ')}.`,
  )
}

function latestOptions(flags: ReadFlags): LatestReadOptions {
  const { partition, limit, columns, asOf } = rangeOptions(flags)
  return Object.fromEntries(
    Object.entries({ partition, limit, columns, asOf }).filter(([, value]) => value !== undefined),
  )
}
