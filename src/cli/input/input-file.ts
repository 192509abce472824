/** Files and standard input as byte streams: decompressed, with the first bytes looked at and the read bytes counted. */
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, open, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { type Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { StratalogError } from '../../base/errors.ts'

/** Enough of a file to know its format by. */
const HEAD_BYTES = 64 * 1024

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
  const stored: Readable = name === '-' ? process.stdin : createReadStream(name, { highWaterMark: 1024 * 1024 })
  const counter = new ByteCounter()
  const counted = stored.pipe(counter)
  stored.on('error', (error) => counted.destroy(error))
  const start = await peek(counted, 4)
  const compression = compressionOf(start)
  const plain = compression === null ? counted : decompressed(counted, compression)
  const head = await peek(plain, HEAD_BYTES).catch((error: unknown) => {
    throw unreadable(name, error)
  })
  return {
    name,
    length,
    compression,
    head,
    bytesRead: () => counter.count,
    bytes: () => guarded(name, plain),
    withPath: (use) => (name !== '-' && compression === null ? use(name) : withCopy(name, plain, use)),
    close: () => {
      stored.destroy()
      plain.destroy()
    },
  }
}

class ByteCounter extends Transform {
  count = 0

  override _transform(chunk: Uint8Array, _encoding: string, done: (error: null, chunk: Uint8Array) => void): void {
    this.count += chunk.length
    done(null, chunk)
  }
}

async function fileLength(path: string): Promise<number> {
  const found = await stat(path).catch((error: unknown) => {
    throw new StratalogError('file_not_found', `There is no file ${path}.`, { cause: error, details: { path } })
  })
  if (found.isDirectory()) {
    throw new StratalogError('input_invalid', `${path} is a directory; give files.`, { details: { path } })
  }
  const file = await open(path).catch((error: unknown) => {
    throw unreadable(path, error)
  })
  await file.close()
  return found.size
}

/** The first bytes of a stream, up to `length`; they stay in the stream. */
async function peek(stream: Readable, length: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let count = 0
  while (count < length) {
    const chunk = (await nextChunk(stream)) as Uint8Array | null
    if (chunk === null) break
    chunks.push(chunk)
    count += chunk.length
  }
  const head = Buffer.concat(chunks)
  if (head.length > 0) stream.unshift(head)
  return head.subarray(0, length)
}

/** The next chunk, or null at the end. Leaves a stream that has ended readable to the end. */
function nextChunk(stream: Readable): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const attempt = (): void => {
      const chunk: unknown = stream.read()
      if (chunk !== null) settle(() => resolve(chunk))
      else if (stream.readableEnded) settle(() => resolve(null))
    }
    const onEnd = (): void => settle(() => resolve(null))
    const onError = (error: Error): void => settle(() => reject(error))
    const settle = (act: () => void): void => {
      stream.off('readable', attempt)
      stream.off('end', onEnd)
      stream.off('error', onError)
      act()
    }
    stream.on('readable', attempt)
    stream.on('end', onEnd)
    stream.on('error', onError)
    attempt()
  })
}

function compressionOf(start: Uint8Array): Compression | null {
  const [a, b, c, d] = start
  if (a === 0x1f && b === 0x8b) return 'gzip'
  if (a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd) return 'zstd'
  return null
}

function decompressed(stream: Readable, compression: Compression): Transform {
  const transform = compression === 'gzip' ? createGunzip() : createZstdDecompress()
  stream.on('error', (error) => transform.destroy(error))
  return stream.pipe(transform)
}

async function* guarded(name: string, stream: Readable): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of stream) yield chunk as Uint8Array
  } catch (error) {
    throw unreadable(name, error)
  }
}

async function withCopy<T>(name: string, stream: Readable, use: (path: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'stratalog-import-'))
  try {
    const path = join(directory, 'input')
    await pipeline(stream, createWriteStream(path, { mode: 0o600 })).catch((error: unknown) => {
      throw unreadable(name, error)
    })
    return await use(path)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

function unreadable(name: string, cause: unknown): StratalogError {
  const shown = name === '-' ? 'Standard input' : name
  return new StratalogError('input_invalid', `${shown} cannot be read: ${(cause as Error).message}.`, {
    cause,
    details: { path: name },
  })
}
