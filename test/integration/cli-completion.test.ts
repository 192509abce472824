/** `completion`: what the shells are told is what the program takes; bash is asked to complete with it. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { buildProgram } from '../../src/cli/program.ts'
import { CliPlace } from '../support/cli-place.ts'
import { runCli } from '../support/cli.ts'

const place = new CliPlace()
const scripts = new Map<string, string>()

beforeAll(async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { status, stdout } = await runCli(['completion', shell])
    expect(status).toBe(0)
    scripts.set(shell, stdout)
  }
  place.file('completion.bash', scripts.get('bash') ?? '')
})
afterAll(() => place.remove())

/** What bash offers for the last of the words. */
function completed(...words: readonly string[]): readonly string[] {
  const script = [
    `source ${join(place.root, 'completion.bash')}`,
    'COMP_WORDS=(stratalog "$@")',
    'COMP_CWORD=$#',
    '_stratalog',
    'printf "%s\\n" "${COMPREPLY[@]}"',
  ].join('\n')
  const answer = execFileSync('bash', ['-uc', script, 'bash', ...words], { encoding: 'utf8' })
  return answer.split('\n').filter((line) => line !== '')
}

describe('bash completes', () => {
  test('commands, and commands of commands', () => {
    expect(completed('')).toEqual(expect.arrayContaining(['import', 'export', 'logs', 'tier']))
    expect(completed('ex')).toEqual(['export'])
    expect(completed('logs', 'cr')).toEqual(['create'])
    expect(completed('tier', 'pa')).toEqual(['pause'])
  })

  test('flags of the command, and of no other', () => {
    expect(completed('read', '--follo')).toEqual(['--follow'])
    expect(completed('read', '--log', 'import', '--fol')).toEqual(['--follow'])
    expect(completed('logs', 'create', 'x', '--memory-t')).toEqual(['--memory-ttl'])
    expect(completed('status', '--follo')).toEqual([])
  })

  test('choices of a flag, and files where it takes anything', () => {
    expect(completed('export', '--format', '')).toEqual(['ndjson', 'csv', 'arrow', 'parquet'])
    expect(completed('export', '--format', 'p')).toEqual(['parquet'])
    expect(completed('tier', 'now', '--to', 'o')).toEqual(['object'])
    // An empty answer is what has bash complete the names of files.
    expect(completed('export', '--output', '')).toEqual([])
  })
})

test('every script names every command and every flag', () => {
  const terminal = { write: async () => {}, note: () => {} }
  const session = {
    terminal,
    clock: systemClock,
    signal: new AbortController().signal,
    json: false,
  }
  const program = buildProgram(session as never, () => {})
  const names = new Set<string>()
  const visit = (command: typeof program): void => {
    for (const { long, hidden } of command.options) if (long && !hidden) names.add(long.slice(2))
    for (const sub of command.commands) {
      names.add(sub.name())
      visit(sub)
    }
  }
  visit(program)
  expect(names.size).toBeGreaterThan(100)
  for (const [shell, script] of scripts) {
    const words = new Set(script.match(/[\w-]+/g)?.map((word) => word.replace(/^--/, '')))
    expect([shell, [...names].filter((name) => !words.has(name))]).toEqual([shell, []])
  }
})

test('another shell is refused', async () => {
  const { status, stderr } = await runCli(['completion', 'csh'])
  expect(status).toBe(2)
  expect(stderr).toContain('Allowed choices are bash, zsh, fish')
})
