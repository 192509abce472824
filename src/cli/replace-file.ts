import { rename, writeFile } from 'node:fs/promises'
import { StratalogError } from '../base/errors.ts'

/** Whoever reads the file, also after a crash, finds the text of before or this one. @throws `file_system_failed`. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`
  try {
    await writeFile(temporary, text, { flush: true, mode: 0o600 })
    await rename(temporary, path)
  } catch (error) {
    const { message } = error as Error
    throw new StratalogError('file_system_failed', `${path} cannot be written: ${message}.`, {
      cause: error,
    })
  }
}
