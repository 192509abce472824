/**
 * Records as the body of an answer: NDJSON, a JSON array, CSV or an Arrow stream, written as they come. Nothing is sent
 * before the first records are there, so that what fails before them is answered with a status of its own.
 */
import type { Field } from '../../format/schema.ts'
import { openRecordEncoder } from '../../query/record-encoder.ts'
import type { Encoded, FieldChunk } from '../../query/record-format.ts'
import type { Exchange } from '../exchange.ts'
import { RequestProblem } from '../http-error.ts'

/** `rows` is for the client of this package: see record-lines.ts. */
export const FORMATS = ['json', 'ndjson', 'csv', 'arrow', 'rows'] as const

export type Format = (typeof FORMATS)[number]

export const MEDIA_TYPES: Readonly<Record<Format, string>> = {
  json: 'application/json',
  ndjson: 'application/x-ndjson',
  csv: 'text/csv',
  arrow: 'application/vnd.apache.arrow.stream',
  rows: 'application/vnd.stratalog.rows+ndjson',
}

/** By the parameter `format`, else by `Accept`, else `fallback`. @throws RequestProblem `request_invalid`. */
export function formatOf(exchange: Exchange, fallback: Format): Format {
  const named = exchange.query.get('format')
  if (named !== null) {
    const found = FORMATS.find((format) => format === named)
    if (found !== undefined) return found
    throw new RequestProblem('request_invalid', `format is one of ${FORMATS.join(', ')}.`)
  }
  const accepted = (exchange.header('accept') ?? '').split(',')
  for (const part of accepted) {
    const type = (part.split(';')[0] ?? '').trim().toLowerCase()
    const found = FORMATS.find((format) => MEDIA_TYPES[format] === type)
    if (found !== undefined) return found
  }
  return fallback
}

/** Resolves once all is sent, or the client is gone. `isLive`: the answer begins before there is anything to send. */
export async function sendRecords(
  exchange: Exchange,
  format: Exclude<Format, 'rows'>,
  chunks: AsyncIterable<FieldChunk>,
  fieldsOfNone: readonly Field[],
  isLive = false,
): Promise<void> {
  const encoder = await openRecordEncoder(format)
  let isBegun = false
  const begin = (fields: readonly Field[]): Encoded => {
    isBegun = true
    exchange.begin(200, {
      'content-type': MEDIA_TYPES[format],
      'cache-control': 'no-store',
    })
    return encoder.begin(fields)
  }
  if (isLive) {
    const start = begin(fieldsOfNone)
    exchange.response.flushHeaders()
    if (start.length > 0 && !(await exchange.write(start))) return
  }
  for await (const chunk of chunks) {
    const isThere = isBegun || (await exchange.write(begin(chunk.fields)))
    if (!isThere || !(await exchange.write(await encoder.chunk(chunk)))) return
  }
  if (!isBegun) await exchange.write(begin(fieldsOfNone))
  exchange.response.end(await encoder.end())
}
