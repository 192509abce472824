/** The headers of the protocol, read strictly. */
import type { Exchange } from '../exchange.ts'
import { RequestProblem } from '../http-error.ts'
import { parseOffsetToken } from './stream-offset.ts'
import type { ProducerStamp, StreamConfig } from './stream.ts'

export const NEXT_OFFSET = 'stream-next-offset'
export const UP_TO_DATE = 'stream-up-to-date'
export const CLOSED = 'stream-closed'
export const CURSOR = 'stream-cursor'
export const TTL = 'stream-ttl'
export const EXPIRES_AT = 'stream-expires-at'

const DEFAULT_TYPE = 'application/octet-stream'
const TYPE_PATTERN = /^[\w.+-]+\/[\w.+*-]+/
const WHOLE = /^(?:0|[1-9]\d*)$/
const DIGITS = /^\d+$/

/** Of values other than `true` the protocol says that they count as none. */
export function asksToClose(exchange: Exchange): boolean {
  return exchange.header(CLOSED)?.trim().toLowerCase() === 'true'
}

/** The content type of a body that is to be of one; null where there is none. */
export function contentTypeOf(exchange: Exchange): string | null {
  const given = exchange.header('content-type')?.trim()
  return given === undefined || given === '' ? null : given
}

/** @throws RequestProblem `request_invalid`. */
export function configOf(exchange: Exchange): StreamConfig {
  const forkedFrom = exchange.header('stream-forked-from') ?? null
  const given = contentTypeOf(exchange)
  const contentType = given !== null && TYPE_PATTERN.test(given) ? given : null
  return {
    contentType: contentType ?? (forkedFrom === null ? DEFAULT_TYPE : null),
    ...expiryOf(exchange),
    forkedFrom: forkedFrom === null ? null : streamPathOf(forkedFrom),
    ...forkPlaceOf(exchange, forkedFrom !== null),
  }
}

function expiryOf(exchange: Exchange): Pick<StreamConfig, 'ttlSeconds' | 'expiresAt'> {
  const ttl = exchange.header(TTL)
  const expiresAt = exchange.header(EXPIRES_AT) ?? null
  if (ttl !== undefined && expiresAt !== null)
    throw new RequestProblem('request_invalid', 'Stream-TTL and Stream-Expires-At go one by one.')
  if (expiresAt !== null && !isTime(expiresAt))
    throw new RequestProblem('request_invalid', 'Stream-Expires-At is a time as of RFC 3339.')
  const ttlSeconds = ttl === undefined ? null : wholeNumber(ttl, 'Stream-TTL', WHOLE)
  return { ttlSeconds, expiresAt }
}

function isTime(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}[Tt ]/.test(text) && !Number.isNaN(Date.parse(text))
}

function forkPlaceOf(
  exchange: Exchange,
  isFork: boolean,
): Pick<StreamConfig, 'forkOffset' | 'forkSubOffset'> {
  const offset = exchange.header('stream-fork-offset')
  const subOffset = exchange.header('stream-fork-sub-offset')
  if (!isFork && subOffset !== undefined)
    throw new RequestProblem('request_invalid', 'Stream-Fork-Sub-Offset needs Stream-Forked-From.')
  const forkSubOffset =
    subOffset === undefined ? 0 : wholeNumber(subOffset, 'Stream-Fork-Sub-Offset', WHOLE)
  if (forkSubOffset > 0 && offset === undefined)
    throw new RequestProblem('request_invalid', 'Stream-Fork-Sub-Offset needs Stream-Fork-Offset.')
  const forkOffset = !isFork || offset === undefined ? null : parseOffsetToken(offset)
  return { forkOffset, forkSubOffset }
}

/** The stream that a path of this server names. @throws RequestProblem `request_invalid`. */
function streamPathOf(urlPath: string): string {
  const rest = /^\/v1\/stream\/(.+)$/.exec(urlPath)?.[1]
  if (rest === undefined)
    throw new RequestProblem('request_invalid', 'Stream-Forked-From is the path of a stream here.')
  try {
    return decodeURIComponent(rest)
  } catch {
    throw new RequestProblem('request_invalid', 'Stream-Forked-From does not decode.')
  }
}

/** All three producer headers, or null. @throws RequestProblem `request_invalid`. */
export function producerOf(exchange: Exchange): ProducerStamp | null {
  const producerId = exchange.header('producer-id')
  const epoch = exchange.header('producer-epoch')
  const sequence = exchange.header('producer-seq')
  if (producerId === undefined && epoch === undefined && sequence === undefined) return null
  if (producerId === undefined || epoch === undefined || sequence === undefined) {
    throw new RequestProblem(
      'request_invalid',
      'Producer-Id, Producer-Epoch and Producer-Seq come together.',
    )
  }
  if (producerId === '') throw new RequestProblem('request_invalid', 'Producer-Id is empty.')
  return {
    producerId,
    epoch: wholeNumber(epoch, 'Producer-Epoch', DIGITS),
    sequence: wholeNumber(sequence, 'Producer-Seq', DIGITS),
  }
}

function wholeNumber(text: string, name: string, pattern: RegExp): number {
  const value = pattern.test(text) ? Number(text) : Number.NaN
  if (Number.isSafeInteger(value)) return value
  throw new RequestProblem('request_invalid', `${name} is a whole number.`)
}
