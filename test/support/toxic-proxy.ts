/**
 * A proxy in front of a real S3 store that does to requests and answers what networks and stores do to them. Requests
 * keep their host header, so their signatures stay right. `script` decides by operation; without a toxic a request
 * passes as it is.
 */
import {
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
  createServer,
  request as sendRequest,
} from 'node:http'
import { type S3Operation, operationOf } from './faulty-s3-server.ts'

export type Toxic =
  /** The connection is reset, and nothing happens. */
  | { readonly kind: 'error-before' }
  /** It happens, and the connection is reset instead of an answer. */
  | { readonly kind: 'reply-lost' }
  /** The connection is reset, and it happens later. */
  | { readonly kind: 'late'; readonly afterMs: number }
  /** Half of the answer's body comes, then the connection ends. */
  | { readonly kind: 'truncated' }
  /** Half of the answer's body comes, then next to nothing. */
  | { readonly kind: 'dripping' }
  /** A bit of the answer's body is flipped. */
  | { readonly kind: 'wrong-bytes' }
  /** An answer of the proxy's own, and nothing happens. */
  | { readonly kind: 'status'; readonly status: number; readonly code: string }

/** As S3 names them, with two of them told apart. */
export type StoreOperation = S3Operation | 'put-if-absent' | 'range'

export interface ProxiedCall {
  readonly operation: StoreOperation
  readonly key: string
}

export interface ToxicProxy extends AsyncDisposable {
  readonly endpoint: string
  script: (call: ProxiedCall) => Toxic | null
  /** Calls that came through, and that were interfered with. */
  readonly counts: { passed: number; poisoned: number }
  /** Everything that is to happen later has happened. */
  settle(): Promise<void>
}

const DRIP_EACH_MS = 50

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

export async function startToxicProxy(upstream: string): Promise<ToxicProxy> {
  const late = new Set<Promise<unknown>>()
  const counts = { passed: 0, poisoned: 0 }
  const server = createServer((incoming, response) => {
    const url = new URL(incoming.url ?? '/', 'http://localhost')
    const key = decodeURIComponent(url.pathname).slice(1).replace(/\/$/, '')
    const asked = operationOf(incoming.method ?? '', key, url.searchParams)
    const operation = asMeant(asked, incoming.headers)
    const toxic = proxy.script({ operation, key })
    counts[toxic === null ? 'passed' : 'poisoned']++
    const handling = handle(upstream, incoming, response, toxic, late)
    handling.catch(() => incoming.socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no address')
  const proxy: ToxicProxy = {
    endpoint: `http://127.0.0.1:${address.port}`,
    script: () => null,
    counts,
    settle: async () => {
      while (late.size > 0) await Promise.allSettled(late)
    },
    async [Symbol.asyncDispose]() {
      await proxy.settle()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return proxy
}

function asMeant(operation: S3Operation, headers: IncomingHttpHeaders): StoreOperation {
  if (operation === 'put' && headers['if-none-match'] === '*') return 'put-if-absent'
  return operation === 'get' && headers.range !== undefined ? 'range' : operation
}

async function handle(
  upstream: string,
  incoming: IncomingMessage,
  response: ServerResponse,
  toxic: Toxic | null,
  late: Set<Promise<unknown>>,
): Promise<void> {
  const reset = (): unknown => incoming.socket.resetAndDestroy()
  const body = await readAll(incoming)
  if (toxic?.kind === 'error-before') return void reset()
  if (toxic?.kind === 'status') {
    response.writeHead(toxic.status, { 'content-type': 'application/xml' })
    const code = incoming.method === 'HEAD' ? '' : toxic.code
    response.end(code === '' ? '' : `<Error><Code>${code}</Code><Message>toxic</Message></Error>`)
    return
  }
  if (toxic?.kind === 'late') {
    reset()
    const landing = new Promise((resolve) => setTimeout(resolve, toxic.afterMs))
      .then(() => forward(upstream, incoming, body))
      .catch(() => {})
    late.add(landing)
    await landing
    late.delete(landing)
    return
  }
  const answer = await forward(upstream, incoming, body)
  if (toxic?.kind === 'reply-lost') return void reset()
  reply(response, answer, toxic)
}

function reply(response: ServerResponse, answer: Answer, toxic: Toxic | null): void {
  const { status, headers, body } = answer
  const half = body.length >> 1
  if (toxic?.kind === 'wrong-bytes' && body.length > 0) body[half] = (body[half] ?? 0) ^ 0x10
  response.writeHead(status, headers)
  if (body.length === 0 || (toxic?.kind !== 'truncated' && toxic?.kind !== 'dripping')) {
    response.end(body)
    return
  }
  response.write(body.subarray(0, half), () => {
    if (toxic.kind === 'truncated') response.socket?.destroy()
  })
  if (toxic.kind === 'truncated') return
  let position = half
  const timer = setInterval(() => {
    // Who asked may have been gone before the first drop.
    if (response.destroyed || position >= body.length) {
      clearInterval(timer)
      response.end()
      return
    }
    response.write(body.subarray(position, position + 1))
    position++
  }, DRIP_EACH_MS)
}

function forward(upstream: string, incoming: IncomingMessage, body: Buffer): Promise<Answer> {
  const { hostname, port } = new URL(upstream)
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const headers = { ...incoming.headers, connection: 'close' }
  const path = incoming.url ?? '/'
  const outgoing = sendRequest(
    { hostname, port, method: incoming.method ?? 'GET', path, headers },
    (answer) => {
      readAll(answer).then((bytes) => {
        const { connection: _hop, 'transfer-encoding': _coding, ...kept } = answer.headers
        resolve({ status: answer.statusCode ?? 502, headers: kept, body: bytes })
      }, reject)
    },
  )
  outgoing.on('error', reject)
  outgoing.end(body)
  return promise
}

async function readAll(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of message) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}
