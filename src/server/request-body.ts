/** Bodies of requests: within limits, counted against one budget for all of them, decompressed within limits too. */
import type { IncomingMessage } from 'node:http'
import { once } from '../base/once.ts'
import { RequestProblem } from './http-error.ts'
import { DECOMPRESSIONS_MAX } from './limits.ts'

/** Buffers are kept in these sizes; a smaller body comes in one chunk, and a greater one is rare. */
const KEPT_BYTES_MIN = 128 * 1024
const KEPT_BYTES_MAX = 1024 * 1024
const KEPT_MAX = 8

/** What all bodies together hold of RAM, and the buffers that are used for one after the other. */
export class BodyBudget {
  readonly #bytesMax: number
  readonly #kept: Buffer[] = []
  readonly #waiting: (() => void)[] = []
  #bytes = 0
  #decompressions = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** @throws RequestProblem `server_busy`. */
  take(bytes: number): void {
    if (this.#bytes + bytes > this.#bytesMax)
      throw new RequestProblem('server_busy', 'The server is receiving as much as it can hold.')
    this.#bytes += bytes
  }

  giveBack(bytes: number): void {
    this.#bytes -= bytes
  }

  /** Runs when few others do: a body that is being decompressed holds much more than was received of it. */
  async inTurn<T>(decompress: () => Promise<T>): Promise<T> {
    if (this.#decompressions === DECOMPRESSIONS_MAX)
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#decompressions++
    try {
      return await decompress()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#decompressions--
      else next()
    }
  }

  /**
   * Room for a body of that length, at most KEPT_BYTES_MAX, to be given back. Fresh memory costs more than its copy;
   * the system gives none for what does not come.
   */
  takeBuffer(bytes: number): Buffer {
    const at = this.#kept.findIndex(({ length }) => length >= bytes)
    const [kept] = at === -1 ? [] : this.#kept.splice(at, 1)
    return kept ?? Buffer.allocUnsafeSlow(bytes <= KEPT_BYTES_MIN ? KEPT_BYTES_MIN : KEPT_BYTES_MAX)
  }

  giveBackBuffer(buffer: Buffer): void {
    if (this.#kept.length < KEPT_MAX) this.#kept.push(buffer)
  }
}

type Decompress = (bytes: Buffer, options: { readonly maxOutputLength: number }) => Promise<Buffer>

/** Loaded with the first of them: no start waits for it. */
const decompressors = once((): Readonly<Record<string, Decompress>> => {
  const { promisify } = process.getBuiltinModule('node:util')
  const { brotliDecompress, gunzip, inflate, zstdDecompress } =
    process.getBuiltinModule('node:zlib')
  return {
    gzip: promisify(gunzip),
    deflate: promisify(inflate),
    br: promisify(brotliDecompress),
    zstd: promisify(zstdDecompress),
  }
})

/** @throws also at once. */
export function readBody(
  request: IncomingMessage,
  budget: BodyBudget,
  bytesMax: number,
): Promise<Buffer> {
  assertLength(request, bytesMax)
  const decompress = decompressorOf(request.headers['content-encoding'])
  return decompress === null
    ? receive(request, budget, bytesMax)
    : readCompressed(request, budget, bytesMax, decompress)
}

async function readCompressed(
  request: IncomingMessage,
  budget: BodyBudget,
  bytesMax: number,
  decompress: Decompress,
): Promise<Buffer> {
  const received = await receive(request, budget, bytesMax)
  if (received.length === 0) return received
  budget.take(received.length)
  try {
    return await budget.inTurn(() => {
      // Nobody waits for it any more.
      if (request.socket.destroyed) throw brokenOff()
      return decompress(received, { maxOutputLength: bytesMax })
    })
  } catch (error) {
    if (error instanceof RequestProblem) throw error
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(bytesMax)
    throw new RequestProblem('request_invalid', 'The body is not what its Content-Encoding says.')
  } finally {
    budget.giveBack(received.length)
  }
}

/** Reads a body for as long as `use` takes, which keeps nothing of its bytes. */
export async function withBody<T>(
  request: IncomingMessage,
  budget: BodyBudget,
  bytesMax: number,
  use: (body: Buffer) => Promise<T>,
): Promise<T> {
  const declared = assertLength(request, bytesMax)
  const isPlain = decompressorOf(request.headers['content-encoding']) === null
  const isKept = isPlain && declared > CHUNK_BYTES && declared <= KEPT_BYTES_MAX
  const buffer = isKept ? budget.takeBuffer(declared) : null
  try {
    const body = isPlain
      ? await receive(request, budget, bytesMax, buffer)
      : await readBody(request, budget, bytesMax)
    // It counts for as long as it is in use.
    budget.take(body.length)
    try {
      return await use(body)
    } finally {
      budget.giveBack(body.length)
    }
  } finally {
    if (buffer !== null) budget.giveBackBuffer(buffer)
  }
}

/** What a socket gives at once. */
const CHUNK_BYTES = 64 * 1024

/** The length that the request says its body has; 0 where it says none. */
function assertLength(request: IncomingMessage, bytesMax: number): number {
  const declared = Number(request.headers['content-length'] ?? 0)
  if (declared > bytesMax) throw tooLarge(bytesMax)
  return declared
}

function decompressorOf(encoding: string | undefined): Decompress | null {
  if (encoding === undefined) return null
  const name = encoding.trim().toLowerCase()
  if (name === 'identity' || name === '') return null
  const known = decompressors()
  const decompress = Object.hasOwn(known, name) ? known[name] : undefined
  if (decompress !== undefined) return decompress
  throw new RequestProblem(
    'media_type_unsupported',
    `Content-Encoding is one of ${Object.keys(known).join(', ')}.`,
  )
}

/** Iterating over the request, and taking listeners off again, costs as much as all else of a small one. */
function receive(
  request: IncomingMessage,
  budget: BodyBudget,
  bytesMax: number,
  into: Buffer | null = null,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    /** What comes after that is let go by. */
    let isOver = false
    const end = (error: Error | null): void => {
      if (isOver) return
      isOver = true
      budget.giveBack(bytes)
      if (error !== null) reject(error)
      else if (into !== null) resolve(into.subarray(0, bytes))
      else resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks))
    }
    const take = (chunk: Buffer): void => {
      if (isOver) return
      try {
        budget.take(chunk.length)
        const position = bytes
        bytes += chunk.length
        if (bytes > bytesMax) throw tooLarge(bytesMax)
        if (into === null) chunks.push(chunk)
        else into.set(chunk, position)
      } catch (error) {
        end(error as Error)
      }
    }
    request.on('data', take)
    request.on('end', () => end(null))
    // After an error too.
    request.on('close', () => {
      if (!isOver) end(brokenOff())
    })
    if (request.closed) end(brokenOff())
  })
}

function brokenOff(): RequestProblem {
  return new RequestProblem('request_invalid', 'The body broke off.')
}

function tooLarge(bytesMax: number): RequestProblem {
  return new RequestProblem('body_too_large', `A body has at most ${bytesMax} bytes here.`, {
    connection: 'close',
  })
}
