/** One request and its answer, as the routes see them. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Writable } from 'node:stream'
import type { Clock } from '../base/clock.ts'
import { type Problem, RequestProblem, problemOf } from './http-error.ts'
import { SLOW_READER_MS } from './limits.ts'
import { type BodyBudget, readBody, withBody } from './request-body.ts'
import { ALL_RIGHTS, type Rights, type Scope, allows } from './rights.ts'

/** What every answer says to browsers: names and values in turn. */
const SECURITY_HEADERS = [
  'x-content-type-options',
  'nosniff',
  'cross-origin-resource-policy',
  'same-origin',
]

export interface ExchangeOptions {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly id: string
  /** Whom the request is for, with a port where it has one. */
  readonly host: string | undefined
  readonly path: string
  /** What follows the question mark of the URL. */
  readonly search: string
  readonly clock: Clock
  readonly bodies: BodyBudget
  /** What the answer says, whatever it is. */
  readonly answerHeaders: AnswerHeaders
  /** Fires when the server is asked to stop: what waits ends, what works goes on. */
  readonly stopping: AbortSignal
}

/** By name, in lower case; one that is undefined is left out. */
export type AnswerHeaders = Readonly<Record<string, string | undefined>>

const NO_HEADERS: AnswerHeaders = {}
const JSON_HEADERS: AnswerHeaders = {
  'content-type': 'application/json',
  'cache-control': 'no-store',
}

function addHeaders(list: string[], headers: AnswerHeaders): void {
  for (const name in headers) {
    const value = headers[name]
    if (value !== undefined) list.push(name, value)
  }
}

/** A part of many streamed answers, whose bytes are made once. */
export class SharedPart {
  readonly text: string
  #framed: Buffer | null = null

  constructor(text: string) {
    this.text = text
  }

  /** As a chunk of HTTP/1.1. */
  get framed(): Buffer {
    if (this.#framed !== null) return this.#framed
    const length = Buffer.byteLength(this.text).toString(16)
    this.#framed = Buffer.from(`${length}\r\n${this.text}\r\n`)
    return this.#framed
  }
}

export class Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly id: string
  readonly host: string | undefined
  readonly path: string
  readonly stopping: AbortSignal
  readonly #search: string
  #query: URLSearchParams | null = null
  #gone: AbortController | null = null
  #isRevoked = false
  readonly #clock: Clock
  readonly #bodies: BodyBudget
  readonly #answerHeaders: AnswerHeaders
  #parameters: Readonly<Record<string, string>> = {}
  /** Of whoever sent it; set before its route runs. */
  rights: Rights = ALL_RIGHTS

  constructor(options: ExchangeOptions) {
    const { request, response, id, host, path, search } = options
    const { clock, bodies, answerHeaders, stopping } = options
    this.request = request
    this.response = response
    this.id = id
    this.host = host
    this.path = path
    this.#search = search
    this.stopping = stopping
    this.#clock = clock
    this.#bodies = bodies
    this.#answerHeaders = answerHeaders
  }

  get hasQuery(): boolean {
    return this.#search !== ''
  }

  get query(): URLSearchParams {
    this.#query ??= new URLSearchParams(this.#search)
    return this.#query
  }

  /**
   * Fires when the client is gone before it has its answer, or is not to have it. Made for those who ask: most requests
   * end before that.
   */
  get gone(): AbortSignal {
    if (this.#gone !== null) return this.#gone.signal
    const { response } = this
    const controller = new AbortController()
    const ended = (): void => {
      if (!response.writableFinished) controller.abort()
    }
    if (response.closed) ended()
    else response.once('close', ended)
    this.#gone = controller
    if (this.#isRevoked) controller.abort()
    return controller.signal
  }

  /** The parts of the path that the route names. */
  get parameters(): Readonly<Record<string, string>> {
    return this.#parameters
  }

  setParameters(parameters: Readonly<Record<string, string>>): void {
    this.#parameters = parameters
  }

  /** `log` is null for what is about the whole engine. @throws RequestProblem `scope_missing`. */
  assertAllowed(scope: Scope, log: string | null): void {
    if (allows(this.rights, scope, log)) return
    throw new RequestProblem('scope_missing', `The token does not allow '${scope}' here.`)
  }

  /** An error as whoever sent the request is told of it. */
  problemOf(error: unknown): Problem {
    return problemOf(error, this.id, this.rights)
  }

  get method(): string {
    return this.request.method ?? 'GET'
  }

  /** A header of the request; undefined where it is absent. Node joins what is sent twice. */
  header(name: string): string | undefined {
    const value = this.request.headers[name]
    return Array.isArray(value) ? value.join(', ') : value
  }

  /** The whole body, decompressed. @throws RequestProblem `body_too_large`, `media_type_unsupported`, `server_busy`. */
  body(bytesMax: number): Promise<Buffer> {
    return readBody(this.request, this.#bodies, bytesMax)
  }

  /** As `body`, for as long as `use` takes, which keeps nothing of its bytes. */
  withBody<T>(bytesMax: number, use: (body: Buffer) => Promise<T>): Promise<T> {
    return withBody(this.request, this.#bodies, bytesMax, use)
  }

  /** The whole body as a JSON object; an absent body is an empty one. @throws RequestProblem `request_invalid`. */
  async jsonBody(bytesMax: number): Promise<Readonly<Record<string, unknown>>> {
    const body = await this.body(bytesMax)
    if (body.length === 0) return {}
    let value: unknown
    try {
      value = JSON.parse(body.toString())
    } catch {
      throw new RequestProblem('request_invalid', 'The body is not JSON.')
    }
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Readonly<Record<string, unknown>>
    throw new RequestProblem('request_invalid', 'The body is not a JSON object.')
  }

  /** What is wrong, in place of an answer. */
  sendProblem(error: unknown): void {
    const { status, headers, body } = this.problemOf(error)
    const type = 'application/problem+json'
    const all = { 'content-type': type, 'cache-control': 'no-store', ...headers }
    this.send(status, all, JSON.stringify(body))
  }

  /**
   * Ends the answer, as who asked may not have it any more: with the problem where nothing is out yet, and else it
   * breaks off. For its route the client is gone.
   */
  revoke(problem: RequestProblem): void {
    this.#isRevoked = true
    if (this.response.headersSent) this.cut()
    else this.sendProblem(problem)
    this.#gone?.abort()
  }

  /** Whether it was ended by `revoke`, so that what its route comes to is of no interest. */
  get isRevoked(): boolean {
    return this.#isRevoked
  }

  send(status: number, headers: AnswerHeaders = NO_HEADERS, body?: string | Uint8Array): void {
    const { response } = this
    if (response.destroyed || response.headersSent) return
    // 204 and 304 have no body and no length.
    const isBodyless = status === 204 || status === 304
    const length = body === undefined ? 0 : Buffer.byteLength(body)
    this.#writeHead(status, headers, isBodyless && body === undefined ? null : length)
    response.end(this.method === 'HEAD' ? undefined : body)
  }

  /** The head of an answer that is written in parts. */
  begin(status: number, headers: AnswerHeaders): void {
    this.#writeHead(status, headers, null)
  }

  /**
   * All headers at once and as a list: Node is slow with headers that are set one by one, and objects that are made of
   * others cost as much as the rest of a small answer.
   */
  #writeHead(status: number, headers: AnswerHeaders, length: number | null): void {
    const list = [...SECURITY_HEADERS, 'x-request-id', this.id]
    addHeaders(list, this.#answerHeaders)
    addHeaders(list, headers)
    if (length !== null) list.push('content-length', String(length))
    if (this.stopping.aborted && headers['connection'] === undefined)
      list.push('connection', 'close')
    this.response.writeHead(status, list)
  }

  sendJson(status: number, document: unknown, headers: AnswerHeaders = NO_HEADERS): void {
    const all = headers === NO_HEADERS ? JSON_HEADERS : { ...JSON_HEADERS, ...headers }
    this.send(status, all, JSON.stringify(document))
  }

  /** Writes a part of a streamed answer; resolves when there is room for the next, false once the client is gone. */
  async write(chunk: string | Uint8Array): Promise<boolean> {
    const { response } = this
    if (response.destroyed || response.writableEnded) return false
    return response.write(chunk) || this.#drained(response)
  }

  /**
   * Writes a part of a streamed answer whose head is out and that `write` is not writing to; says whether there is room
   * for the next, which there is again when `drained` resolves. The framing of `response.write` costs as much as all
   * the rest of a small part.
   */
  push(part: SharedPart): boolean {
    const { response, request } = this
    const { socket } = response
    if (response.destroyed || socket === null) return false
    return request.httpVersion === '1.1' ? socket.write(part.framed) : response.write(part.text)
  }

  /** Resolves when there is room for a part that is pushed; false once the client is gone. */
  async drained(): Promise<boolean> {
    const { response } = this
    const { socket } = response
    if (response.destroyed || socket === null) return false
    return socket.writableNeedDrain ? this.#drained(socket) : true
  }

  #drained(emitter: Writable): Promise<boolean> {
    const { response } = this
    return new Promise((resolve) => {
      const done = (isThere: boolean) => (): void => {
        timer.cancel()
        emitter.off('drain', onDrain)
        response.off('close', onClose)
        resolve(isThere)
      }
      const onDrain = done(true)
      const onClose = done(false)
      const timer = this.#clock.setTimer(SLOW_READER_MS, () => response.destroy())
      emitter.once('drain', onDrain)
      response.once('close', onClose)
    })
  }

  /** Ends a streamed answer that cannot go on: the client sees that it is not whole. */
  cut(): void {
    this.response.destroy()
  }
}
