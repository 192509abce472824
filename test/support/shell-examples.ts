/** The shell examples of a page: each fenced block that opens with three backticks and `sh run`. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cliEntry } from './cli.ts'
import { readText } from './repository.ts'

export function shellExamples(path: string): readonly string[] {
  return [...readText(path).matchAll(/^```sh run\n([\s\S]*?)^```$/gm)].map(
    (match) => match[1] ?? '',
  )
}

/** Runs them as they stand, one after the other in one folder. @throws when one of them fails. */
export async function runShellExamples(blocks: readonly string[]): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'stratalog-docs-'))
  const stratalog = `stratalog() { "${process.execPath}" "${cliEntry}" "$@"; }`
  try {
    const script = ['set -euo pipefail', stratalog, ...blocks].join('\n')
    return (await promisify(execFile)('bash', ['-c', script], { cwd: folder })).stdout
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
