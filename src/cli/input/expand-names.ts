import { glob, stat } from 'node:fs/promises'
import { StratalogError } from '../../base/errors.ts'

const PATTERN = /[*?[{]/

/**
 * Names as they are, and for each pattern the files that it means, by name. A file that is called like a pattern is
 * itself. @throws StratalogError `file_not_found` for a pattern that means none.
 */
export async function expandNames(names: readonly string[]): Promise<readonly string[]> {
  const expanded: string[] = []
  for (const name of names) expanded.push(...(await filesOf(name)))
  return expanded
}

async function filesOf(name: string): Promise<readonly string[]> {
  if (!PATTERN.test(name) || (await isThere(name))) return [name]
  const files: string[] = []
  for await (const entry of glob(name, { withFileTypes: true })) {
    if (!entry.isDirectory()) files.push(`${entry.parentPath}/${entry.name}`)
  }
  if (files.length > 0) return files.sort()
  throw new StratalogError('file_not_found', `No file is called like ${name}.`, {
    details: { path: name },
  })
}

async function isThere(name: string): Promise<boolean> {
  const found = await stat(name).catch(() => null)
  return found !== null
}
