/**
 * Brings what node:fs throws to the errors of the file-system port. Pure; used by every
 * implementation over node:fs.
 */
import { StratalogError, type ErrorCode } from '../base/errors.ts'

const CODE_BY_ERRNO: Readonly<Record<string, ErrorCode>> = {
  ENOENT: 'file_not_found',
  ENOTDIR: 'file_not_found',
  EEXIST: 'file_exists',
  ENOSPC: 'disk_full',
  EDQUOT: 'disk_full',
  // The process, or the file system, lets no file grow further.
  EFBIG: 'disk_full',
  EROFS: 'disk_read_only',
}

/** The symbolic errno of an error from node:fs, such as `ENOENT`; null when it carries none. */
export function errnoOf(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error)) return null
  return typeof error.code === 'string' ? error.code : null
}

/** `operation` is a verb phrase such as `read`; the message becomes "Cannot read /path: …". */
export function fileError(error: unknown, operation: string, path: string): StratalogError {
  if (error instanceof StratalogError) return error
  const errno = errnoOf(error)
  const code = (errno === null ? undefined : CODE_BY_ERRNO[errno]) ?? 'file_system_failed'
  const reason = error instanceof Error ? error.message : String(error)
  return new StratalogError(code, `Cannot ${operation} ${path}: ${reason}`, {
    cause: error,
    details: { path, operation, errno },
  })
}

/** A read that asked for bytes past the end of a file. */
export function fileTooShort(
  path: string,
  position: number,
  length: number,
  fileLength: number,
): StratalogError {
  return new StratalogError(
    'file_corrupt',
    `${path} ends at byte ${fileLength}; bytes ${position} to ${position + length} were expected.`,
    { details: { path, position, length, fileLength } },
  )
}
