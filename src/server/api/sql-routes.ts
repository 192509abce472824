/** SQL over HTTP: one statement, its rows as they come; a client that goes away ends its query. */
import type { Clock } from '../../base/clock.ts'
import type { PrepareOptions, QueryOptions } from '../../engine/query-options.ts'
import type { Stratalog } from '../../engine/stratalog.ts'
import { fromWire } from '../../base/wire-value.ts'
import { VALUE_BYTES_MAX } from '../../format/limits.ts'
import type { QueryParameters } from '../../base/query-parameters.ts'
import type { QueryResult } from '../../query/query-result.ts'
import type { FieldChunk } from '../../query/record-format.ts'
import type { Exchange } from '../exchange.ts'
import { RequestProblem } from '../http-error.ts'
import type { Route } from '../router.ts'
import { assertKnownKeys, assertKnownParameters, given } from './parameters.ts'
import { formatOf, sendRecords } from './record-answer.ts'
import { sendResultLines } from './record-lines.ts'
import { streamSql } from './sql-stream.ts'

/** Rows of an answer as one JSON document; the other formats come as they are made, without a limit of this kind. */
const JSON_ROWS_MAX = 100_000

/** And their bytes in Arrow's layout: the document is one text, and V8 holds none of more than 512 MiB. */
const JSON_BYTES_MAX = 128 * 1024 ** 2

export function sqlRoutes(db: Stratalog, clock: Clock): readonly Route[] {
  const running = { count: 0 }
  return [
    {
      method: 'POST',
      path: '/v1/sql',
      scope: 'sql',
      summary: 'Run one SELECT over all logs and tiers.',
      run: (exchange) => runQuery(exchange, db),
    },
    {
      method: 'POST',
      path: '/v1/sql/prepare',
      scope: 'sql',
      summary: 'Check a SELECT and its tables without running it.',
      run: (exchange) => prepareQuery(exchange, db),
    },
    {
      method: 'POST',
      path: '/v1/sql/stream',
      scope: 'sql',
      summary: 'Rows of a continuous query as its windows close, as NDJSON, and where to go on.',
      run: (exchange) => streamSql(exchange, db, clock, running),
    },
  ]
}

async function runQuery(exchange: Exchange, db: Stratalog): Promise<void> {
  assertKnownParameters(exchange.query, ['format'])
  const format = formatOf(exchange, 'json')
  const body = await exchange.jsonBody(VALUE_BYTES_MAX)
  assertKnownKeys(body, ['sql', 'parameters', 'timeout', 'maxRows', 'maxBytes', 'asOf'])
  const { sql, parameters = [], timeout, maxRows, maxBytes, asOf } = body
  if (typeof sql !== 'string') throw new RequestProblem('request_invalid', 'sql is text.')
  if (typeof parameters !== 'object' || parameters === null)
    throw new RequestProblem('request_invalid', 'parameters is an array, or an object by name.')
  const rowsMax = maxRows ?? (format === 'json' ? JSON_ROWS_MAX : undefined)
  const bytesMax = maxBytes ?? (format === 'json' ? JSON_BYTES_MAX : undefined)
  const options = given({
    timeout,
    maxRows: rowsMax,
    maxBytes: bytesMax,
    asOf,
    signal: exchange.gone,
  }) as QueryOptions
  // The client of this package tags what JSON has no word for.
  const values = format === 'rows' ? fromWire(parameters) : parameters
  await using result = await db.query(sql, values as QueryParameters, options)
  if (format === 'json') exchange.sendJson(200, await result.toJson())
  else if (format === 'rows') await sendResultLines(exchange, result)
  else await sendRecords(exchange, format, chunksOf(result), result.schema.fields)
}

async function prepareQuery(exchange: Exchange, db: Stratalog): Promise<void> {
  assertKnownParameters(exchange.query, [])
  const body = await exchange.jsonBody(VALUE_BYTES_MAX)
  assertKnownKeys(body, ['sql', 'timeout'])
  const { sql, timeout } = body
  if (typeof sql !== 'string') throw new RequestProblem('request_invalid', 'sql is text.')
  const options = given({ timeout, signal: exchange.gone }) as PrepareOptions
  const { parameters, columns } = await db.prepare(sql, options)
  exchange.sendJson(200, { parameters, columns })
}

async function* chunksOf(result: QueryResult): AsyncGenerator<FieldChunk, void, undefined> {
  const sqlTypes = result.columns.map(({ type }) => type)
  for await (const { schema, columns, length } of result.batches())
    yield { fields: schema.fields, sqlTypes, columns, length }
}
