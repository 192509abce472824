/**
 * Reads the body of an HTTP response whole, and believes nothing it did not count: a body that ends
 * early, runs over, or whose checksum differs is `object_corrupt`; one that stops or drips is given
 * up by a watchdog as `store_unavailable`, because no deadline of an HTTP client ends a body that
 * brings one byte a minute.
 */
import { createHash } from 'node:crypto'
import type { Clock, Timer } from '../base/clock.ts'
import { isStratalogError, StratalogError } from '../base/errors.ts'
import { objectCorrupt, storeUnavailable } from './store-errors.ts'

/** A response body: chunks, and a way to give it up. */
export interface Body extends AsyncIterable<Uint8Array> {
  destroy(error?: Error): unknown
}

export interface BodyExpectation {
  /** URL of the store and key, for messages. */
  readonly url: string
  readonly key: string
  readonly length: number
  /** Hex; null when nothing is known of it. */
  readonly sha256: string | null
}

export interface BodyLimits {
  /** The watchdog looks once in this many ms, … */
  readonly windowMs: number
  /** … and gives up a body that brought fewer bytes than this since it last looked. */
  readonly windowBytesMin: number
}

export async function readBody(
  body: Body,
  expected: BodyExpectation,
  options: {
    readonly clock: Clock
    readonly limits: BodyLimits
    readonly signal: AbortSignal | undefined
  },
): Promise<Uint8Array> {
  const bytes = new Uint8Array(expected.length)
  const hash = expected.sha256 === null ? null : createHash('sha256')
  const watchdog = startWatchdog(body, expected, options)
  let position = 0
  try {
    for await (const chunk of body) {
      if (position + chunk.length > bytes.length)
        throw wrongLength(expected, position + chunk.length, 'at least ')
      bytes.set(chunk, position)
      hash?.update(chunk)
      position += chunk.length
      watchdog.progress(chunk.length)
    }
  } catch (error) {
    throw watchdog.verdict() ?? bodyError(error, expected, position)
  } finally {
    watchdog.stop()
  }
  const verdict = watchdog.verdict()
  if (verdict !== null) throw verdict
  if (position !== bytes.length) throw wrongLength(expected, position, '')
  checkDigest(hash?.digest('hex') ?? null, expected)
  return bytes
}

interface Watchdog {
  progress(bytes: number): void
  /** Why the body was given up; null while it was not. */
  verdict(): StratalogError | null
  stop(): void
}

function startWatchdog(
  body: Body,
  expected: BodyExpectation,
  options: {
    readonly clock: Clock
    readonly limits: BodyLimits
    readonly signal: AbortSignal | undefined
  },
): Watchdog {
  const { clock, limits, signal } = options
  let verdict: StratalogError | null = null
  let windowBytes = 0
  let timer: Timer
  const giveUp = (error: StratalogError): void => {
    verdict ??= error
    body.destroy(error)
  }
  const look = (): void => {
    if (windowBytes < limits.windowBytesMin) {
      giveUp(
        storeUnavailable(
          expected.url,
          `${expected.key} came at ${windowBytes} bytes in ${limits.windowMs} ms`,
        ),
      )
      return
    }
    windowBytes = 0
    timer = clock.setTimer(limits.windowMs, look)
  }
  const onAbort = (): void =>
    giveUp(new StratalogError('aborted', 'The operation was aborted.', { cause: signal?.reason }))
  timer = clock.setTimer(limits.windowMs, look)
  if (signal?.aborted === true) onAbort()
  signal?.addEventListener('abort', onAbort, { once: true })
  return {
    progress(bytes) {
      windowBytes += bytes
    },
    verdict: () => verdict,
    stop() {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
    },
  }
}

/**
 * A connection that closes inside a body is a truncated body: the bytes that came are not the
 * object.
 */
function bodyError(error: unknown, expected: BodyExpectation, position: number): StratalogError {
  if (isStratalogError(error)) return error
  return storeUnavailable(
    expected.url,
    `${expected.key} broke off after ${position} of ${expected.length} bytes`,
    error,
  )
}

function wrongLength(expected: BodyExpectation, given: number, quantifier: string): StratalogError {
  return objectCorrupt(
    expected.url,
    expected.key,
    `${quantifier}${given} bytes came where ${expected.length} were announced`,
    { expectedLength: expected.length, givenLength: given },
  )
}

function checkDigest(given: string | null, expected: BodyExpectation): void {
  if (given === expected.sha256) return
  throw objectCorrupt(expected.url, expected.key, 'its SHA-256 is not the one the store keeps', {
    expectedSha256: expected.sha256,
    givenSha256: given,
  })
}
