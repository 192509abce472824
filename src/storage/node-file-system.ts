/**
 * The file-system port over node:fs. A thin shell: every method is one operation on a path, without
 * state between calls, so that the bodies can move to another thread without changing what callers
 * see.
 *
 * Files are made with mode 0600, directories with 0700.
 */
import { constants } from 'node:fs'
import * as fs from 'node:fs/promises'
import { dirname } from 'node:path'
import { StratalogError } from '../base/errors.ts'
import { errnoOf, fileError, fileTooShort } from './file-errors.ts'
import type { FileSystem, ReadableFile, WritableFile } from './file-system.ts'
import { temporaryPath, writeTemporary } from './temporary-name.ts'

const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700

/** The kernel moves at most 2 GiB − 4 KiB in one call; half of that keeps clear of the edge. */
const CALL_BYTES_MAX = 1024 ** 3

/** What `link` answers on a file system that has no hard links. */
const LINK_UNSUPPORTED: ReadonlySet<string> = new Set([
  'EPERM',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EMLINK',
])

/** Why syncing a directory that someone else made may be refused; it is then not ours to sync. */
const SYNC_NOT_OURS: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EINVAL', 'EROFS'])

export interface NodeFileSystemOptions {
  /**
   * False for a file system that is known to have no hard links. It is found out by itself when
   * left out.
   */
  readonly hardLinks?: boolean
}

export class NodeFileSystem implements FileSystem {
  readonly #hardLinks: boolean

  constructor(options: NodeFileSystemOptions = {}) {
    this.#hardLinks = options.hardLinks ?? true
  }

  async open(path: string): Promise<ReadableFile> {
    const handle = await mapped('open', path, fs.open(path, 'r'))
    try {
      const stats = await mapped('stat', path, handle.stat())
      if (stats.isDirectory()) throw notAFile(path)
      return new NodeReadableFile(path, handle, stats.size)
    } catch (error) {
      await handle.close().catch(() => {})
      throw error
    }
  }

  async create(path: string): Promise<WritableFile> {
    return new NodeWritableFile(path, await mapped('create', path, fs.open(path, 'wx', FILE_MODE)))
  }

  async read(path: string): Promise<Uint8Array> {
    const file = await this.open(path)
    try {
      return await file.read(0, file.length)
    } finally {
      await file.close()
    }
  }

  /**
   * 1. Write and sync a temporary file. A crash leaves only that.
   * 2. Link it to the name: exclusive, and the content is whole from the first instant.
   * 3. Sync the directory: from here the name survives a power cut.
   * 4. Remove the temporary name; a crash before that leaves a second name of the same file, which
   *    does no harm.
   */
  async putIfAbsent(path: string, bytes: Uint8Array): Promise<void> {
    const temporary = await writeTemporary(this, path, bytes)
    try {
      if (!this.#hardLinks || !(await this.#link(temporary, path)))
        await this.#claimAndRename(temporary, path)
      await this.syncDirectory(dirname(path))
    } finally {
      await this.remove(temporary).catch(() => {})
    }
  }

  async rename(from: string, to: string): Promise<void> {
    await mapped('rename', from, fs.rename(from, to))
  }

  async remove(path: string): Promise<void> {
    try {
      await fs.unlink(path)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw fileError(error, 'remove', path)
    }
  }

  async removeDirectory(path: string): Promise<void> {
    await mapped('remove', path, fs.rm(path, { recursive: true, force: true }))
  }

  /**
   * Each directory is synced into its parent before the next is made in it, so after a crash only
   * the deepest one that is there may have an unsynced name. That is why its parent is synced also
   * when there was nothing to make.
   */
  async makeDirectory(path: string): Promise<void> {
    const found = await this.stat(path)
    if (found !== null && !found.isDirectory) {
      throw new StratalogError(
        'file_exists',
        `Cannot make the directory ${path}: a file has that name.`,
        {
          details: { path, errno: 'EEXIST' },
        },
      )
    }
    const parent = dirname(path)
    if (found !== null) {
      await this.#syncFoundDirectory(parent)
      return
    }
    if (parent !== path) await this.makeDirectory(parent)
    try {
      await fs.mkdir(path, { mode: DIRECTORY_MODE })
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw fileError(error, 'make the directory', path)
    }
    await this.syncDirectory(parent)
  }

  async list(path: string): Promise<readonly string[]> {
    const names = await mapped('list', path, fs.readdir(path, { encoding: 'buffer' }))
    return names.sort((a, b) => Buffer.compare(a, b)).map((name) => name.toString('utf8'))
  }

  async stat(
    path: string,
  ): Promise<{ readonly length: number; readonly isDirectory: boolean } | null> {
    try {
      const stats = await fs.stat(path)
      return { length: stats.size, isDirectory: stats.isDirectory() }
    } catch (error) {
      const mappedError = fileError(error, 'stat', path)
      if (mappedError.code === 'file_not_found') return null
      throw mappedError
    }
  }

  async syncDirectory(path: string): Promise<void> {
    const handle = await mapped(
      'open the directory',
      path,
      fs.open(path, constants.O_RDONLY | constants.O_DIRECTORY),
    )
    try {
      await mapped('sync the directory', path, handle.sync())
    } finally {
      await handle.close().catch(() => {})
    }
  }

  async #syncFoundDirectory(path: string): Promise<void> {
    try {
      await this.syncDirectory(path)
    } catch (error) {
      const errno = error instanceof StratalogError ? error.details['errno'] : null
      if (typeof errno !== 'string' || !SYNC_NOT_OURS.has(errno)) throw error
    }
  }

  /** False when the file system has no hard links. */
  async #link(temporary: string, path: string): Promise<boolean> {
    try {
      await fs.link(temporary, path)
      return true
    } catch (error) {
      const errno = errnoOf(error)
      if (errno !== null && LINK_UNSUPPORTED.has(errno)) return false
      throw fileError(error, 'create', path)
    }
  }

  /**
   * Without hard links a rename gives the whole content at once but would replace a rival's file,
   * so an exclusively created claim guards it. A crash between claim and rename leaves the claim,
   * and the name then stays refused until a person has made sure that no writer is left: refusing
   * is safe, guessing is not.
   */
  async #claimAndRename(temporary: string, path: string): Promise<void> {
    const claim = temporaryPath(`${path}~claim`, 0)
    const handle = await fs.open(claim, 'wx', FILE_MODE).catch((error: unknown) => {
      if (errnoOf(error) !== 'EEXIST') throw fileError(error, 'create', claim)
      return null
    })
    if (handle === null) {
      if ((await this.stat(path)) !== null) throw taken(path)
      throw new StratalogError(
        'file_system_failed',
        `Cannot create ${path}: another writer is creating it, or one crashed doing so. If none is running, remove ${claim}.`,
        { details: { path, claim, errno: 'EEXIST' } },
      )
    }
    try {
      await handle.close()
      if ((await this.stat(path)) !== null) throw taken(path)
      await this.rename(temporary, path)
    } finally {
      await this.remove(claim)
    }
  }
}

class NodeReadableFile implements ReadableFile {
  readonly length: number
  readonly #path: string
  readonly #handle: fs.FileHandle

  constructor(path: string, handle: fs.FileHandle, length: number) {
    this.#path = path
    this.#handle = handle
    this.length = length
  }

  async read(position: number, length: number): Promise<Uint8Array> {
    if (position + length > this.length)
      throw fileTooShort(this.#path, position, length, this.length)
    const bytes = new Uint8Array(length)
    let done = 0
    while (done < length) {
      const wanted = Math.min(length - done, CALL_BYTES_MAX)
      const { bytesRead } = await mapped(
        'read',
        this.#path,
        this.#handle.read(bytes, done, wanted, position + done),
      )
      if (bytesRead === 0) throw fileTooShort(this.#path, position, length, position + done)
      done += bytesRead
    }
    return bytes
  }

  async close(): Promise<void> {
    await mapped('close', this.#path, this.#handle.close())
  }
}

class NodeWritableFile implements WritableFile {
  readonly #path: string
  readonly #handle: fs.FileHandle

  constructor(path: string, handle: fs.FileHandle) {
    this.#path = path
    this.#handle = handle
  }

  /**
   * A full disk shows first as a short count without an error; the write of the rest then fails.
   */
  async write(bytes: Uint8Array): Promise<void> {
    let done = 0
    while (done < bytes.length) {
      const wanted = Math.min(bytes.length - done, CALL_BYTES_MAX)
      const { bytesWritten } = await mapped(
        'write',
        this.#path,
        this.#handle.write(bytes, done, wanted, null),
      )
      if (bytesWritten === 0) {
        throw new StratalogError(
          'file_system_failed',
          `Cannot write ${this.#path}: the kernel took no bytes.`,
          {
            details: { path: this.#path, operation: 'write', errno: null },
          },
        )
      }
      done += bytesWritten
    }
  }

  async sync(): Promise<void> {
    await mapped('sync', this.#path, this.#handle.sync())
  }

  async close(): Promise<void> {
    await mapped('close', this.#path, this.#handle.close())
  }
}

async function mapped<T>(operation: string, path: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw fileError(error, operation, path)
  }
}

function taken(path: string): StratalogError {
  return new StratalogError('file_exists', `Cannot create ${path}: the name is taken.`, {
    details: { path, errno: 'EEXIST' },
  })
}

function notAFile(path: string): StratalogError {
  return new StratalogError('file_system_failed', `Cannot open ${path}: it is a directory.`, {
    details: { path, operation: 'open', errno: 'EISDIR' },
  })
}
