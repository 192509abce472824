/**
 * Runs the conformance tests of the Durable Streams protocol against a URL, every one of them, and gives their results.
 * They bring a vitest of their own, which therefore runs in a process of its own.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { repositoryRoot } from './repository.ts'

export interface ConformanceResult {
  readonly passed: number
  /** What did not pass, whatever the reason, with what was said of it. */
  readonly failed: readonly string[]
  /** Tests of the subscriptions, which the package itself runs only where it is asked to. */
  readonly optional: readonly string[]
}

interface Report {
  readonly testResults: readonly {
    readonly message: string
    readonly assertionResults: readonly {
      readonly fullName: string
      readonly status: string
      readonly failureMessages: readonly string[]
    }[]
  }[]
}

const require = createRequire(import.meta.url)

export async function runConformance(url: string): Promise<ConformanceResult> {
  const home = dirname(require.resolve('@durable-streams/server-conformance-tests/package.json'))
  const vitest = [
    join(home, 'node_modules/vitest/vitest.mjs'),
    join(repositoryRoot, 'node_modules/vitest/vitest.mjs'),
  ].find((path) => existsSync(path))
  if (vitest === undefined) throw new Error('The conformance tests have no vitest: run npm ci')
  const folder = mkdtempSync(join(tmpdir(), 'stratalog-conformance-'))
  const config = join(folder, 'vitest.config.mjs')
  const outputFile = join(folder, 'report.json')
  // A machine that does much else gets more time, and no test is left out.
  const test = { include: ['dist/test-runner.js'], exclude: [], testTimeout: 120_000 }
  writeFileSync(config, `export default ${JSON.stringify({ root: home, test })}`)
  const args = ['run', '--config', config, '--reporter=json', '--outputFile', outputFile]
  try {
    const log = await runNode([vitest, ...args], home, url)
    if (!existsSync(outputFile)) throw new Error(`The conformance tests did not run: ${log}`)
    return resultOf(JSON.parse(readFileSync(outputFile, 'utf8')) as Report)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function runNode(args: readonly string[], cwd: string, url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, CONFORMANCE_TEST_URL: url }
    const child = spawn(process.execPath, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let log = ''
    const note = (chunk: Buffer): void => {
      log += chunk.toString()
    }
    child.stdout.on('data', note)
    child.stderr.on('data', note)
    child.on('error', reject)
    child.on('close', () => resolve(log))
  })
}

function resultOf({ testResults }: Report): ConformanceResult {
  const tests = testResults.flatMap(({ assertionResults }) => assertionResults)
  const broken = testResults
    .filter(({ assertionResults }) => assertionResults.length === 0)
    .map(({ message }) => message)
  const skipped = tests.filter(({ status }) => status !== 'passed' && status !== 'failed')
  const isOptional = (name: string): boolean => name.includes('Reserved subscription APIs')
  return {
    passed: tests.filter(({ status }) => status === 'passed').length,
    failed: [
      ...broken,
      ...tests
        .filter(({ status }) => status === 'failed')
        .map(({ fullName, failureMessages }) => `${fullName}: ${failureMessages[0] ?? ''}`),
      ...skipped.map(({ fullName }) => fullName).filter((name) => !isOptional(name)),
    ],
    optional: skipped.map(({ fullName }) => fullName).filter(isOptional),
  }
}
