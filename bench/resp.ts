/**
 * The Redis protocol, as much of it as the benchmarks speak: commands out, replies in, many on their way at once.
 * Texts are ASCII, so characters are bytes.
 */
import { connect, type Socket } from 'node:net'
import { once } from 'node:events'

export type Reply = string | number | null | readonly Reply[]

const CR = 0x0d

export class RespConnection {
  readonly #socket: Socket
  #unread: Buffer = Buffer.alloc(0)
  readonly #waiting: { readonly take: () => boolean; readonly fail: (error: Error) => void }[] = []

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('error', (error) => this.#failAll(error))
    socket.on('close', () => this.#failAll(new Error('Redis closed the connection.')))
  }

  static async open(path: string): Promise<RespConnection> {
    const socket = connect(path)
    await once(socket, 'connect')
    return new RespConnection(socket)
  }

  /** Sends encoded commands, and resolves when each of them has its reply. Replies are only counted. */
  send(commands: string, count: number): Promise<void> {
    let left = count
    return this.#request(commands, (resolve) => () => {
      while (left > 0) {
        const end = skipReply(this.#unread, 0)
        if (end === null) return false
        this.#unread = this.#unread.subarray(end)
        left--
      }
      resolve(undefined)
      return true
    })
  }

  /** Sends one command and resolves with its reply. */
  call(...words: readonly string[]): Promise<Reply> {
    return this.#request<Reply>(encodeCommand(words), (resolve) => () => {
      const parsed = parseReply(this.#unread, 0)
      if (parsed === null) return false
      this.#unread = this.#unread.subarray(parsed.end)
      resolve(parsed.reply)
      return true
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #request<T>(bytes: string, taking: (resolve: (value: T) => void) => () => boolean): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    this.#waiting.push({ take: taking(resolve), fail: reject })
    this.#socket.write(bytes, 'latin1')
    return promise
  }

  #receive(chunk: Buffer): void {
    this.#unread = this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk])
    try {
      while (this.#waiting[0]?.take() === true) this.#waiting.shift()
    } catch (error) {
      this.#failAll(error as Error)
    }
  }

  #failAll(error: Error): void {
    for (const { fail } of this.#waiting.splice(0)) fail(error)
  }
}

export function encodeCommand(words: readonly string[]): string {
  let text = `*${words.length}\r\n`
  for (const word of words) text += `$${word.length}\r\n${word}\r\n`
  return text
}

/** Where a reply that is not an array ends, or null when it is not all there. @throws what Redis refuses. */
function skipReply(bytes: Buffer, at: number): number | null {
  const line = lineEnd(bytes, at)
  if (line === null) return null
  if (bytes[at] === 0x2d) throw new Error(`Redis: ${bytes.toString('latin1', at + 1, line)}`)
  if (bytes[at] !== 0x24) return line + 2
  const end = line + 2 + Number(bytes.toString('latin1', at + 1, line)) + 2
  return end <= bytes.length ? end : null
}

function parseReply(
  bytes: Buffer,
  at: number,
): { readonly reply: Reply; readonly end: number } | null {
  const line = lineEnd(bytes, at)
  if (line === null) return null
  const head = bytes.toString('latin1', at + 1, line)
  switch (String.fromCharCode(bytes[at] ?? 0)) {
    case '-':
      throw new Error(`Redis: ${head}`)
    case ':':
      return { reply: Number(head), end: line + 2 }
    case '$': {
      const length = Number(head)
      if (length < 0) return { reply: null, end: line + 2 }
      const end = line + 2 + length + 2
      return end > bytes.length ? null : { reply: bytes.toString('latin1', line + 2, end - 2), end }
    }
    case '*':
      return parseArray(bytes, line + 2, Number(head))
    default:
      return { reply: head, end: line + 2 }
  }
}

function parseArray(
  bytes: Buffer,
  at: number,
  length: number,
): { readonly reply: Reply; readonly end: number } | null {
  const replies: Reply[] = []
  let end = at
  for (let index = 0; index < length; index++) {
    const parsed = parseReply(bytes, end)
    if (parsed === null) return null
    replies.push(parsed.reply)
    end = parsed.end
  }
  return { reply: replies, end }
}

/** Position of the CR that ends the line, when its LF is there too. */
function lineEnd(bytes: Buffer, at: number): number | null {
  const line = bytes.indexOf(CR, at)
  return line === -1 || line + 1 >= bytes.length ? null : line
}
