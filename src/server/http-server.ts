/**
 * The HTTP server: sockets and their limits, the way of a request to its route, and the end of both.
 *
 * On `stop` it takes no new connections, tells what waits (long polls, event streams) to end, lets what works finish
 * within DRAIN_MS, and cuts off the rest.
 */
import type {
  IncomingMessage,
  RequestListener,
  Server,
  ServerOptions,
  ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Clock } from '../base/clock.ts'
import { StratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { type Random, randomHex } from '../base/random.ts'
import { type CorsPolicy, PREFLIGHT_HEADERS } from './cors.ts'
import { Exchange } from './exchange.ts'
import type { HostList } from './host-list.ts'
import { RequestProblem } from './http-error.ts'
import {
  BODIES_BYTES_MAX,
  CONNECTIONS_MAX,
  DRAIN_MS,
  HEADERS_TIMEOUT_MS,
  HEADER_BYTES_MAX,
  KEEP_ALIVE_MS,
  REQUEST_TIMEOUT_MS,
  TIMEOUT_CHECK_MS,
} from './limits.ts'
import type { Admission } from './rate-limit.ts'
import { BodyBudget } from './request-body.ts'
import { assertSingle, targetOf } from './request-head.ts'
import type { Router } from './router.ts'

export interface HttpServerOptions {
  /** That of `node:http`, or one with TLS. */
  readonly createServer: (options: ServerOptions, listener: RequestListener) => Server
  readonly router: Router
  readonly hosts: HostList
  readonly cors: CorsPolicy
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly authorize: Admission
  /** Is told of every answer. */
  readonly onAnswer: (route: string, status: number, elapsedMs: number) => void
}

export class HttpServer {
  readonly #options: HttpServerOptions
  readonly #server: Server
  readonly #bodies = new BodyBudget(BODIES_BYTES_MAX)
  readonly #stopping = new AbortController()
  readonly #serverId: string
  #requests = 0

  constructor(options: HttpServerOptions) {
    this.#options = options
    this.#serverId = randomHex(options.random, 4)
    this.#server = options.createServer(
      {
        maxHeaderSize: HEADER_BYTES_MAX,
        headersTimeout: HEADERS_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        keepAliveTimeout: KEEP_ALIVE_MS,
        connectionsCheckingInterval: TIMEOUT_CHECK_MS,
        // A missing Host is answered as any other that is not allowed.
        requireHostHeader: false,
      },
      (request, response) => void this.#answer(request, response),
    )
    this.#server.maxConnections = CONNECTIONS_MAX
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      // Only who speaks HTTP is answered in it: TLS that fails has no words that the other side could read.
      if (!/^(HPE|ERR_HTTP)_/.test(error.code ?? '')) socket.destroy()
      if (socket.destroyed || !socket.writable) return
      const status = STATUS_OF_BROKEN_HEADS[error.code ?? ''] ?? '400 Bad Request'
      socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
      // Who is slow may never end its side.
      if (status.startsWith('408')) socket.once('finish', () => socket.destroy())
    })
  }

  /** Resolves with the port once connections are taken. @throws StratalogError `argument_invalid` where none can be. */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const onError = (error: NodeJS.ErrnoException): void =>
        reject(
          new StratalogError(
            'argument_invalid',
            `Cannot listen on ${host}, port ${port}: ${error.code ?? error.message}.`,
            { cause: error, details: { host, port, reason: error.code ?? '' } },
          ),
        )
      this.#server.once('error', onError)
      this.#server.listen(port, host, () => {
        this.#server.off('error', onError)
        resolve((this.#server.address() as AddressInfo).port)
      })
    })
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
    })
    this.#stopping.abort()
    this.#server.closeIdleConnections()
    const timer = this.#options.clock.setTimer(DRAIN_MS, () => this.#server.closeAllConnections())
    await closed
    timer.cancel()
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { clock, logger, onAnswer } = this.#options
    const startedAt = clock.monotonic()
    const exchange = this.#exchange(request, response)
    let template = ''
    // A socket that breaks is the end of its exchange and nothing else.
    request.on('error', ignore)
    response.on('error', ignore)
    response.on('close', () => {
      if (this.#stopping.signal.aborted) void this.#closeIdle()
      const elapsedMs = clock.monotonic() - startedAt
      onAnswer(template, response.statusCode, elapsedMs)
      const { method, id } = exchange
      logger.debug('answered', {
        requestId: id,
        method,
        route: template,
        status: response.statusCode,
        elapsedMs,
      })
    })
    try {
      assertSingle(request.rawHeaders)
      this.#options.hosts.assertAllowed(exchange.host)
      const { cors } = this.#options
      if (isPreflight(exchange, cors)) {
        // Of every path and before any token: a page can read why it is refused only of the request itself.
        exchange.send(204, PREFLIGHT_HEADERS)
        return
      }
      assertOrigin(exchange, cors)
      const route = this.#options.router.find(exchange)
      template = route.path
      const admitted = this.#options.authorize(exchange, route)
      if (admitted !== null) await admitted
      await route.run(exchange)
    } catch (error) {
      this.#fail(exchange, error)
    }
  }

  /** A connection whose last answer is out would wait for another request. */
  async #closeIdle(): Promise<void> {
    await this.#options.clock.yield()
    this.#server.closeIdleConnections()
  }

  /** Its own among those of all servers: random once, then counted. */
  #requestId(): string {
    this.#requests++
    return `${this.#serverId}${this.#requests.toString(16).padStart(8, '0')}`
  }

  #exchange(request: IncomingMessage, response: ServerResponse): Exchange {
    const { clock, cors } = this.#options
    const { host, path, search } = targetOf(request.url ?? '/')
    return new Exchange({
      request,
      response,
      id: this.#requestId(),
      host: host ?? request.headers.host,
      path,
      search,
      clock,
      bodies: this.#bodies,
      answerHeaders: cors.headersFor(request.headers.origin),
      stopping: this.#stopping.signal,
    })
  }

  #fail(exchange: Exchange, error: unknown): void {
    const { response, method, id } = exchange
    if (exchange.isRevoked) return
    const { status } = exchange.problemOf(error)
    if (status >= 500 && !(error instanceof RequestProblem)) {
      this.#options.logger.error('a request failed', {
        requestId: id,
        method,
        error: String(error),
        stack: (error as Error).stack,
      })
    }
    if (response.headersSent) {
      exchange.cut()
      return
    }
    exchange.sendProblem(error)
  }
}

const STATUS_OF_BROKEN_HEADS: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
}

function ignore(): void {}

/** Whether a browser asks if a page of an origin that may use this server may send what it is about to send. */
function isPreflight(exchange: Exchange, cors: CorsPolicy): boolean {
  if (exchange.method !== 'OPTIONS') return false
  const origin = exchange.header('origin')
  return (
    exchange.header('access-control-request-method') !== undefined &&
    origin !== undefined &&
    cors.allows(origin)
  )
}

/**
 * A page of another site can send what it cannot read the answer of; it says where it is from. Asking whether it may
 * is harmless. @throws RequestProblem `origin_refused`.
 */
function assertOrigin(exchange: Exchange, cors: CorsPolicy): void {
  const origin = exchange.header('origin')
  if (origin === undefined || exchange.method === 'OPTIONS' || cors.allows(origin)) return
  if (/^https?:\/\/(.+)$/.exec(origin)?.[1] === exchange.host) return
  throw new RequestProblem('origin_refused', 'Pages of other sites may not use this server.')
}
