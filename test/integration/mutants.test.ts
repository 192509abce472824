/** Every bug that is planted (test/mutants/mutants.ts) is caught by what the table says catches it. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { describe, expect, test } from 'vitest'
import { MUTANT_VARIABLE } from '../mutants/mutate.ts'
import type { Killer } from '../mutants/mutant.ts'
import { MUTANTS } from '../mutants/mutants.ts'
import { repositoryRoot } from '../support/repository.ts'

/** A plain run takes every fifth; CI takes all. */
const CHOSEN = MUTANTS.filter((_, index) => process.env['CI'] === 'true' || index % 5 === 0)
const EXIT_VIOLATION = 10

interface Ended {
  readonly code: number | null
  readonly output: string
}

function run(mutant: string, killer: Killer): Promise<Ended> {
  const foreign = /^(VITEST|NODE_(?!COMPILE_CACHE$))/
  const inherited = Object.entries(process.env).filter(([name]) => !foreign.test(name))
  const env = { ...Object.fromEntries(inherited), [MUTANT_VARIABLE]: mutant }
  const child = spawn(process.execPath, argumentsOf(killer), { cwd: repositoryRoot, env })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, output }))
  })
}

function argumentsOf(killer: Killer): readonly string[] {
  if (killer.harness === 'test') {
    const vitest = join(repositoryRoot, 'node_modules/vitest/vitest.mjs')
    const project = killer.file.startsWith('test/unit/') ? 'fast' : 'integration'
    // The first test that fails is enough.
    const options = ['--config', 'test/vitest.config.ts', '--project', project, '--bail', '1']
    return [vitest, 'run', ...options, killer.file]
  }
  const hook = join(repositoryRoot, 'test/mutants/hook.ts')
  const seed = ['--seeds', '1', '--seed', String(killer.seed)]
  return ['--import', hook, join(repositoryRoot, 'test/soak/main.ts'), 'simulate', ...seed]
}

test('docs/testing.md has the table as it is', () => {
  const docs = readFileSync(join(repositoryRoot, 'docs/testing.md'), 'utf8')
  const rows = MUTANTS.map(({ name, harm, killedBy }) => {
    const by =
      killedBy.harness === 'simulate' ? `simulation, seed ${killedBy.seed}` : `\`${killedBy.file}\``
    return `| \`${name}\` | ${harm} | ${by} |`
  })
  expect(docs).toContain(rows.join('\n'))
})

describe('a planted bug is caught', () => {
  test.each(CHOSEN)('$name', async ({ name, killedBy }) => {
    const { code, output } = await run(name, killedBy)
    if (killedBy.harness === 'simulate') {
      expect(code, output).toBe(EXIT_VIOLATION)
      return
    }
    expect(code, output).toBe(1)
    // A run that never came to its tests proves nothing.
    const [, failed] = /^\d+ passed, (\d+) failed$/m.exec(output) ?? []
    expect(Number(failed), output).toBeGreaterThan(0)
    expect(output).not.toContain('has its text')
  })
})
