/** The examples of docs/cli.md run as they stand, and every command has one. */
import type { Command } from 'commander'
import { expect, test } from 'vitest'
import { buildProgram } from '../../src/cli/program.ts'
import { SERVER_COMMANDS } from '../../src/cli/server-commands.ts'
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

test('every command has an example', () => {
  const session = { terminal: {}, signal: new AbortController().signal, json: false }
  const commands = pathsOf(buildProgram(session as never, () => {}))
  const examples = blocks.join('\n')
  expect(commands.length).toBeGreaterThan(30)
  expect(commands.filter((path) => !examples.includes(`stratalog ${path} `))).toEqual([])
})

test('the commands of the server are the same where no others are defined', () => {
  const session = { terminal: {}, signal: new AbortController().signal, json: false }
  const all = buildProgram(session as never, () => {})
  for (const first of SERVER_COMMANDS) {
    const few = buildProgram(session as never, () => {}, first)
    expect(few.commands.map((one) => one.name())).toEqual(SERVER_COMMANDS)
    const helpOf = (program: Command): string | undefined =>
      program.commands.find((one) => one.name() === first)?.helpInformation()
    expect(helpOf(few)).toBe(helpOf(all))
  }
})

/** `read`, `tier now`: the commands that do something. */
function pathsOf(command: Command): readonly string[] {
  return command.commands.flatMap((sub) => {
    const inner = pathsOf(sub)
    return inner.length === 0 ? [sub.name()] : inner.map((path) => `${sub.name()} ${path}`)
  })
}
