/** Files and standard input as byte streams: decompressed, looked into, and counted. */
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, open, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { present } from '../../base/assert.ts'
import { StratalogError, isStratalogError } from '../../base/errors.ts'

/** Enough of a file to know its format by. */
const HEAD_BYTES = 64 * 1024

const READ_BYTES = 1024 * 1024

export const PASSING_CHUNKS = 4

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
  /** The same, but a chunk holds only until so many others as `PASSING_CHUNKS` were asked for. */
  passingBytes(): AsyncIterable<Uint8Array>
  /** Runs with a path that holds all bytes after decompression: the file itself, or a copy that is removed after. */
  withPath<T>(use: (path: string) => Promise<T>): Promise<T>
  close(): void
}

/** @throws StratalogError `file_not_found`, `input_invalid`. */
export async function openInput(name: string): Promise<InputFile> {
  const file = name === '-' ? null : await fileFacts(name)
  const stored: Readable =
    name === '-' ? process.stdin : createReadStream(name, { highWaterMark: READ_BYTES })
  const counted = new CountedBytes(stored)
  const raw = new PeekedBytes(guarded(name, counted))
  const compression = compressionOf(await raw.peek(4))
  const plain =
    compression === null ? raw : new PeekedBytes(guarded(name, decompressed(raw, compression)))
  const head = await plain.peek(HEAD_BYTES)
  const closing = new AbortController()
  const isReadAgain = file?.isRegular === true && compression === null
  return {
    name,
    length: file?.length ?? null,
    compression,
    head,
    bytesRead: () => counted.count,
    bytes: () => plain,
    passingBytes: () => {
      if (!isReadAgain) return plain
      stored.destroy()
      counted.count = 0
      return guarded(name, rereadBytes(name, counted, closing.signal))
    },
    withPath: (use) => (name !== '-' && compression === null ? use(name) : withCopy(plain, use)),
    close: () => {
      stored.destroy()
      closing.abort()
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

/**
 * The bytes of a file, read into the same few buffers again and again: V8 collects all its garbage for every few
 * megabytes of fresh ones. One chunk is read ahead.
 */
async function* rereadBytes(
  name: string,
  counted: CountedBytes,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  await using file = await open(name)
  const buffers = Array.from({ length: PASSING_CHUNKS + 1 }, () => new Uint8Array(READ_BYTES))
  const read = async (turn: number): Promise<Uint8Array> => {
    const buffer = present(buffers[turn % buffers.length], 'a buffer')
    const { bytesRead } = await file.read(buffer, 0, READ_BYTES)
    return buffer.subarray(0, bytesRead)
  }
  let ahead = read(0)
  for (let turn = 1; ; turn++) {
    const chunk = await ahead
    signal.throwIfAborted()
    if (chunk.length === 0) return
    counted.count += chunk.length
    ahead = read(turn)
    // It is awaited next.
    ahead.catch(() => {})
    yield chunk
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

async function fileFacts(
  path: string,
): Promise<{ readonly length: number; readonly isRegular: boolean }> {
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
  return { length: found.size, isRegular: found.isFile() }
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
