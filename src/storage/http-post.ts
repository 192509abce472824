/** Posts bodies to one address, over connections that are kept. No redirect is followed. */
import * as http from 'node:http'
import * as https from 'node:https'
import type { Clock } from '../base/clock.ts'
import { StratalogError, throwIfAborted } from '../base/errors.ts'
import type { HttpTarget } from './http-target.ts'

export interface HttpAnswer {
  readonly status: number
  /** What the answer says about when to come again; null when it says nothing. */
  readonly retryAfterMs: number | null
}

export interface HttpPoster {
  /** @throws StratalogError `sink_unavailable` when no answer came, which says nothing of whether the body did. */
  post(
    body: Uint8Array,
    headers: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ): Promise<HttpAnswer>
  close(): void
}

/** Without a byte either way. */
const IDLE_MS_MAX = 30_000

/** From the first byte of the body to the end of the answer. */
const POST_MS_MAX = 120_000

/** Of an answer's body, which nobody reads. */
const ANSWER_BYTES_MAX = 64 * 1024

export function openHttpPoster({ url, address, family }: HttpTarget, clock: Clock): HttpPoster {
  const client = url.protocol === 'https:' ? https : http
  const agent = new client.Agent({ keepAlive: true, maxSockets: 1 })
  const lookup: http.RequestOptions['lookup'] = (_, options, found) => {
    if (options.all === true) found(null, [{ address, family }])
    else found(null, address, family)
  }
  const send = (
    body: Uint8Array,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<HttpAnswer> =>
    new Promise((resolve, reject) => {
      const sent = { ...headers, 'content-length': String(body.length) }
      const options = { method: 'POST', agent, headers: sent, lookup, signal, timeout: IDLE_MS_MAX }
      const request = client.request(url, options, (answer) => {
        let bytes = 0
        answer.on('data', (chunk: Uint8Array) => {
          bytes += chunk.length
          if (bytes > ANSWER_BYTES_MAX) request.destroy(new Error('The answer is too long.'))
        })
        answer.on('end', () => {
          const retryAfterMs = waitOf(answer.headers['retry-after'])
          resolve({ status: answer.statusCode ?? 0, retryAfterMs })
        })
        answer.on('error', reject)
      })
      request.on('timeout', () => request.destroy(new Error('Nothing came for too long.')))
      request.on('error', reject)
      request.end(body)
    })
  return {
    post: async (body, headers, signal) => {
      const deadline = new AbortController()
      const timer = clock.setTimer(POST_MS_MAX, () =>
        deadline.abort(new Error('It took too long.')),
      )
      try {
        const ends = signal === undefined ? [deadline.signal] : [deadline.signal, signal]
        const either = AbortSignal.any(ends)
        return await send(body, headers, either)
      } catch (error) {
        throwIfAborted(signal)
        const reason = error instanceof Error ? error.message : String(error)
        throw new StratalogError('sink_unavailable', `${url.origin} does not answer: ${reason}`, {
          cause: error,
          details: { url: url.origin },
        })
      } finally {
        timer.cancel()
      }
    },
    close: () => agent.destroy(),
  }
}

/** Seconds; a date is not looked at, since clocks differ. */
function waitOf(header: string | undefined): number | null {
  return header !== undefined && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : null
}
