/** Whether a disk takes and keeps bytes now: by writing some, syncing them, and taking them away again. */
import { isStratalogError } from '../base/errors.ts'
import type { FileSystem } from './file-system.ts'
import { createTemporary } from './temporary-name.ts'

/** @throws StratalogError why not, as the file system says it. */
export async function probeDisk(
  fileSystem: FileSystem,
  directory: string,
  bytes: number,
): Promise<void> {
  const { path, file } = await createTemporary(fileSystem, `${directory}/probe`)
  try {
    try {
      await file.write(new Uint8Array(bytes))
      await file.sync()
    } finally {
      await file.close()
    }
    await fileSystem.syncDirectory(directory)
  } finally {
    await remove(fileSystem, path)
  }
}

/** What is left of a probe is removed by the next open; a failure to do so now says nothing new. */
async function remove(fileSystem: FileSystem, path: string): Promise<void> {
  try {
    await fileSystem.remove(path)
  } catch (error) {
    if (!isStratalogError(error)) throw error
  }
}
