/** Event streams: what is there, and what comes as long as the answer lives. */
import type { Clock } from '../../base/clock.ts'
import type { Random } from '../../base/random.ts'
import type { Exchange } from '../exchange.ts'
import { SSE_LIFE_MS } from '../limits.ts'
import { Audience, type Listener } from './audience.ts'
import { EventTexts, isBinary } from './event-text.ts'
import { nextCursor } from './stream-cursor.ts'
import { readChunk } from './stream-records.ts'
import { type Stream, isEnd } from './stream.ts'

export interface LivePorts {
  readonly clock: Clock
  readonly random: Random
  readonly touch: (stream: Stream) => void
}

/** Writes events until the stream ends, the client goes, the server stops, or the answer has lived its time. */
export async function sendEvents(
  exchange: Exchange,
  stream: Stream,
  from: number,
  { clock, random, touch }: LivePorts,
): Promise<void> {
  exchange.begin(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
    ...(isBinary(stream) ? { 'stream-sse-data-encoding': 'base64' } : {}),
  })
  exchange.response.flushHeaders()
  const listener: Listener = {
    exchange,
    cursor: nextCursor(exchange.query.get('cursor'), clock, random),
    endsAt: clock.monotonic() + SSE_LIFE_MS,
  }
  const audience = audienceOf(stream, clock, touch)
  const isOver = (): boolean =>
    exchange.stopping.aborted || exchange.gone.aborted || clock.monotonic() >= listener.endsAt
  for (let offset = from; ;) {
    await stream.gate.alone
    if (stream.isDeleted) break
    const chunk = await readChunk(stream, offset, exchange.gone)
    touch(stream)
    offset = chunk.next
    const events = new EventTexts(stream, chunk, clock).of(listener.cursor)
    if (!(await exchange.write(events)) || isEnd(stream, offset) || stream.isDeleted) break
    const left = chunk.isUpToDate ? await wait(audience, listener, stream, offset) : null
    if (left?.why === 'over' || isOver()) break
    if (left?.why === 'slow' && !(await exchange.drained())) break
    offset = left?.offset ?? offset
  }
  exchange.response.end()
}

/** Null when there is more to read than those who wait were given. */
async function wait(
  audience: Audience,
  listener: Listener,
  stream: Stream,
  offset: number,
): ReturnType<Audience['listen']> {
  await stream.gate.alone
  return stream.tail > offset || isEnd(stream, offset) ? null : audience.listen(listener, offset)
}

const audiences = new WeakMap<Stream, Audience>()

function audienceOf(stream: Stream, clock: Clock, touch: (stream: Stream) => void): Audience {
  const known = audiences.get(stream)
  if (known !== undefined) return known
  const made = new Audience(stream, clock, touch)
  audiences.set(stream, made)
  return made
}
