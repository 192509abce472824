/** A server that a client only believes in: its answers are written down before. */
import { type Clock, systemClock } from '../../src/base/clock.ts'
import { seededRandom } from '../../src/base/random.ts'
import { Transport } from '../../src/client/transport.ts'
import { eventually } from './eventually.ts'

export type Scripted = Response | Error | Promise<Response>

export interface Exchanged {
  readonly method: string
  readonly url: URL
  readonly headers: Headers
  readonly body: string
}

export class ScriptedServer {
  readonly exchanged: Exchanged[] = []
  /** How long the client waited before each attempt that was not the first. */
  readonly pauses: number[] = []
  readonly transport: Transport
  readonly #script: Scripted[]

  constructor(retries: number, script: readonly Scripted[]) {
    this.#script = [...script]
    this.transport = new Transport({
      url: 'http://server.test',
      token: 'stl_x',
      retries,
      timeoutMs: 1_000_000,
      random: seededRandom(1),
      clock: this.#clock(),
      fetch: (url, init) =>
        this.#answer(new URL(url instanceof Request ? url.url : url), init ?? {}),
    })
  }

  /** Resolves when so many requests have come. */
  async sent(count: number): Promise<void> {
    await eventually(() => {
      if (this.exchanged.length < count) throw new Error(`${this.exchanged.length} came`)
    })
  }

  async #answer(
    url: URL,
    { method = 'GET', headers, body, signal }: RequestInit,
  ): Promise<Response> {
    this.exchanged.push({
      method,
      url,
      headers: new Headers(headers),
      body: typeof body === 'string' ? body : '',
    })
    // Later, as over a network.
    await systemClock.sleep(1)
    signal?.throwIfAborted()
    const next = this.#script.shift()
    if (next === undefined) throw new Error('The script is over.')
    if (next instanceof Error) throw next
    const { body: read } = await next
    // A body breaks off where its request is aborted.
    return new Response(
      read?.pipeThrough(new TransformStream(), signal ? { signal } : {}) ?? null,
      await next,
    )
  }

  /** Pauses are over at once; deadlines never are. */
  #clock(): Clock {
    return {
      ...systemClock,
      sleep: (delayMs, signal) => {
        if (delayMs >= 1_000_000) return new Promise(() => {})
        signal?.throwIfAborted()
        this.pauses.push(delayMs)
        return Promise.resolve()
      },
    }
  }
}

export function answer(document: unknown): Response {
  return new Response(JSON.stringify(document), { status: 200 })
}

export function lines(...documents: readonly unknown[]): Response {
  return new Response(documents.map((document) => `${JSON.stringify(document)}\n`).join(''))
}

/** Lines of an answer that does not end; `cancelled` resolves when nobody reads it any more. */
export function openLines(...documents: readonly unknown[]): {
  readonly response: Response
  readonly cancelled: Promise<void>
} {
  const cancelled = Promise.withResolvers<void>()
  const text = documents.map((document) => `${JSON.stringify(document)}\n`).join('')
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new TextEncoder().encode(text)),
    cancel: () => cancelled.resolve(),
  })
  return { response: new Response(body), cancelled: cancelled.promise }
}

export function problem(
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(JSON.stringify({ status, ...body }), { status, headers })
}
