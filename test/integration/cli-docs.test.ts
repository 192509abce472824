/** The examples of docs/cli.md run as they stand, and every command has one. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { cliEntry, runCli } from '../support/cli.ts'
import { readText } from '../support/repository.ts'

const page = readText('docs/cli.md')
const blocks = [...page.matchAll(/^```sh run\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? '')

// Some thirty processes: on a machine that does much else they take their time.
test('the examples run one after the other', { timeout: 600_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'stratalog-docs-'))
  const stratalog = `stratalog() { "${process.execPath}" "${cliEntry}" "$@"; }`
  try {
    const script = ['set -euo pipefail', stratalog, ...blocks].join('\n')
    const { stdout } = await promisify(execFile)('bash', ['-c', script], { cwd: folder })
    for (const part of [
      '{"partition":0,"offset":2,"count":1}',
      'before-upgrade',
      'PASS',
      'verdict PASS',
    ]) {
      expect(stdout).toContain(part)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('every command has an example', async () => {
  const { stdout } = await runCli(['--help'])
  const commands = [...stdout.matchAll(/^ {2}(\w+) .*\w/gm)]
    .map((match) => match[1] ?? '')
    .filter((name) => name !== 'help' && name !== 'stratalog')
  const examples = blocks.join('\n')
  expect(commands.length).toBeGreaterThan(10)
  expect(commands.filter((name) => !examples.includes(`stratalog ${name} `))).toEqual([])
})
