/** The loop that every synchronous write needs: a full disk answers with fewer bytes and no error. */
import { isStratalogError, StratalogError } from '../base/errors.ts'

/**
 * Calls `writeOnce(from, position)` until all of `length` bytes are written, counting from `from` in the buffer.
 * @throws `file_system_failed` when a call makes no progress, and what a call throws; `details.written` says how many
 * bytes were taken before.
 */
export function writeFully(
  path: string,
  length: number,
  position: number,
  writeOnce: (from: number, position: number) => number,
): void {
  let written = 0
  while (written < length) {
    const count = attempt(written, () => writeOnce(written, position + written))
    if (count <= 0) {
      throw new StratalogError(
        'file_system_failed',
        `Cannot write ${path}: the system takes no more bytes.`,
        {
          details: { path, operation: 'write', errno: null, position: position + written, written },
        },
      )
    }
    written += count
  }
}

function attempt(written: number, call: () => number): number {
  try {
    return call()
  } catch (error) {
    if (!isStratalogError(error)) throw error
    const { code, message, cause, details } = error
    throw new StratalogError(code, message, { cause, details: { ...details, written } })
  }
}
