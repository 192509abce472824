/**
 * Appends to a stream, with the order and the refusals of the protocol: closed, then content type, then producer, then
 * `Stream-Seq`, then the body.
 */
import { RequestProblem } from '../http-error.ts'
import { CLOSED, NEXT_OFFSET } from './stream-headers.ts'
import { offsetToken } from './stream-offset.ts'
import { streamConflict, streamGone } from './stream-problems.ts'
import { appendMessages, appendUnknown, messagesOf, newestSeq } from './stream-records.ts'
import type { StreamRegistry } from './stream-registry.ts'
import { type ProducerStamp, type Stream, mediaType } from './stream.ts'

export interface AppendRequest {
  readonly contentType: string | null
  readonly body: Buffer
  readonly seq: string | null
  readonly producer: ProducerStamp | null
  /** The stream ends with this. */
  readonly close: boolean
}

export interface AppendAnswer {
  readonly offset: number
  readonly isClosed: boolean
  readonly isDuplicate: boolean
  /** The newest sequence of the producer. */
  readonly sequence: number | null
}

/** @throws RequestProblem and StratalogError for what is refused; nothing of it was applied then. */
export function appendToStream(
  registry: StreamRegistry,
  stream: Stream,
  request: AppendRequest,
): Promise<AppendAnswer> {
  assertBody(request)
  const append = (): Promise<AppendAnswer> => applyAppend(registry, stream, request)
  const dependsOnOthers = request.close || request.seq !== null
  return dependsOnOthers ? stream.gate.exclusive(append) : stream.gate.shared(append)
}

function assertBody({ body, close, contentType }: AppendRequest): void {
  if (body.length === 0 && !close)
    throw new RequestProblem('request_invalid', 'The body is empty, and nothing is closed by it.')
  if (body.length > 0 && contentType === null)
    throw new RequestProblem('request_invalid', 'Content-Type is missing.')
}

async function applyAppend(
  registry: StreamRegistry,
  stream: Stream,
  request: AppendRequest,
): Promise<AppendAnswer> {
  const { body, producer, close, seq } = request
  // Known before anything is looked at: from there to the append nothing may come between.
  if (seq !== null && stream.lastSeq === undefined) stream.lastSeq = await newestSeq(stream.log)
  if (stream.isDeleted) throw streamGone()
  if (stream.isClosed) return answerClosed(stream, request)
  if (body.length > 0) assertContentType(stream, request)
  const sequence = producer === null ? null : newestOf(stream, producer)
  if (producer !== null && sequence !== null && producer.sequence <= sequence)
    return answerDuplicate(registry, stream, producer, close)
  assertSeq(stream, seq)
  const offset = body.length > 0 ? await appendBody(stream, request) : stream.tail
  if (close) await registry.close(stream, producer)
  return {
    offset,
    isClosed: close,
    isDuplicate: false,
    sequence: producer === null ? null : producer.sequence,
  }
}

/** Resolves with the stream's offset after the append. */
async function appendBody(stream: Stream, { body, seq, producer }: AppendRequest): Promise<number> {
  const messages = messagesOf(body, stream.isJson)
  if (messages.length === 0)
    throw new RequestProblem('request_invalid', 'An empty array appends nothing.')
  const extras = {
    ...(seq === null ? {} : { seq }),
    ...(producer === null ? {} : { producer }),
  }
  try {
    const { offset, count } = await appendMessages(stream.log, stream.isJson, messages, extras)
    if (seq !== null) stream.lastSeq = seq
    return stream.identity.base + offset + count
  } catch (error) {
    // Whether it was applied may not be known: the log knows.
    stream.lastSeq = undefined
    throw error
  }
}

/** The stream ended before: to end it again is no failure, and the append that ended it may come again. */
function answerClosed(stream: Stream, { body, producer, close }: AppendRequest): AppendAnswer {
  const { closedBy, tail } = stream
  const isRepeated =
    producer !== null &&
    closedBy !== null &&
    producer.producerId === closedBy.producerId &&
    producer.epoch === closedBy.epoch &&
    producer.sequence === closedBy.sequence
  const isCloseOnly = producer === null && close && body.length === 0
  if (isRepeated || isCloseOnly) {
    return {
      offset: tail,
      isClosed: true,
      isDuplicate: true,
      sequence: producer?.sequence ?? null,
    }
  }
  throw streamConflict('The stream is closed.', {
    [CLOSED]: 'true',
    [NEXT_OFFSET]: offsetToken(tail),
  })
}

/**
 * It was applied before: answered once that is as durable as it was to be. What is under way is asked for in the
 * stretch that began this append, so it does not wait for itself.
 */
async function answerDuplicate(
  registry: StreamRegistry,
  stream: Stream,
  producer: ProducerStamp,
  close: boolean,
): Promise<AppendAnswer> {
  await stream.gate.settled()
  const newest = stream.log.producer(producer.producerId)
  if (newest === null || newest.sequence < producer.sequence) throw appendUnknown()
  // A crash may have come between the last append and the end.
  if (close) await registry.close(stream, producer)
  return { offset: stream.tail, isClosed: close, isDuplicate: true, sequence: newest.sequence }
}

function assertContentType(stream: Stream, { contentType }: AppendRequest): void {
  const { contentType: expected } = stream.identity
  if (mediaType(contentType ?? '') === mediaType(expected)) return
  throw streamConflict(`The stream's content type is ${expected}.`)
}

/**
 * The newest sequence of the producer in its epoch, null for a first append.
 * @throws RequestProblem `producer_stale`, `stream_conflict` for a gap, `request_invalid`.
 */
function newestOf(stream: Stream, { producerId, epoch, sequence }: ProducerStamp): number | null {
  const known = stream.log.producer(producerId)
  if (known !== null && epoch < known.epoch) {
    throw new RequestProblem('producer_stale', `The producer goes on in epoch ${known.epoch}.`, {
      'producer-epoch': String(known.epoch),
    })
  }
  if (known !== null && epoch > known.epoch && sequence !== 0)
    throw new RequestProblem('request_invalid', 'A new epoch begins with sequence 0.')
  const isGoingOn = known !== null && epoch === known.epoch
  const expected = isGoingOn ? known.sequence + 1 : 0
  if (sequence > expected) {
    throw streamConflict(`Sequence ${expected} of the producer comes next.`, {
      'producer-expected-seq': String(expected),
      'producer-received-seq': String(sequence),
    })
  }
  return isGoingOn ? known.sequence : null
}

function assertSeq(stream: Stream, seq: string | null): void {
  const { lastSeq } = stream
  if (seq === null || lastSeq === null || lastSeq === undefined) return
  if (Buffer.compare(Buffer.from(seq), Buffer.from(lastSeq)) > 0) return
  throw streamConflict('Stream-Seq is not above the one before.')
}
