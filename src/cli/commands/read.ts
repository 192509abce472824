/** `read`: records of a log in offset order, across all tiers. */
import { StratalogError } from '../../base/errors.ts'
import type { Field } from '../../format/schema.ts'
import type { AsOf } from '../../engine/as-of.ts'
import type { LatestReadOptions } from '../../engine/latest-log.ts'
import type { ReadOptions } from '../../engine/read-options.ts'
import type { FlagValues } from '../config-flags.ts'
import { withReaderAsOf } from '../engine-access.ts'
import type { OutputFormat } from '../output/output-format.ts'
import { openRecordOutput } from '../output/record-output.ts'
import { writeRemoteRecords } from '../remote-records.ts'
import { Remote } from '../remote.ts'
import type { Session } from '../session.ts'

export interface ReadFlags extends FlagValues {
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
  readonly latest?: true
  readonly follow?: true
  readonly format?: OutputFormat
}

/** What every record shows beside the user's columns. */
const SYSTEM_FIELDS: readonly Field[] = [
  { name: '_offset', type: 'int64', nullable: false },
  { name: '_partition', type: 'int32', nullable: false },
  { name: '_time', type: 'timestamp[ms]', nullable: false },
]

export async function readRecords(session: Session, flags: ReadFlags): Promise<void> {
  const format = outputFormat(session, flags)
  if (flags.latest === true) assertLatest(flags)
  const remote = Remote.of(session, flags)
  if (remote !== null) {
    const { log, columns, follow, latest, ...rest } = flags
    const { partition, from, to, since, until, last, limit } = rest
    const path = `/v1/logs/${encodeURIComponent(log)}/records`
    const given = { partition, from, to, since, until, last, limit, columns: columns?.join(',') }
    await writeRemoteRecords(
      session,
      remote,
      path,
      { parameters: { ...given, live: follow, latest } },
      format,
    )
    return
  }
  await withReaderAsOf(session, flags, async (reading) => {
    const log = reading.log(flags.log)
    const output = await openRecordOutput(format, session)
    const records =
      flags.latest === true
        ? log.latest(latestOptions(session, flags))
        : log.read(readOptions(session, flags))
    for await (const batch of records) {
      await output.write(batch)
      if (session.terminal.outputClosed) return
    }
    const fields = [...log.describe().schema, ...SYSTEM_FIELDS]
    await output.end(
      flags.columns === undefined
        ? fields
        : fields.filter(({ name }) => flags.columns?.includes(name)),
    )
  })
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

function latestOptions(session: Session, flags: ReadFlags): LatestReadOptions {
  const { partition, limit, columns, asOf } = flags
  return { ...given({ partition, limit, columns, asOf }), signal: session.signal }
}

/** What is not undefined. */
function given(options: object): object {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

function readOptions(session: Session, flags: ReadFlags): ReadOptions {
  const { partition, from, to, since, until, last, limit, columns, asOf } = flags
  const asked = given({ partition, from, to, since, until, last, limit, columns, asOf })
  return { ...asked, live: flags.follow === true, signal: session.signal }
}
