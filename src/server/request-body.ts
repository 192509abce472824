/** Bodies of requests: within limits, counted against one budget for all of them, decompressed within limits too. */
import type { IncomingMessage } from 'node:http'
import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib'
import { RequestProblem } from './http-error.ts'

/** What all bodies together hold of RAM. */
export class BodyBudget {
  readonly #bytesMax: number
  #bytes = 0

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
  const declared = Number(request.headers['content-length'] ?? 0)
  if (declared > bytesMax) throw tooLarge(bytesMax)
  const decompress = decompressorOf(request.headers['content-encoding'])
  const received = await receive(request, budget, bytesMax)
  if (decompress === null || received.length === 0) return received
  budget.take(received.length)
  try {
    return await decompress(received, { maxOutputLength: bytesMax })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(bytesMax)
    throw new RequestProblem('request_invalid', 'The body is not what its Content-Encoding says.')
  } finally {
    budget.giveBack(received.length)
  }
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
      bytes += chunk.length
      if (bytes > bytesMax) throw tooLarge(bytesMax)
      chunks.push(chunk)
    } catch (error) {
      reject(error)
    }
  }
  request.on('data', take).on('end', ended).on('error', broken).on('close', broken)
  try {
    if (!(await isWhole)) throw new RequestProblem('request_invalid', 'The body broke off.')
  } finally {
    // What else comes is let go by.
    request.off('data', take).off('end', ended).off('error', broken).off('close', broken)
    budget.giveBack(bytes)
  }
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)
}

function tooLarge(bytesMax: number): RequestProblem {
  return new RequestProblem('body_too_large', `A body has at most ${bytesMax} bytes here.`, {
    connection: 'close',
  })
}
