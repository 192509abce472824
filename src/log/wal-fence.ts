/**
 * Whether this process still is the writer of its directory, as the WAL's writer asks: the lock file holds the text
 * that this writer put there. A successor replaces it, durably, before it claims an epoch and before it reads the WAL.
 *
 * So an append that is acknowledged after a look that succeeded, and whose bytes were durable before it, is one that
 * any successor reads: it cannot have begun to read before the look. That holds however long the process is stopped
 * between the look and the acknowledgement.
 */
import { isStratalogError, StratalogError } from '../base/errors.ts'
import type { SyncFileSystem } from '../storage/file-system.ts'

export interface WalFence {
  readonly path: string
  /** What the file holds while this writer is the one. */
  readonly text: string
  /**
   * Whether to look before each write as well. Where a kernel lock keeps others out as long as this process lives, only
   * somebody who removes its file could let a successor in, and a look before each acknowledgement is enough.
   */
  readonly isStrict: boolean
}

/** @throws StratalogError `writer_fenced`; or of the file system, when it cannot be known. */
export function assertHolder(fileSystem: SyncFileSystem, { path, text }: WalFence): void {
  const found = readText(fileSystem, path, Buffer.byteLength(text) + 1)
  if (found === text) return
  throw new StratalogError(
    'writer_fenced',
    `Another process has taken ${path}: this one must not write any more.`,
    { details: { path, rival: found } },
  )
}

function readText(fileSystem: SyncFileSystem, path: string, length: number): string | null {
  try {
    const file = fileSystem.open(path, 'read')
    try {
      const bytes = new Uint8Array(length)
      return Buffer.from(bytes.subarray(0, file.read(bytes, 0))).toString('utf8')
    } finally {
      file.close()
    }
  } catch (error) {
    if (isStratalogError(error) && error.code === 'file_not_found') return null
    throw error
  }
}
