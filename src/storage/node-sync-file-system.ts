/**
 * The synchronous file-system port over node:fs: what the WAL thread writes with. Files are made with mode 0600,
 * directories with 0700. Syncs are called once and never again after they failed: the next one would succeed though the
 * data is gone.
 */
import * as fs from 'node:fs'
import { dirname, resolve } from 'node:path'
import { errnoOf, fileError } from './file-errors.ts'
import type { SyncFile, SyncFileSystem } from './file-system.ts'
import { writeFully } from './write-fully.ts'

const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700
const OPEN_FLAGS = { create: 'wx+', read: 'r', write: 'r+' } as const

export class NodeSyncFileSystem implements SyncFileSystem {
  open(path: string, how: 'create' | 'read' | 'write'): SyncFile {
    return new NodeSyncFile(
      path,
      attempt(how === 'create' ? 'create' : 'open', path, () =>
        fs.openSync(path, OPEN_FLAGS[how], FILE_MODE),
      ),
    )
  }

  rename(from: string, to: string): void {
    attempt('rename', from, () => fs.renameSync(from, to))
  }

  remove(path: string): void {
    attempt('remove', path, () => fs.rmSync(path, { force: true }))
  }

  list(path: string): readonly string[] {
    return attempt('list', path, () => fs.readdirSync(path)).sort()
  }

  /** Step by step: where a parent takes no names, node's own recursion never ends (`/proc`). */
  makeDirectory(path: string): void {
    const parent = dirname(resolve(path))
    try {
      fs.mkdirSync(path, { mode: DIRECTORY_MODE })
    } catch (error) {
      if (errnoOf(error) === 'EEXIST' && fs.statSync(path).isDirectory()) return
      if (errnoOf(error) !== 'ENOENT' || fs.existsSync(parent))
        throw fileError(error, 'make directory', path)
      this.makeDirectory(parent)
      attempt('make directory', path, () => fs.mkdirSync(path, { mode: DIRECTORY_MODE }))
    }
    this.syncDirectory(parent)
  }

  syncDirectory(path: string): void {
    attempt('sync directory', path, () => {
      const descriptor = fs.openSync(path, 'r')
      try {
        fs.fsyncSync(descriptor)
      } finally {
        fs.closeSync(descriptor)
      }
    })
  }
}

class NodeSyncFile implements SyncFile {
  readonly #path: string
  readonly #descriptor: number

  constructor(path: string, descriptor: number) {
    this.#path = path
    this.#descriptor = descriptor
  }

  length(): number {
    return attempt('stat', this.#path, () => fs.fstatSync(this.#descriptor).size)
  }

  write(bytes: Uint8Array, position: number): void {
    writeFully(this.#path, bytes.length, position, (from, at) =>
      attempt('write', this.#path, () =>
        fs.writeSync(this.#descriptor, bytes, from, bytes.length - from, at),
      ),
    )
  }

  read(into: Uint8Array, position: number): number {
    let total = 0
    while (total < into.length) {
      const count = attempt('read', this.#path, () =>
        fs.readSync(this.#descriptor, into, total, into.length - total, position + total),
      )
      if (count === 0) break
      total += count
    }
    return total
  }

  dataSync(): void {
    attempt('sync', this.#path, () => fs.fdatasyncSync(this.#descriptor))
  }

  sync(): void {
    attempt('sync', this.#path, () => fs.fsyncSync(this.#descriptor))
  }

  close(): void {
    attempt('close', this.#path, () => fs.closeSync(this.#descriptor))
  }
}

function attempt<T>(operation: string, path: string, call: () => T): T {
  try {
    return call()
  } catch (error) {
    throw fileError(error, operation, path)
  }
}
