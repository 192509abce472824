/** The examples of docs/cli.md run as they stand, and every command has one. */
import { expect, test } from 'vitest'
import { runCli } from '../support/cli.ts'
import { runShellExamples, shellExamples } from '../support/shell-examples.ts'

const blocks = shellExamples('docs/cli.md')

// Some thirty processes: on a machine that does much else they take their time.
test('the examples run one after the other', { timeout: 600_000 }, async () => {
  const stdout = await runShellExamples(blocks)
  for (const part of [
    '{"partition":0,"offset":2,"count":1}',
    'before-upgrade',
    'PASS',
    'verdict PASS',
  ]) {
    expect(stdout).toContain(part)
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
