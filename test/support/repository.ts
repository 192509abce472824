/** Reads the repository's own files, for the tests that judge them. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { SourceFile } from './source-text.ts'

export const repositoryRoot: string = fileURLToPath(new URL('../../', import.meta.url))

/** Every file below `folder` whose name ends in `ending`, in a fixed order. */
export function filesBelow(folder: string, ending: string): SourceFile[] {
  return readdirSync(join(repositoryRoot, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) =>
      join(entry.parentPath, entry.name).slice(repositoryRoot.length).replaceAll(sep, '/'),
    )
    .sort()
    .map((path) => ({ path, text: readText(path) }))
}

/** The text of one file, by its path from the root. */
export function readText(path: string): string {
  return readFileSync(join(repositoryRoot, path), 'utf8')
}
