/** The rate limit of a real server: who is counted together, and what is said to who asks too much. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli, runJson } from '../support/cli.ts'
import { TestServer } from '../support/server.ts'

const root = mkdtempSync(join(tmpdir(), 'stratalog-test-'))
const file = join(root, 'tokens.json')
/** More than the burst and the rate let in while they are sent, on the slowest machine too. */
const MANY = 100

let server: TestServer
let greedy = ''
let modest = ''

async function createToken(name: string): Promise<string> {
  const terms = ['--tokens', file, '--name', name, '--scopes', 'read']
  return (await runJson<{ token: string }>(['token', 'create', ...terms])).token
}

/** What many requests at once were answered. */
async function statuses(path: string, token?: () => string): Promise<readonly number[]> {
  const asked = Array.from({ length: MANY }, async () => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token()}` }
    const response = await server.fetch(path, { headers })
    await response.arrayBuffer()
    return response.status
  })
  return Promise.all(asked)
}

const kinds = (answers: readonly number[]): number[] => [...new Set(answers)].sort((a, b) => a - b)

beforeAll(async () => {
  greedy = await createToken('greedy')
  modest = await createToken('modest')
  server = await TestServer.start(['--tokens', file, '--rate-limit', '1'])
})
afterAll(async () => {
  await server.stop()
  rmSync(root, { recursive: true, force: true })
})

test('a token has its own rate, and is told when to come again', async () => {
  const limited = await statuses('/v1/logs', () => greedy)
  expect(kinds(limited)).toEqual([200, 429])
  expect(
    (await statuses('/v1/logs', () => modest)).filter((one) => one === 200).length,
  ).toBeGreaterThan(1)
  for (;;) {
    const headers = { authorization: `Bearer ${greedy}` }
    const refused = await server.fetch('/v1/logs', { headers })
    const body = (await refused.json()) as object
    if (refused.status !== 429) continue
    expect(refused.headers.get('content-type')).toBe('application/problem+json')
    expect(refused.headers.get('retry-after')).toMatch(/^[12]$/)
    expect(body).toMatchObject({ status: 429, code: 'rate_limited' })
    break
  }
  let ended = await runCli(['status', '--url', server.url, '--token', greedy, '--json'])
  for (; ended.status === 0;) {
    await statuses('/v1/logs', () => greedy)
    ended = await runCli(['status', '--url', server.url, '--token', greedy, '--json'])
  }
  expect([ended.status, ended.stderr]).toEqual([6, expect.stringContaining('Too many requests')])
})

test('tokens that do not hold share the rate of their address', async () => {
  let made = 0
  const madeUp = (): string => `stl_${String(made++).padStart(16, '0')}_${'x'.repeat(43)}`
  expect(kinds(await statuses('/v1/logs', madeUp))).toEqual([401, 429])
  expect(kinds(await statuses('/openapi.json'))).toContain(429)
})

test('health is answered however much is asked', async () => {
  expect(kinds(await statuses('/healthz'))).toEqual([200])
  expect(kinds(await statuses('/readyz'))).toEqual([200])
})
