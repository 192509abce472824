/** What an event stream says: records as data events, and after each where the reader is. */
import type { Clock } from '../../base/clock.ts'
import { laterCursor } from './stream-cursor.ts'
import { offsetToken } from './stream-offset.ts'
import type { Chunk } from './stream-records.ts'
import { type Stream, isEnd, mediaType } from './stream.ts'

/** Whether the records of a stream are shown as base64. */
export function isBinary(stream: Stream): boolean {
  return !stream.isJson && !mediaType(stream.identity.contentType).startsWith('text/')
}

/** The events of what was read, for readers with cursors of their own. */
export class EventTexts {
  readonly #data: string
  readonly #control: (cursor: string) => string

  constructor(stream: Stream, chunk: Chunk, clock: Clock) {
    const isClosed = isEnd(stream, chunk.next)
    this.#data = dataEvent(stream, chunk)
    this.#control = (first) => controlEvent(chunk, isClosed, laterCursor(first, clock))
  }

  /** @param first the cursor that the reader's answer began with. */
  of(first: string): string {
    return this.#data + this.#control(first)
  }
}

function dataEvent(stream: Stream, { messages }: Chunk): string {
  if (messages.length === 0) return ''
  if (stream.isJson) return event('data', `[${messages.join(',')}]`)
  const bytes = Buffer.concat(messages)
  return event('data', isBinary(stream) ? bytes.toString('base64') : bytes.toString())
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
