/** The examples of docs/http-api.md run as they stand. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { cliEntry } from '../support/cli.ts'
import { readText } from '../support/repository.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const page = readText('docs/http-api.md')
const blocks = [...page.matchAll(/^```sh run\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? '')

test('the examples run one after the other', { timeout: 600_000 }, async () => {
  const cwd = await temporaryDirectory()
  const stratalog = `stratalog() { "${process.execPath}" "${cliEntry}" "$@"; }`
  const script = ['set -euo pipefail', stratalog, ...blocks].join('\n')
  const { stdout } = await promisify(execFile)('bash', ['-c', script], { cwd })
  for (const part of ['{"status":"ready"}', '"item":"tea"', '"streamClosed":true', 'cup'])
    expect(stdout).toContain(part)
})
