/** Logs over HTTP: which there are, making and changing them, appending to them and reading them. */
import type { AppendOptions } from '../../engine/append-options.ts'
import type { AlterLogOptions } from '../../engine/alter-log.ts'
import type { BatchStream } from '../../engine/batch-stream.ts'
import type { LineParser } from '../../engine/line-parser.ts'
import type { Log } from '../../engine/log.ts'
import { readFields } from '../../engine/read-fields.ts'
import type { ReadOptions } from '../../engine/read-options.ts'
import type { Stratalog } from '../../engine/stratalog.ts'
import { VALUE_BYTES_MAX } from '../../format/limits.ts'
import type { AckLevel } from '../../format/manifest.ts'
import type { AppendResult } from '../../log/live-log.ts'
import type { Exchange } from '../exchange.ts'
import { RequestProblem } from '../http-error.ts'
import { allows } from '../rights.ts'
import type { Route } from '../router.ts'
import { contentTypeOf, producerOf } from '../streams/stream-headers.ts'
import { OWN_LOGS_PREFIX } from '../streams/stream-names.ts'
import { mediaType } from '../streams/stream.ts'
import { type ParsedBody, parseAppend } from './append-input.ts'
import {
  assertKnownKeys,
  assertKnownParameters,
  flagParameter,
  given,
  listParameter,
  pageParameter,
  timeParameter,
  wholeParameter,
} from './parameters.ts'
import { formatOf, sendRecords } from './record-answer.ts'
import { GapLines, fromWireText, sendRecordLines, sendRow } from './record-lines.ts'

const PAGE_MAX = 1_000

/** @param lines parses bodies of many lines. */
export function logRoutes(db: Stratalog, lines: LineParser): readonly Route[] {
  const logOf = (exchange: Exchange): string => exchange.parameters['log'] ?? ''
  const one = { logOf }
  return [
    {
      method: 'GET',
      path: '/v1/logs',
      scope: 'read',
      asksItself: true,
      summary: 'All logs, by name; the next page is after the last name of this one.',
      run: (exchange) => listLogs(exchange, db),
    },
    {
      method: 'POST',
      path: '/v1/logs',
      scope: 'admin',
      asksItself: true,
      summary: 'Create a log.',
      run: (exchange) => createLog(exchange, db),
    },
    {
      ...one,
      method: 'GET',
      path: '/v1/logs/{log}',
      scope: 'read',
      summary: 'What a log is, and which offsets can be read.',
      run: (exchange) => exchange.sendJson(200, described(db.log(logOf(exchange)))),
    },
    {
      ...one,
      method: 'PATCH',
      path: '/v1/logs/{log}',
      scope: 'admin',
      summary: 'Change the policy of a log; null brings a key back to its default.',
      run: async (exchange) => {
        const body = await exchange.jsonBody(VALUE_BYTES_MAX)
        const log = await db.alterLog(logOf(exchange), body as unknown as AlterLogOptions)
        exchange.sendJson(200, described(log))
      },
    },
    {
      ...one,
      method: 'DELETE',
      path: '/v1/logs/{log}',
      scope: 'admin',
      summary: 'Delete a log with all its records; forks and snapshots of it stay.',
      run: async (exchange) => {
        assertNotOwn(logOf(exchange))
        await db.deleteLog(logOf(exchange))
        exchange.send(204)
      },
    },
    {
      ...one,
      method: 'POST',
      path: '/v1/logs/{log}/fork',
      scope: 'admin',
      summary:
        'Make a log that shares the data of this one up to an offset, a moment or a snapshot.',
      run: (exchange) => forkLog(exchange, db),
    },
    {
      ...one,
      method: 'GET',
      path: '/v1/logs/{log}/placement',
      scope: 'append',
      summary: 'What decides the partition of an append: how many there are, and the key.',
      run: (exchange) => {
        const { partitions, keyColumn } = db.log(logOf(exchange)).describe()
        exchange.sendJson(200, { partitions, keyColumn })
      },
    },
    {
      ...one,
      method: 'POST',
      path: '/v1/logs/{log}/records',
      scope: 'append',
      summary: 'Append records: JSON, NDJSON or Arrow IPC; all of them or none.',
      run: (exchange) => appendRecords(exchange, db.log(logOf(exchange)), lines),
    },
    {
      ...one,
      method: 'GET',
      path: '/v1/logs/{log}/records',
      scope: 'read',
      summary:
        'Read records by offset or time, and go on with what comes; or the newest of each key.',
      run: (exchange) => readRecords(exchange, db.log(logOf(exchange))),
    },
  ]
}

function described(log: Log): object {
  const description = log.describe()
  const ranges = Array.from({ length: description.partitions }, (_, partition) => {
    const { start, end } = log.range({ partition })
    return { partition, startOffset: start, endOffset: end }
  })
  return { ...description, ranges }
}

/** Those that the token is for. */
function listLogs(exchange: Exchange, db: Stratalog): void {
  const { query, rights } = exchange
  assertKnownParameters(query, ['limit', 'after'])
  const limit = pageParameter(query, PAGE_MAX)
  const after = query.get('after') ?? ''
  const names = db
    .logs()
    .map(({ name }) => name)
    .filter((name) => name > after && allows(rights, 'read', name))
    .sort()
  const page = names.slice(0, limit)
  exchange.sendJson(200, {
    logs: page.map((name) => described(db.log(name))),
    next: names.length > page.length ? (page.at(-1) ?? null) : null,
  })
}

async function createLog(exchange: Exchange, db: Stratalog): Promise<void> {
  const { name, ...options } = await exchange.jsonBody(VALUE_BYTES_MAX)
  if (typeof name !== 'string') throw new RequestProblem('request_invalid', 'name is text.')
  exchange.assertAllowed('admin', name)
  assertNotOwn(name)
  const log = await db.createLog(name, options)
  exchange.sendJson(201, described(log), { location: `/v1/logs/${log.name}` })
}

async function forkLog(exchange: Exchange, db: Stratalog): Promise<void> {
  const body = await exchange.jsonBody(VALUE_BYTES_MAX)
  assertKnownKeys(body, ['as', 'atOffset', 'at', 'snapshot'])
  const { as, ...options } = body
  if (typeof as !== 'string') throw new RequestProblem('request_invalid', 'as is text.')
  exchange.assertAllowed('admin', as)
  assertNotOwn(as)
  const fork = await db.fork(exchange.parameters['log'] ?? '', as, options)
  exchange.sendJson(201, described(fork), { location: `/v1/logs/${fork.name}` })
}

/** @throws RequestProblem `request_invalid`. */
function assertNotOwn(name: string): void {
  if (name.toLowerCase().startsWith(OWN_LOGS_PREFIX))
    throw new RequestProblem('request_invalid', `Names with ${OWN_LOGS_PREFIX} are the server's.`)
}

const ACK_LEVELS: readonly AckLevel[] = ['memory', 'disk', 'object']

async function appendRecords(exchange: Exchange, log: Log, lines: LineParser): Promise<void> {
  assertNotOwn(log.name)
  const options = appendOptions(exchange)
  const contentType = mediaType(contentTypeOf(exchange) ?? '')
  // An append has copied what it was given by the time that it is acknowledged.
  const range = await exchange.withBody(VALUE_BYTES_MAX, (body) => {
    const hints = { fieldsOf: () => log.describe().schema, lines }
    const parsed = parseAppend(body, contentType, hints)
    return parsed instanceof Promise
      ? parsed.then((records) => appendParsed(log, records, options))
      : appendParsed(log, parsed, options)
  })
  exchange.sendJson(200, range)
}

function appendParsed(
  log: Log,
  { records, release }: ParsedBody,
  options: AppendOptions | undefined,
): Promise<AppendResult> {
  const appended = log.append(records, options)
  return release === undefined ? appended : appended.finally(release)
}

function appendOptions(exchange: Exchange): AppendOptions | undefined {
  const producer = producerOf(exchange) ?? undefined
  // Most appends ask for nothing, and those are the quickest.
  if (!exchange.hasQuery && producer === undefined) return undefined
  const { query } = exchange
  assertKnownParameters(query, ['partition', 'expectedOffset', 'ack', 'ttl', 'priority'])
  const ack = ACK_LEVELS.find((level) => level === query.get('ack'))
  if (ack === undefined && query.has('ack'))
    throw new RequestProblem('request_invalid', `ack is one of ${ACK_LEVELS.join(', ')}.`)
  return given({
    partition: wholeParameter(query, 'partition'),
    expectedOffset: wholeParameter(query, 'expectedOffset'),
    ack,
    ttl: query.get('ttl') ?? undefined,
    priority: query.has('priority') ? Number(query.get('priority')) : undefined,
    producer,
  })
}

const READ_PARAMETERS = [
  'partition',
  'from',
  'to',
  'since',
  'until',
  'limit',
  'last',
  'columns',
  'asOf',
  'live',
  'onGap',
  'latest',
  'format',
]

/** The newest record of each key. @throws RequestProblem `request_invalid`. */
function latestOf({ query, gone }: Exchange, log: Log): BatchStream {
  assertKnownParameters(query, ['latest', 'partition', 'limit', 'columns', 'asOf', 'format'])
  const partition = wholeParameter(query, 'partition')
  const limit = wholeParameter(query, 'limit')
  const columns = listParameter(query, 'columns')
  const asOf = timeParameter(query, 'asOf')
  return log.latest({ ...given({ partition, limit, columns, asOf }), signal: gone })
}

async function readRecords(exchange: Exchange, log: Log): Promise<void> {
  const { query } = exchange
  const format = formatOf(exchange, 'ndjson')
  if (format === 'rows' && (query.has('offset') || query.has('key'))) return readOne(exchange, log)
  assertKnownParameters(query, READ_PARAMETERS)
  const live = flagParameter(query, 'live')
  if (live && (format === 'json' || format === 'arrow'))
    throw new RequestProblem('request_invalid', 'A live read has no end; it is ndjson or csv.')
  const columns = listParameter(query, 'columns')
  const gaps = new GapLines()
  const options: ReadOptions = {
    ...given({
      onGap: gapOption(query, format === 'rows' ? gaps : null),
      partition: wholeParameter(query, 'partition'),
      from: wholeParameter(query, 'from'),
      to: wholeParameter(query, 'to'),
      since: timeParameter(query, 'since'),
      until: timeParameter(query, 'until'),
      limit: wholeParameter(query, 'limit'),
      last: wholeParameter(query, 'last'),
      columns,
      asOf: timeParameter(query, 'asOf'),
    }),
    live,
    signal: live ? AbortSignal.any([exchange.gone, exchange.stopping]) : exchange.gone,
  }
  const records = flagParameter(query, 'latest') ? latestOf(exchange, log) : log.read(options)
  const description = log.describe()
  const fieldsOfNone = readFields(description, columns)
  if (format !== 'rows') return sendRecords(exchange, format, records, fieldsOfNone, live)
  const { partitions } = description
  return sendRecordLines(exchange, records, gaps, { fieldsOfNone, partitions, isLive: live })
}

/** @throws RequestProblem `request_invalid`. */
function gapOption(query: URLSearchParams, gaps: GapLines | null): ReadOptions['onGap'] {
  const text = query.get('onGap')
  if (text === null) return undefined
  if (text === 'fail' || text === 'skip') return text
  if (text === 'tell' && gaps !== null) return gaps.tell
  throw new RequestProblem('request_invalid', 'onGap is fail or skip, or tell where rows are read.')
}

/** The record at an offset, or the newest of a key. @throws RequestProblem `request_invalid`. */
async function readOne(exchange: Exchange, log: Log): Promise<void> {
  const { query, gone } = exchange
  const columns = listParameter(query, 'columns')
  const key = query.get('key')
  if (key !== null) {
    assertKnownParameters(query, ['latest', 'key', 'columns', 'asOf', 'format'])
    const options = { ...given({ columns, asOf: timeParameter(query, 'asOf') }), signal: gone }
    sendRow(exchange, await log.getLatest(fromWireText(key, 'key'), options))
    return
  }
  assertKnownParameters(query, ['offset', 'partition', 'columns', 'format'])
  const options = given({ columns, partition: wholeParameter(query, 'partition') })
  sendRow(exchange, await log.get(wholeParameter(query, 'offset') ?? 0, options))
}
