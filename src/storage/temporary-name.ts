/**
 * Names of files that are being written and have no meaning yet: `<name>~<number>.tmp` beside the
 * final name.
 *
 * - '~' occurs in no object key and in no name that `format/paths.ts` builds, so a temporary file
 *   is never taken for a real one.
 * - Rivals get different numbers by exclusive create; no randomness and no process id is needed.
 * - A crash leaves some behind. Who owns a directory removes them when it opens it; readers skip
 *   them.
 */
import { isStratalogError, StratalogError } from '../base/errors.ts'
import type { FileSystem, WritableFile } from './file-system.ts'

const TEMPORARY_NAME_PATTERN = /~\d+\.tmp$/

/** More stale files than this beside one name mean that nobody cleans up. */
const TEMPORARY_NUMBERS_MAX = 10_000

/** Whether a file name is that of an unfinished file, by its form. */
export function isTemporaryName(name: string): boolean {
  return TEMPORARY_NAME_PATTERN.test(name)
}

export function temporaryPath(path: string, number: number): string {
  return `${path}~${number}.tmp`
}

/** Creates a file under the first free temporary name beside `path`. */
export async function createTemporary(
  fileSystem: FileSystem,
  path: string,
): Promise<{ readonly path: string; readonly file: WritableFile }> {
  for (let number = 0; number < TEMPORARY_NUMBERS_MAX; number++) {
    const temporary = temporaryPath(path, number)
    try {
      return { path: temporary, file: await fileSystem.create(temporary) }
    } catch (error) {
      if (!isStratalogError(error) || error.code !== 'file_exists') throw error
    }
  }
  throw new StratalogError(
    'file_system_failed',
    `Too many unfinished files beside ${path}; remove those that end in .tmp when nothing else writes there.`,
    { details: { path, errno: 'EEXIST' } },
  )
}

/**
 * Writes, syncs and closes a new temporary file beside `path`; removes it again when that fails.
 * Returns its path.
 */
export async function writeTemporary(
  fileSystem: FileSystem,
  path: string,
  bytes: Uint8Array,
): Promise<string> {
  const temporary = await createTemporary(fileSystem, path)
  try {
    await temporary.file.write(bytes)
    await temporary.file.sync()
  } catch (error) {
    await temporary.file.close().catch(() => {})
    await fileSystem.remove(temporary.path).catch(() => {})
    throw error
  }
  await temporary.file.close()
  return temporary.path
}
