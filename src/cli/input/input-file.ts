/** Files and standard input as byte streams: decompressed, looked into, and counted. */
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, open, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { StratalogError, isStratalogError } from '../../base/errors.ts'

/** Enough of a file to know its format by. */
const HEAD_BYTES = 64 * 1024

const READ_BYTES = 1024 * 1024

export type Compression = 'gzip' | 'zstd'

export interface InputFile {
  /** As the user wrote it; `-` is standard input. */
  readonly name: string
  /** Length in bytes as stored; null when it is not known. */
  readonly length: number | null
  readonly compression: Compression | null
  /** The first bytes after decompression. */
  readonly head: Uint8Array
  /** Bytes taken from the file so far, as stored. */
  bytesRead(): number
  /** All bytes after decompression; once. */
  bytes(): AsyncIterable<Uint8Array>
  /** Runs with a path that holds all bytes after decompression: the file itself, or a copy that is removed after. */
  withPath<T>(use: (path: string) => Promise<T>): Promise<T>
  close(): void
}

/** @throws StratalogError `file_not_found`, `input_invalid`. */
export async function openInput(name: string): Promise<InputFile> {
  const length = name === '-' ? null : await fileLength(name)
  const stored: Readable =
    name === '-' ? process.stdin : createReadStream(name, { highWaterMark: READ_BYTES })
  const counted = new CountedBytes(stored)
  const raw = new PeekedBytes(guarded(name, counted))
  const compression = compressionOf(await raw.peek(4))
  const plain =
    compression === null ? raw : new PeekedBytes(guarded(name, decompressed(raw, compression)))
  const head = await plain.peek(HEAD_BYTES)
  return {
    name,
    length,
    compression,
    head,
    bytesRead: () => counted.count,
    bytes: () => plain,
    withPath: (use) => (name !== '-' && compression === null ? use(name) : withCopy(plain, use)),
    close: () => {
      stored.destroy()
    },
  }
}

/** Bytes of a stream, counted as they are taken. */
class CountedBytes implements AsyncIterable<Uint8Array> {
  count = 0
  readonly #stream: Readable

  constructor(stream: Readable) {
    this.#stream = stream
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of this.#stream) {
      const bytes = chunk as Uint8Array
      this.count += bytes.length
      yield bytes
    }
  }
}

/** Bytes that are read once, of which the first can be looked at before. */
class PeekedBytes implements AsyncIterable<Uint8Array> {
  readonly #source: AsyncIterator<Uint8Array>
  readonly #peeked: Uint8Array[] = []

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** The first `length` bytes, or all there are. */
  async peek(length: number): Promise<Uint8Array> {
    let count = this.#peeked.reduce((sum, chunk) => sum + chunk.length, 0)
    while (count < length) {
      const next = await this.#source.next()
      if (next.done === true) break
      this.#peeked.push(next.value)
      count += next.value.length
    }
    return Buffer.concat(this.#peeked).subarray(0, length)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    yield* this.#peeked
    for (let next = await this.#source.next(); next.done !== true; next = await this.#source.next())
      yield next.value
  }
}

async function fileLength(path: string): Promise<number> {
  const found = await stat(path).catch((error: unknown) => {
    throw new StratalogError('file_not_found', `There is no file ${path}.`, {
      cause: error,
      details: { path },
    })
  })
  if (found.isDirectory()) {
    throw new StratalogError('input_invalid', `${path} is a directory; give files.`, {
      details: { path },
    })
  }
  const file = await open(path).catch((error: unknown) => {
    throw unreadable(path, error)
  })
  await file.close()
  return found.size
}

function compressionOf(start: Uint8Array): Compression | null {
  const [a, b, c, d] = start
  if (a === 0x1f && b === 0x8b) return 'gzip'
  if (a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd) return 'zstd'
  return null
}

function decompressed(
  bytes: AsyncIterable<Uint8Array>,
  compression: Compression,
): AsyncIterable<Uint8Array> {
  const transform = compression === 'gzip' ? createGunzip() : createZstdDecompress()
  const source = Readable.from(bytes, { objectMode: false })
  source.on('error', (error) => transform.destroy(error))
  return source.pipe(transform)
}

async function* guarded(
  name: string,
  bytes: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for await (const chunk of bytes) yield chunk
  } catch (error) {
    throw isStratalogError(error) ? error : unreadable(name, error)
  }
}

async function withCopy<T>(
  bytes: AsyncIterable<Uint8Array>,
  use: (path: string) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'stratalog-import-'))
  try {
    const path = join(directory, 'input')
    await pipeline(bytes, createWriteStream(path, { mode: 0o600 }))
    return await use(path)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

function unreadable(name: string, cause: unknown): StratalogError {
  const shown = name === '-' ? 'Standard input' : name
  return new StratalogError(
    'input_invalid',
    `${shown} cannot be read: ${(cause as Error).message}.`,
    {
      cause,
      details: { path: name },
    },
  )
}
