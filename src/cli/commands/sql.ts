/** `sql`: one question over all tiers. */
import { StratalogError } from '../../base/errors.ts'
import { formatBytes, formatCount, formatDuration, parseDuration } from '../../base/units.ts'
import type { AsOf } from '../../engine/as-of.ts'
import type { QueryParameter } from '../../base/query-parameters.ts'
import type { QueryJson, QueryResult, QueryStats } from '../../query/query-result.ts'
import type { FlagValues } from '../config-flags.ts'
import { type Reading, withReaderAsOf } from '../engine-access.ts'
import type { OutputFormat } from '../output/output-format.ts'
import { openRecordOutput } from '../output/record-output.ts'
import { explain } from '../output/explain.ts'
import { writeRemoteRecords } from '../remote-records.ts'
import { Remote } from '../remote.ts'
import { type Session, note } from '../session.ts'

export interface SqlFlags extends FlagValues {
  readonly format?: OutputFormat | 'json'
  readonly param?: readonly string[]
  readonly asOf?: AsOf
  readonly timeout?: string
  readonly maxRows?: number
  readonly maxBytes?: string | number
  readonly explain?: true
}

export async function querySql(
  session: Session,
  statement: string,
  flags: SqlFlags,
): Promise<void> {
  const format = sqlFormat(session, flags)
  const remote = Remote.of(session, flags)
  if (flags.explain === true) {
    await explain(session, await explained(session, remote, statement, flags), format)
    return
  }
  if (remote !== null) {
    const request = sqlRequest(statement, flags)
    if (format === 'json')
      await session.terminal.write(`${JSON.stringify(await remote.json('/v1/sql', request))}\n`)
    else await writeRemoteRecords(session, remote, '/v1/sql', request, format)
    return
  }
  await withReaderAsOf(session, flags, async (reading) => {
    const result = await runQuery(session, reading, statement, flags)
    if (format === 'json')
      await session.terminal.write(`${JSON.stringify(await result.toJson())}\n`)
    else await writeRows(session, result, format)
  })
}

async function runQuery(
  session: Session,
  reading: Reading,
  statement: string,
  { param = [], timeout, asOf, maxRows, maxBytes }: SqlFlags,
): Promise<QueryResult> {
  return await reading.query(statement, param.map(parameterValue), {
    signal: session.signal,
    ...(timeout === undefined ? {} : { timeout: parseDuration(timeout, '--timeout') }),
    ...(asOf === undefined ? {} : { asOf }),
    ...(maxRows === undefined ? {} : { maxRows }),
    ...(maxBytes === undefined ? {} : { maxBytes }),
  })
}

/** Runs the statement for what it takes; its rows stay where it ran. */
async function explained(
  session: Session,
  remote: Remote | null,
  statement: string,
  flags: SqlFlags,
): Promise<QueryJson> {
  const analysis = `EXPLAIN ANALYZE ${statement}`
  if (remote !== null) return await remote.json<QueryJson>('/v1/sql', sqlRequest(analysis, flags))
  return await withReaderAsOf(session, flags, async (reading) => {
    const result = await runQuery(session, reading, analysis, flags)
    return await result.toJson()
  })
}

/** A server takes numbers as JSON has them; a bigint goes as text, which DuckDB casts. */
function sqlRequest(
  sql: string,
  { param = [], timeout, maxRows, maxBytes, asOf }: SqlFlags,
): { readonly method: 'POST'; readonly body: object } {
  const parameters = param
    .map(parameterValue)
    .map((value) => (typeof value === 'bigint' ? String(value) : value))
  return { method: 'POST', body: { sql, parameters, timeout, maxRows, maxBytes, asOf } }
}

function sqlFormat(session: Session, flags: SqlFlags): OutputFormat | 'json' {
  const { explain: isExplain, format } = flags
  if (isExplain === true && format !== undefined && format !== 'table' && format !== 'json') {
    throw new StratalogError(
      'argument_invalid',
      `--explain has no rows of the answer: leave --format ${format} out, or take table or json.`,
    )
  }
  if (!session.json) return flags.format ?? 'table'
  if (flags.format === undefined || flags.format === 'json') return 'json'
  throw new StratalogError(
    'argument_invalid',
    `--json is --format json; leave --format ${flags.format} or --json out.`,
  )
}

async function writeRows(
  session: Session,
  result: QueryResult,
  format: OutputFormat,
): Promise<void> {
  const output = await openRecordOutput(format, session)
  const sqlTypes = result.columns.map((column) => column.type)
  for await (const { schema, columns, length } of result.batches()) {
    await output.write({ fields: schema.fields, sqlTypes, columns, length })
    if (session.terminal.outputClosed) return
  }
  await output.end(result.columns.map(({ name }) => ({ name, type: 'utf8', nullable: true })))
  if (format === 'table')
    note(session, session.terminal.style('dim', statsText(await result.stats)))
}

/** What a query read, in a line: `12 ms; 1,000 records (memory 1,000); …`. */
export function statsText(stats: QueryStats): string {
  const tiers = (['memory', 'disk', 'object'] as const)
    .filter((tier) => stats.recordsByTier[tier] > 0)
    .map(
      (tier) =>
        `${tier} ${formatCount(stats.recordsByTier[tier])} records (${formatBytes(stats.bytesByTier[tier])})`,
    )
  const { scanned, pruned } = stats.segments
  return [
    formatDuration(stats.elapsedMs),
    tiers.length === 0 ? 'nothing read' : `read from ${tiers.join(', ')}`,
    `segments: ${scanned} scanned, ${pruned} pruned`,
    ...(stats.requests > 0 ? [`${stats.requests} requests`] : []),
  ].join('; ')
}

/** A parameter as its text says: a whole number, a number, true, false or null; anything else is text. */
export function parameterValue(text: string): QueryParameter {
  if (text === 'null') return null
  if (text === 'true' || text === 'false') return text === 'true'
  if (/^-?\d+$/.test(text)) {
    const number = Number(text)
    return Number.isSafeInteger(number) ? number : BigInt(text)
  }
  return /^-?\d+\.\d+(e[+-]?\d+)?$/i.test(text) ? Number(text) : text
}
