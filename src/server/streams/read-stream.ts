/** Reads of a stream: what is there, what comes next (long poll), and what comes from now on (event stream). */
import type { AnswerHeaders, Exchange } from '../exchange.ts'
import { RequestProblem } from '../http-error.ts'
import { LONG_POLL_MS } from '../limits.ts'
import { type LivePorts, sendEvents } from './live-stream.ts'
import { nextCursor } from './stream-cursor.ts'
import { CLOSED, CURSOR, NEXT_OFFSET, UP_TO_DATE } from './stream-headers.ts'
import { offsetToken, parseOffsetToken } from './stream-offset.ts'
import { type Chunk, readChunk } from './stream-records.ts'
import { type Stream, isEnd } from './stream.ts'
import { waitForMore } from './wait-for-more.ts'

/** What may be kept for a minute: an answer that has more behind it never changes. */
const WHOLE_CHUNK = 'private, max-age=60, stale-while-revalidate=300'

export async function readStream(
  exchange: Exchange,
  stream: Stream,
  ports: LivePorts,
): Promise<void> {
  const { given, live } = askedOf(exchange)
  ports.touch(stream)
  await stream.gate.alone
  const from = startOf(stream, given)
  if (live === 'sse') return sendEvents(exchange, stream, from, ports)
  if (live === 'long-poll') return sendNext(exchange, stream, from, ports)
  if (given === 'now') return sendTail(exchange, stream)
  const chunk = await readChunk(stream, from, exchange.gone)
  return sendChunk(exchange, stream, chunk, {
    'cache-control': chunk.isUpToDate ? 'no-cache' : WHOLE_CHUNK,
  })
}

interface Asked {
  readonly given: string | null
  readonly live: 'long-poll' | 'sse' | null
}

function askedOf({ query }: Exchange): Asked {
  const given = query.get('offset')
  const live = query.get('live')
  if (query.getAll('offset').length > 1)
    throw new RequestProblem('request_invalid', 'There is more than one offset.')
  if (live !== null && live !== 'long-poll' && live !== 'sse')
    throw new RequestProblem('request_invalid', 'live is long-poll or sse.')
  if (live !== null && given === null)
    throw new RequestProblem('request_invalid', 'A live read needs an offset.')
  return { given, live }
}

function startOf(stream: Stream, given: string | null): number {
  if (given === null || given === '-1') return stream.start
  if (given === 'now') return stream.tail
  const offset = parseOffsetToken(given)
  if (offset <= stream.tail) return offset
  throw new RequestProblem('request_invalid', 'The offset lies beyond the end of the stream.')
}

async function sendNext(
  exchange: Exchange,
  stream: Stream,
  from: number,
  ports: LivePorts,
): Promise<void> {
  const { clock, random, touch } = ports
  if (from >= stream.tail && !stream.isClosed)
    await waitForMore([exchange.gone, exchange.stopping], stream, from, clock, LONG_POLL_MS)
  touch(stream)
  if (stream.isDeleted) throw new RequestProblem('stream_gone', 'The stream was deleted.')
  const cursor = { [CURSOR]: nextCursor(exchange.query.get('cursor'), clock, random) }
  const chunk = await readChunk(stream, from, exchange.gone)
  if (chunk.messages.length > 0)
    return sendChunk(exchange, stream, chunk, { ...cursor, 'cache-control': WHOLE_CHUNK })
  const isClosed = isEnd(stream, chunk.next)
  exchange.send(204, {
    ...placeHeaders(chunk, isClosed),
    ...(isClosed ? {} : cursor),
    'cache-control': 'no-store',
  })
  return undefined
}

function sendTail(exchange: Exchange, stream: Stream): void {
  const chunk = { messages: [], next: stream.tail, isUpToDate: true }
  exchange.send(
    200,
    {
      ...placeHeaders(chunk, stream.isClosed),
      'content-type': stream.identity.contentType,
      'cache-control': 'no-store',
    },
    bodyOf(stream, chunk),
  )
}

function sendChunk(exchange: Exchange, stream: Stream, chunk: Chunk, headers: AnswerHeaders): void {
  const isClosed = isEnd(stream, chunk.next)
  const start = exchange.query.get('offset') ?? '-1'
  const etag = `"${stream.identity.id}:${start}:${chunk.next}${isClosed ? ':c' : ''}"`
  const all = { ...placeHeaders(chunk, isClosed), ...headers, etag }
  if (isKnown(exchange.header('if-none-match'), etag)) {
    exchange.send(304, all)
    return
  }
  const contentType = stream.identity.contentType
  exchange.send(200, { ...all, 'content-type': contentType }, bodyOf(stream, chunk))
}

function isKnown(given: string | undefined, etag: string): boolean {
  if (given === undefined) return false
  return given.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag)
}

function placeHeaders({ next, isUpToDate }: Chunk, isClosed: boolean): AnswerHeaders {
  return {
    [NEXT_OFFSET]: offsetToken(next),
    ...(isUpToDate ? { [UP_TO_DATE]: 'true' } : {}),
    ...(isClosed ? { [CLOSED]: 'true' } : {}),
  }
}

function bodyOf(stream: Stream, { messages }: Chunk): string | Buffer {
  return stream.isJson ? `[${messages.join(',')}]` : Buffer.concat(messages)
}
