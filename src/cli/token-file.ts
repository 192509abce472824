/** The file of tokens: read as it is, and replaced whole, readable by its owner only. */
import { open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { StratalogError } from '../base/errors.ts'
import { type StoredToken, decodeTokens, encodeTokens } from '../server/tokens.ts'

/** @throws StratalogError `file_not_found`. */
export async function readTokenFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new StratalogError(
      'file_not_found',
      `The tokens ${path} cannot be read: ${(error as Error).message}. Make one with 'stratalog token create'.`,
      { cause: error, details: { path } },
    )
  }
}

/** @throws StratalogError `file_not_found`, `config_invalid`. */
export async function storedTokens(path: string): Promise<readonly StoredToken[]> {
  return decodeTokens(await readTokenFile(path))
}

/** Whoever reads the file meanwhile, or after a crash, finds the tokens of before or of after. */
export async function writeTokenFile(path: string, tokens: readonly StoredToken[]): Promise<void> {
  const temporary = `${path}.new`
  const file = await open(temporary, 'w', 0o600)
  try {
    await file.writeFile(encodeTokens(tokens))
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  const folder = await open(dirname(path), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
