/**
 * Records as the body of an answer: NDJSON, a JSON array, CSV or an Arrow stream, written as they come. Nothing is sent
 * before the first records are there, so that what fails before them is answered with a status of its own.
 */
import type { ColumnData } from '../../format/column.ts'
import type { Field } from '../../format/schema.ts'
import { type RecordChunk, toNdjson } from '../../query/ndjson.ts'
import { csvHeader, toCsv } from '../../query/text-records.ts'
import type { Exchange } from '../exchange.ts'
import { RequestProblem } from '../http-error.ts'

export const FORMATS = ['json', 'ndjson', 'csv', 'arrow'] as const

export type Format = (typeof FORMATS)[number]

export const MEDIA_TYPES: Readonly<Record<Format, string>> = {
  json: 'application/json',
  ndjson: 'application/x-ndjson',
  csv: 'text/csv',
  arrow: 'application/vnd.apache.arrow.stream',
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

export interface Chunk {
  readonly fields: readonly Field[]
  readonly sqlTypes?: readonly string[]
  readonly columns: readonly ColumnData[]
  readonly length: number
}

/** Resolves once all is sent, or the client is gone. `isLive`: the answer begins before there is anything to send. */
export async function sendRecords(
  exchange: Exchange,
  format: Format,
  chunks: AsyncIterable<Chunk>,
  fieldsOfNone: readonly Field[],
  isLive = false,
): Promise<void> {
  const writer = await WRITERS[format]()
  let isBegun = false
  const begin = (fields: readonly Field[]): string | Uint8Array => {
    isBegun = true
    exchange.begin(200, {
      'content-type': MEDIA_TYPES[format],
      'cache-control': 'no-store',
    })
    return writer.begin(fields)
  }
  if (isLive) {
    begin(fieldsOfNone)
    exchange.response.flushHeaders()
  }
  for await (const chunk of chunks) {
    const isThere = isBegun || (await exchange.write(begin(chunk.fields)))
    if (!isThere || !(await exchange.write(writer.chunk(chunk)))) return
  }
  if (!isBegun) await exchange.write(begin(fieldsOfNone))
  exchange.response.end(writer.end())
}

interface ChunkWriter {
  readonly begin: (fields: readonly Field[]) => string | Uint8Array
  readonly chunk: (chunk: Chunk) => string | Uint8Array
  readonly end: () => string | Uint8Array
}

/** What only Arrow needs is loaded with its first answer. */
const WRITERS: Readonly<Record<Format, () => ChunkWriter | Promise<ChunkWriter>>> = {
  ndjson: () => ({ begin: () => '', chunk: (chunk) => toNdjson(named(chunk)), end: () => '' }),
  csv: () => ({
    begin: (fields) => csvHeader(fields.map(({ name }) => name)),
    chunk: (chunk) => toCsv(named(chunk)),
    end: () => '',
  }),
  arrow: async () => {
    const arrow = await import('../../format/arrow-output.ts')
    return {
      begin: arrow.encodeStreamSchema,
      chunk: arrow.encodeStreamBatch,
      end: () => arrow.ARROW_STREAM_END,
    }
  },
  json: () => {
    let isFirst = true
    return {
      begin: () => '[',
      chunk: (chunk) => {
        const lines = toNdjson(named(chunk)).trimEnd().replaceAll('\n', ',')
        const text = chunk.length === 0 ? '' : `${isFirst ? '' : ','}${lines}`
        isFirst &&= chunk.length === 0
        return text
      },
      end: () => ']',
    }
  },
}

/** A batch of a log has its columns by getters, which a spread leaves out. */
function named({ fields, columns, length, sqlTypes }: Chunk): RecordChunk {
  const names = fields.map(({ name }) => name)
  return { names, columns, length, ...(sqlTypes === undefined ? {} : { sqlTypes }) }
}
