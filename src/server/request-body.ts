/** Bodies of requests: within limits, counted against one budget for all of them, decompressed within limits too. */
import type { IncomingMessage } from 'node:http'
import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib'
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

const DECOMPRESS: Readonly<Record<string, Decompress>> = {
  gzip: promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
  zstd: promisify(zstdDecompress),
}

export async function readBody(
  request: IncomingMessage,
  budget: BodyBudget,
  bytesMax: number,
): Promise<Buffer> {
  assertLength(request, bytesMax)
  const decompress = decompressorOf(request.headers['content-encoding'])
  const received = await receive(request, budget, bytesMax)
  if (decompress === null || received.length === 0) return received
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
  const isKept = declared > CHUNK_BYTES && declared <= KEPT_BYTES_MAX
  if (!isKept || decompressorOf(request.headers['content-encoding']) !== null)
    return counted(await readBody(request, budget, bytesMax), budget, use)
  const buffer = budget.takeBuffer(declared)
  try {
    return await counted(await receive(request, budget, bytesMax, buffer), budget, use)
  } finally {
    budget.giveBackBuffer(buffer)
  }
}

/** A body counts for as long as it is in use. */
async function counted<T>(
  body: Buffer,
  budget: BodyBudget,
  use: (body: Buffer) => Promise<T>,
): Promise<T> {
  budget.take(body.length)
  try {
    return await use(body)
  } finally {
    budget.giveBack(body.length)
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
  const name = (encoding ?? 'identity').trim().toLowerCase()
  if (name === 'identity' || name === '') return null
  const decompress = Object.hasOwn(DECOMPRESS, name) ? DECOMPRESS[name] : undefined
  if (decompress !== undefined) return decompress
  throw new RequestProblem(
    'media_type_unsupported',
    `Content-Encoding is one of ${Object.keys(DECOMPRESS).join(', ')}.`,
  )
}

async function receive(
  request: IncomingMessage,
  budget: BodyBudget,
  bytesMax: number,
  into: Buffer | null = null,
): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  // Iterating over the request costs as much as all else of a small one.
  const { promise: isWhole, resolve, reject } = Promise.withResolvers<boolean>()
  const ended = (): void => resolve(true)
  const broken = (): void => resolve(false)
  const take = (chunk: Buffer): void => {
    try {
      budget.take(chunk.length)
      const position = bytes
      bytes += chunk.length
      if (bytes > bytesMax) throw tooLarge(bytesMax)
      if (into === null) chunks.push(chunk)
      else into.set(chunk, position)
    } catch (error) {
      reject(error)
    }
  }
  request.on('data', take).on('end', ended).on('error', broken).on('close', broken)
  try {
    if (!(await isWhole)) throw brokenOff()
  } finally {
    // What else comes is let go by.
    request.off('data', take).off('end', ended).off('error', broken).off('close', broken)
    budget.giveBack(bytes)
  }
  if (into !== null) return into.subarray(0, bytes)
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)
}

function brokenOff(): RequestProblem {
  return new RequestProblem('request_invalid', 'The body broke off.')
}

function tooLarge(bytesMax: number): RequestProblem {
  return new RequestProblem('body_too_large', `A body has at most ${bytesMax} bytes here.`, {
    connection: 'close',
  })
}
