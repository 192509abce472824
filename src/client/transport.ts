/**
 * Requests to a server. One that may be sent again without harm is, when it was not answered or was refused for load:
 * after a pause that doubles, is drawn at random, and is at least what `Retry-After` says.
 */
import type { Clock } from '../base/clock.ts'
import { StratalogError, throwIfAborted } from '../base/errors.ts'
import { type Random, randomFraction } from '../base/random.ts'
import { errorOfProblem } from '../base/server-problem.ts'

export interface TransportOptions {
  readonly url: string
  readonly token: string | undefined
  /** How often a request is sent again at most. */
  readonly retries: number
  /** How long one waits for the head of an answer, where nothing says that it may take longer. */
  readonly timeoutMs: number
  readonly fetch: typeof globalThis.fetch
  readonly clock: Clock
  readonly random: Random
}

export interface ClientRequest {
  readonly method?: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  readonly parameters?: Readonly<Record<string, string | number | boolean | undefined>>
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON, unless `contentType` says what it is. */
  readonly body?: object | string | Uint8Array<ArrayBuffer>
  readonly contentType?: string
  /** Whether sending it twice does what sending it once does. */
  readonly isRepeatable: boolean
  /** It takes as long as it takes. */
  readonly isLong?: boolean
  readonly signal?: AbortSignal | undefined
  /** Learns of attempts whose outcome nobody knows. */
  readonly fate?: RequestFate
}

export interface RequestFate {
  isUnknown: boolean
}

const PAUSE_MS = 100
const PAUSE_MS_MAX = 5_000

/** Refused before anything was done: any request may be sent again. */
const UNTOUCHED: readonly unknown[] = ['rate_limited', 'server_busy', 'server_stopping']

/** Refused for load or time, and no better the next time. */
const LASTING: readonly string[] = ['query_limit', 'producers_full', 'timeout']

export class Transport {
  readonly #options: TransportOptions
  #isClosed = false

  constructor(options: TransportOptions) {
    this.#options = options
  }

  get random(): Random {
    return this.#options.random
  }

  get timeoutMs(): number {
    return this.#options.timeoutMs
  }

  get retries(): number {
    return this.#options.retries
  }

  /** No request goes out any more. */
  close(): void {
    this.#isClosed = true
  }

  /** @throws StratalogError `engine_closed`. */
  assertOpen(): void {
    if (this.#isClosed) throw new StratalogError('engine_closed', 'The client is closed.')
  }

  async json<T>(path: string, request: ClientRequest): Promise<T> {
    return this.#retried(request, () =>
      this.#once(path, request, async (response) => {
        const text = await response.text()
        return (text === '' ? null : JSON.parse(text)) as T
      }),
    )
  }

  /** The answer once its head is there; its body is the caller's to read. */
  open(path: string, request: ClientRequest): Promise<Response> {
    return this.#retried(request, () => this.#once(path, request, (response) => response))
  }

  /** Waits before attempt `attempt` (the first again is 1). @throws StratalogError `aborted`. */
  async pause(
    attempt: number,
    signal: AbortSignal | undefined,
    retryAfterMs: number = 0,
  ): Promise<void> {
    const { clock, random } = this.#options
    const longest = Math.min(PAUSE_MS * 2 ** (attempt - 1), PAUSE_MS_MAX)
    const pauseMs = longest * (0.5 + randomFraction(random) / 2)
    try {
      await clock.sleep(Math.max(pauseMs, retryAfterMs), signal)
    } catch {
      throwIfAborted(signal)
    }
  }

  async #retried<T>(request: ClientRequest, run: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      this.assertOpen()
      throwIfAborted(request.signal)
      try {
        return await run()
      } catch (error) {
        throwIfAborted(request.signal)
        const failure = failureOf(error)
        if (request.fate !== undefined && !failure.isRefusal) request.fate.isUnknown = true
        const mayRepeat = request.isRepeatable ? failure.isPassing : failure.isUntouched
        if (!mayRepeat || attempt > this.#options.retries) throw failure.error
        await this.pause(attempt, request.signal, failure.retryAfterMs)
      }
    }
  }

  /** The deadline is for the head of the answer and what `read` waits for. */
  async #once<T>(
    path: string,
    request: ClientRequest,
    read: (response: Response) => T | Promise<T>,
  ): Promise<T> {
    const { url, token, fetch, clock, timeoutMs } = this.#options
    const { method = 'GET', parameters = {}, headers = {}, body, contentType, signal } = request
    const target = new URL(url + path)
    for (const [name, value] of Object.entries(parameters))
      if (value !== undefined) target.searchParams.set(name, String(value))
    const isRaw = typeof body === 'string' || body instanceof Uint8Array
    const ender = new AbortController()
    const answered = new AbortController()
    if (request.isLong !== true)
      void clock.sleep(timeoutMs, answered.signal).then(
        () => ender.abort(),
        () => {},
      )
    try {
      const response = await fetch(target.href, {
        method,
        // Of the whole answer, which is read after this.
        signal: signal === undefined ? ender.signal : AbortSignal.any([signal, ender.signal]),
        redirect: 'error',
        headers: {
          ...headers,
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': contentType ?? 'application/json' }),
        },
        ...(body === undefined ? {} : { body: isRaw ? body : JSON.stringify(body) }),
      })
      if (response.ok) return await read(response)
      const retryAfterMs = Number(response.headers.get('retry-after') ?? 0) * 1_000
      throw new Refusal(errorOfProblem(await response.text(), response.status), retryAfterMs || 0)
    } finally {
      answered.abort()
    }
  }
}

/** An answer that is an error. */
class Refusal extends Error {
  readonly error: StratalogError
  readonly retryAfterMs: number

  constructor(error: StratalogError, retryAfterMs: number) {
    super(error.message)
    this.error = error
    this.retryAfterMs = retryAfterMs
  }
}

interface Failure {
  readonly error: StratalogError
  readonly retryAfterMs: number
  /** Certain to have changed nothing. */
  readonly isRefusal: boolean
  /** May be over the next time. */
  readonly isPassing: boolean
  readonly isUntouched: boolean
}

function failureOf(thrown: unknown): Failure {
  if (!(thrown instanceof Refusal)) {
    const error = new StratalogError('server_unavailable', 'The server does not answer.', {
      cause: thrown,
    })
    return { error, retryAfterMs: 0, isRefusal: false, isPassing: true, isUntouched: false }
  }
  const { error, retryAfterMs } = thrown
  const status = Number(error.details['status'])
  const isUntouched = UNTOUCHED.includes(error.details['problem'])
  return {
    error,
    retryAfterMs,
    isRefusal: status < 500 || isUntouched,
    isPassing: [429, 502, 503, 504].includes(status) && !LASTING.includes(error.code),
    isUntouched,
  }
}

/** The parts of a path, each as it is. */
export function pathOf(...parts: readonly string[]): string {
  return `/v1/${parts.map(encodeURIComponent).join('/')}`
}
