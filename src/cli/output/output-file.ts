/**
 * A file that is there whole or not at all: written under a temporary name beside its own, synced, and then given its
 * name. What is there already is replaced only where that is asked for.
 */
import { type WriteStream, createWriteStream } from 'node:fs'
import { link, lstat, rename, unlink } from 'node:fs/promises'
import { once } from 'node:events'
import { basename } from 'node:path'
import type { Writable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { createGzip, createZstdCompress } from 'node:zlib'
import { StratalogError } from '../../base/errors.ts'
import { errnoOf, fileError } from '../../storage/file-errors.ts'
import { temporaryPath } from '../../storage/temporary-name.ts'
import type { ByteSink } from './output-format.ts'

export interface OutputFileOptions {
  readonly path: string
  /** Replaces a file that is there. */
  readonly isForced: boolean
}

export class OutputFile implements ByteSink {
  readonly #path: string
  readonly #isForced: boolean
  readonly #temporary: string
  readonly #file: WriteStream
  readonly #head: Writable
  /** Settles when all bytes are synced, or with what went wrong. */
  readonly #written: Promise<void>

  private constructor({ path, isForced }: OutputFileOptions, temporary: string, file: WriteStream) {
    this.#path = path
    this.#isForced = isForced
    this.#temporary = temporary
    this.#file = file
    const compressor = compressorOf(path)
    this.#head = compressor ?? file
    this.#written = compressor === null ? finished(file) : pipeline(compressor, file)
    // Whoever writes or commits is told.
    this.#written.catch(() => {})
  }

  /** @throws StratalogError `file_exists`, `argument_invalid` for what is no file, and what the file system says. */
  static async open(options: OutputFileOptions): Promise<OutputFile> {
    const { path, isForced } = options
    const there = await lstat(path).catch(() => null)
    if (there !== null && !there.isFile())
      throw new StratalogError('argument_invalid', `${path} is there, and it is no file.`)
    if (there !== null && !isForced) throw fileExists(path)
    const temporary = temporaryPath(path, process.pid)
    const file = createWriteStream(temporary, { flags: 'wx', flush: true })
    try {
      await once(file, 'open')
    } catch (error) {
      throw fileError(error, 'write', temporary)
    }
    return new OutputFile(options, temporary, file)
  }

  /** Bytes written so far, as they are stored. */
  get bytesWritten(): number {
    return this.#file.bytesWritten
  }

  write(chunk: string | Uint8Array): Promise<void> {
    if (chunk.length === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#head.write(chunk, (error) => {
        if (error === null || error === undefined) resolve()
        else reject(fileError(error, 'write', this.#path))
      })
    })
  }

  /** Gives the file its name. @throws StratalogError `file_exists` for one that came meanwhile. */
  async commit(): Promise<void> {
    try {
      this.#head.end()
      await this.#written
      if (this.#isForced) await rename(this.#temporary, this.#path)
      else await nameOnce(this.#temporary, this.#path)
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') throw fileExists(this.#path)
      throw fileError(error, 'write', this.#path)
    }
  }

  /** Takes away what was written. */
  async discard(): Promise<void> {
    this.#head.destroy()
    this.#file.destroy()
    await this.#written.catch(() => {})
    await unlink(this.#temporary).catch(() => {})
  }
}

/** A link is refused where the name is taken, which a rename is not; some file systems have no links. */
async function nameOnce(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path)
  } catch (error) {
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(errnoOf(error) ?? '')) throw error
    await rename(temporary, path)
    return
  }
  await unlink(temporary)
}

function compressorOf(path: string): ReturnType<typeof createGzip> | null {
  if (/\.gz$/i.test(path)) return createGzip()
  return /\.zst$/i.test(path) ? createZstdCompress() : null
}

function fileExists(path: string): StratalogError {
  return new StratalogError(
    'file_exists',
    `${basename(path)} is there already; replace it with --force, or name another.`,
    { details: { path } },
  )
}
