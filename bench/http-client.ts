/**
 * Load over loopback that costs the client next to nothing: requests are bytes that were made before, and of an answer
 * only its status and its length are looked at.
 */
import { once } from 'node:events'
import { type Socket, connect } from 'node:net'

/** One request of HTTP/1.1 as bytes. */
export function requestBytes(
  method: string,
  path: string,
  body: string | Uint8Array = '',
  headers: Readonly<Record<string, string>> = {},
): Buffer {
  const bytes = Buffer.from(body)
  const lines = Object.entries({
    host: '127.0.0.1',
    'content-length': String(bytes.length),
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`), bytes])
}

/** A connection that is kept, with one request under way at a time. */
export class RawConnection implements Disposable {
  readonly #socket: Socket
  #received: Buffer = Buffer.alloc(0)
  #settle: { resolve: () => void; reject: (error: Error) => void } | null = null

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk) => this.#take(chunk))
    socket.on('error', (error) => this.#settle?.reject(error))
    socket.on('close', () => this.#settle?.reject(new Error('the server closed the connection')))
  }

  static async open(port: number): Promise<RawConnection> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    return new RawConnection(socket)
  }

  /** Resolves when the answer is whole. @throws when it is no success. */
  send(request: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
      this.#socket.write(request)
    })
  }

  [Symbol.dispose](): void {
    this.#settle = null
    this.#socket.destroy()
  }

  #take(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    const headEnd = this.#received.indexOf('\r\n\r\n')
    if (headEnd === -1) return
    const head = this.#received.toString('latin1', 0, headEnd)
    const length = Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? 0)
    if (this.#received.length < headEnd + 4 + length) return
    const settle = this.#settle
    const answer = this.#received
    this.#received = Buffer.alloc(0)
    this.#settle = null
    if (head.startsWith('HTTP/1.1 2')) settle?.resolve()
    else settle?.reject(new Error(`the server answered ${answer.toString()}`))
  }
}

/** Sends every request, some at a time, each connection its own share of them in order. */
export async function sendAll(
  port: number,
  inFlight: number,
  requests: readonly Buffer[],
): Promise<void> {
  const connections = await Promise.all(
    Array.from({ length: inFlight }, () => RawConnection.open(port)),
  )
  try {
    await Promise.all(
      connections.map(async (connection, index) => {
        for (let at = index; at < requests.length; at += inFlight)
          await connection.send(requests[at] ?? Buffer.alloc(0))
      }),
    )
  } finally {
    for (const connection of connections) connection[Symbol.dispose]()
  }
}
