/** Waiting for what comes: long polls and event streams. */
import type { Clock } from '../../base/clock.ts'
import type { Random } from '../../base/random.ts'
import type { Exchange } from '../exchange.ts'
import { SSE_KEEP_ALIVE_MS, SSE_LIFE_MS } from '../limits.ts'
import { laterCursor, nextCursor } from './stream-cursor.ts'
import { offsetToken } from './stream-offset.ts'
import { type Chunk, readChunk } from './stream-records.ts'
import { type Stream, mediaType } from './stream.ts'

export interface LivePorts {
  readonly clock: Clock
  readonly random: Random
  readonly touch: (stream: Stream) => void
}

/** Resolves when there is a record at `offset`, when the stream ends, when nobody waits any more, and in time. */
export async function waitForMore(
  exchange: Exchange,
  stream: Stream,
  offset: number,
  clock: Clock,
  timeoutMs: number,
): Promise<void> {
  const over = new AbortController()
  const end = (): void => over.abort()
  const signals = [exchange.gone, exchange.stopping, stream.ended]
  if (signals.some((signal) => signal.aborted)) return
  for (const signal of signals) signal.addEventListener('abort', end)
  const timer = clock.setTimer(timeoutMs, end)
  try {
    await stream.log.arrival(offset - stream.identity.base, over.signal)
  } finally {
    timer.cancel()
    for (const signal of signals) signal.removeEventListener('abort', end)
  }
  // An append that ends the stream is seen with its end.
  await stream.gate.alone
}

/** The stream ends at this offset, for good. */
export function isEnd(stream: Stream, offset: number): boolean {
  return stream.isClosed && offset >= stream.tail
}

/** Writes events until the stream ends, the client goes, the server stops, or the answer has lived its time. */
export async function sendEvents(
  exchange: Exchange,
  stream: Stream,
  from: number,
  { clock, random, touch }: LivePorts,
): Promise<void> {
  const isBinary = !isText(stream)
  exchange.response.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
    ...(isBinary ? { 'stream-sse-data-encoding': 'base64' } : {}),
  })
  exchange.response.flushHeaders()
  const endsAt = clock.monotonic() + SSE_LIFE_MS
  const first = nextCursor(exchange.query.get('cursor'), clock, random)
  for (let offset = from; ;) {
    await stream.gate.alone
    const { chunk, data } = await sharedRead(stream, offset, isBinary, clock)
    touch(stream)
    offset = chunk.next
    const isClosed = isEnd(stream, offset)
    const cursor = laterCursor(first, clock)
    const events = data + controlEvent(chunk, isClosed, cursor)
    if (!(await exchange.write(events)) || isClosed || stream.isDeleted) break
    if (chunk.isUpToDate) await waitForMore(exchange, stream, offset, clock, SSE_KEEP_ALIVE_MS)
    if (exchange.stopping.aborted || exchange.gone.aborted || clock.monotonic() >= endsAt) break
  }
  exchange.response.end()
}

interface SharedRead {
  readonly from: number
  readonly tail: number
  readonly result: Promise<{ readonly chunk: Chunk; readonly data: string }>
}

/** Readers that wait at the end of a stream want the same next records: read and written out once for all of them. */
const sharedReads = new WeakMap<Stream, SharedRead>()
const SHARED_MS = 1_000

function sharedRead(
  stream: Stream,
  from: number,
  isBinary: boolean,
  clock: Clock,
): SharedRead['result'] {
  const { tail } = stream
  const known = sharedReads.get(stream)
  if (known !== undefined && known.from === from && known.tail === tail) return known.result
  const result = readChunk(stream, from, NEVER).then((chunk) => ({
    chunk,
    data: dataEvent(stream, chunk, isBinary),
  }))
  const shared = { from, tail, result }
  sharedReads.set(stream, shared)
  clock.setTimer(SHARED_MS, () => {
    if (sharedReads.get(stream) === shared) sharedReads.delete(stream)
  })
  return result
}

/** One reader that goes must not end the read of the others. */
const NEVER = new AbortController().signal

function isText(stream: Stream): boolean {
  return stream.isJson || mediaType(stream.identity.contentType).startsWith('text/')
}

function dataEvent(stream: Stream, { messages }: Chunk, isBinary: boolean): string {
  if (messages.length === 0) return ''
  if (stream.isJson) return event('data', `[${messages.join(',')}]`)
  const bytes = Buffer.concat(messages)
  return event('data', isBinary ? bytes.toString('base64') : bytes.toString())
}

function controlEvent({ next, isUpToDate }: Chunk, isClosed: boolean, cursor: string): string {
  return event(
    'control',
    JSON.stringify({
      streamNextOffset: offsetToken(next),
      ...(isClosed ? { streamClosed: true } : { streamCursor: cursor }),
      ...(isUpToDate ? { upToDate: true } : {}),
    }),
  )
}

/** Every line of the payload is a field of its own: a line break in it must not begin another event. */
function event(name: string, payload: string): string {
  const lines = payload.split(/\r\n|\r|\n/).map((line) => `data:${line}`)
  return `event: ${name}\n${lines.join('\n')}\n\n`
}
