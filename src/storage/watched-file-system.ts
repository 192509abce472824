/**
 * A decorator that notices when a file system may have lost what was written: a sync that fails, whatever the reason,
 * and any change that fails with an I/O error. Who writes meets that error as before; besides, the watcher is told,
 * since it concerns everyone who writes to the same disk. No room is not told of: it loses nothing.
 */
import { isStratalogError, type StratalogError } from '../base/errors.ts'
import type { FileSystem, ReadableFile, WritableFile } from './file-system.ts'

const LOSS_ERRNOS: readonly unknown[] = ['EIO', 'ENXIO', 'ENODEV']

export class WatchedFileSystem implements FileSystem {
  readonly #inner: FileSystem
  readonly #onLoss: (error: StratalogError) => void

  /** `onLoss` does not throw. */
  constructor(inner: FileSystem, onLoss: (error: StratalogError) => void) {
    this.#inner = inner
    this.#onLoss = onLoss
  }

  open(path: string): Promise<ReadableFile> {
    return this.#inner.open(path)
  }

  async create(path: string): Promise<WritableFile> {
    const file = await this.#watch(this.#inner.create(path))
    return {
      write: (bytes) => this.#watch(file.write(bytes)),
      sync: () => this.#watch(file.sync(), true),
      close: () => this.#watch(file.close()),
    }
  }

  read(path: string): Promise<Uint8Array> {
    return this.#inner.read(path)
  }

  putIfAbsent(path: string, bytes: Uint8Array): Promise<void> {
    return this.#watch(this.#inner.putIfAbsent(path, bytes))
  }

  rename(from: string, to: string): Promise<void> {
    return this.#watch(this.#inner.rename(from, to))
  }

  remove(path: string): Promise<void> {
    return this.#watch(this.#inner.remove(path))
  }

  removeDirectory(path: string): Promise<void> {
    return this.#watch(this.#inner.removeDirectory(path))
  }

  makeDirectory(path: string): Promise<void> {
    return this.#watch(this.#inner.makeDirectory(path))
  }

  list(path: string): Promise<readonly string[]> {
    return this.#inner.list(path)
  }

  stat(path: string): Promise<{ readonly length: number; readonly isDirectory: boolean } | null> {
    return this.#inner.stat(path)
  }

  syncDirectory(path: string): Promise<void> {
    return this.#watch(this.#inner.syncDirectory(path), true)
  }

  async #watch<T>(change: Promise<T>, isSync = false): Promise<T> {
    try {
      return await change
    } catch (error) {
      if (isStratalogError(error) && (isSync ? isOfSync(error) : isLoss(error))) this.#onLoss(error)
      throw error
    }
  }
}

/** A sync that was refused before it began, because its directory cannot be opened, lost nothing. */
function isOfSync({ kind, details }: StratalogError): boolean {
  const { operation } = details
  const isOpening = typeof operation === 'string' && operation.startsWith('open')
  return kind === 'unavailable' && !isOpening
}

function isLoss({ details }: StratalogError): boolean {
  const { errno, operation } = details
  const isSync = typeof operation === 'string' && operation.startsWith('sync')
  return isSync || LOSS_ERRNOS.includes(errno)
}
