/** What users install: the tarball, in an empty folder, with only what it depends on. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { publint } from 'publint'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { repositoryRoot } from '../support/repository.ts'

const PACK_TIMEOUT_MS = 300_000

const folder = mkdtempSync(join(tmpdir(), 'stratalog-package-'))
/** npm and the installed bin start the same Node 24 that runs this test. */
const PATH = `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`
const env: NodeJS.ProcessEnv = { ...process.env, PATH, npm_config_loglevel: 'error' }
// The runner of these tests has a place of its own for what is compiled.
delete env['NODE_COMPILE_CACHE']
delete env['NODE_DISABLE_COMPILE_CACHE']

function run(command: string, args: readonly string[], cwd: string): string {
  return execFileSync(command, [...args], { cwd, env, encoding: 'utf8' })
}

/** Runs a module in the folder of installation and gives back what it wrote to standard output as JSON. */
function runModule(name: string, lines: readonly string[]): unknown {
  writeFileSync(join(folder, name), lines.join('\n'))
  return JSON.parse(run(process.execPath, [name], folder))
}

beforeAll(() => {
  run('npm', ['pack', '--pack-destination', folder], repositoryRoot)
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
  run('npm', ['install', '--prefer-offline', '--no-audit', `./${tarball ?? ''}`], folder)
}, PACK_TIMEOUT_MS)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('the installed package', () => {
  test('carries what runs and what describes it, and no sources or tests', () => {
    const installed = join(folder, 'node_modules/stratalog')
    expect(readdirSync(installed).toSorted()).toEqual([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'dist',
      'package.json',
    ])
    const files = readdirSync(join(installed, 'dist'), { recursive: true, encoding: 'utf8' })
    expect(files.filter((name) => /(?<!\.d)\.ts$/.test(name))).toEqual([])
    expect(files).toContain('index.js')
    expect(files).toContain('index.d.ts')
  })

  test('starts its command, and keeps what was compiled for the next start', () => {
    expect(run(join(folder, 'node_modules/.bin/stratalog'), ['--help'], folder)).toContain(
      'stratalog',
    )
    expect(readdirSync(join(folder, 'node_modules/stratalog/dist/compiled'))).not.toEqual([])
  })

  test('can be imported, keeps records in memory and answers SQL', () => {
    const answer = runModule('memory.js', [
      "import { Stratalog } from 'stratalog'",
      'const db = await Stratalog.memoryOnly()',
      "const clicks = await db.createLog('clicks')",
      "await clicks.append([{ user: 7, event: 'view' }, { user: 8, event: 'pay' }])",
      "const result = await db.query('SELECT count(*)::INTEGER AS n, max(user)::INTEGER AS m FROM clicks')",
      'const rows = await result.toArray()',
      'await db.close()',
      'process.stdout.write(JSON.stringify(rows))',
    ])
    expect(answer).toEqual([{ n: 2, m: 8 }])
  })

  test('answers SQL in a process of its own', () => {
    const answer = runModule('process.js', [
      "import { Stratalog } from 'stratalog'",
      "const db = await Stratalog.open({ queryIsolation: 'process' })",
      "const clicks = await db.createLog('clicks')",
      "await clicks.append([{ user: 7, event: 'view' }, { user: 8, event: 'pay' }])",
      "const result = await db.query('SELECT event, max(user)::INTEGER AS m FROM clicks GROUP BY event ORDER BY m')",
      'const rows = await result.toArray()',
      'await db.close()',
      'process.stdout.write(JSON.stringify(rows))',
    ])
    expect(answer).toEqual([
      { event: 'view', m: 7 },
      { event: 'pay', m: 8 },
    ])
  })

  test('runs its WAL worker: what was acknowledged on disk is there after opening again', () => {
    const answer = runModule('durable.js', [
      "import { Stratalog } from 'stratalog'",
      "const first = await Stratalog.open({ dataDir: './data' })",
      "const orders = await first.createLog('orders', { storage: { mode: 'persistent' } })",
      "await orders.append([{ id: 1 }, { id: 2 }, { id: 3 }], { ack: 'disk' })",
      'await first.close()',
      "const second = await Stratalog.open({ dataDir: './data' })",
      'const ids = []',
      "for await (const row of second.log('orders').read().rows()) ids.push(Number(row.id))",
      'await second.close()',
      'process.stdout.write(JSON.stringify(ids))',
    ])
    expect(answer).toEqual([1, 2, 3])
  })

  test('has a client that is one with it: the same class of errors, and nothing loaded but itself', () => {
    const answer = runModule('client.js', [
      "import { connect, StratalogError as OfClient } from 'stratalog/client'",
      "import { StratalogError } from 'stratalog'",
      "const error = await connect('http://127.0.0.1:9', { retries: 0 }).catch((thrown) => thrown)",
      'process.stdout.write(JSON.stringify([error instanceof OfClient, OfClient === StratalogError, error.code]))',
    ])
    expect(answer).toEqual([true, true, 'server_unavailable'])
  })

  test('is described the way that package tools and TypeScript look for it', async () => {
    const { messages } = await publint({ pkgDir: join(folder, 'node_modules/stratalog') })
    expect(messages).toEqual([])
  })
})
