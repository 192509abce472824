/** Tokens for logs by prefix: what they are told of others, what of their own they can do, and how soon they end. */
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { runJson } from '../support/cli.ts'
import { TestServer } from '../support/server.ts'

const root = mkdtempSync(join(tmpdir(), 'stratalog-test-'))
const file = join(root, 'tokens.json')

interface Created {
  readonly id: string
  readonly token: string
}

function create(name: string, scopes: string, ...more: string[]): Promise<Created> {
  const named = ['--tokens', file, '--name', name, '--scopes', scopes, ...more]
  return runJson<Created>(['token', 'create', ...named])
}

let server: TestServer
let owner: string
let shop: string

function call(token: string, method: string, path: string, body?: object): Promise<Response> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  return server.fetch(path, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
}

beforeAll(async () => {
  owner = (await create('owner', 'read,append,sql,admin')).token
  shop = (await create('shop', 'read,append,sql,admin', '--logs', 'shop.')).token
  // All that a flag says a file can say too.
  const config = join(root, 'config.json')
  const place = { dataDir: join(root, 'data'), snapshotLocation: join(root, 'snapshots') }
  writeFileSync(config, JSON.stringify({ ...place, tokens: file, host: '0.0.0.0', port: 1 }))
  server = await TestServer.start(['--config', config])
  for (const name of ['shop.orders', 'shopx.payroll'])
    await call(owner, 'POST', '/v1/logs', { name })
  await call(owner, 'POST', '/v1/logs/shop.orders/records', { n: 1 })
  await call(owner, 'POST', '/v1/snapshots', { name: 'before-the-merger' })
})
afterAll(async () => {
  await server.stop()
  rmSync(root, { recursive: true, force: true })
})

describe('a token for logs by prefix', () => {
  test('is told no name of a log or a snapshot that it may not list', async () => {
    const asked = [
      ['GET', '/v1/logs/shop.payroll'],
      ['GET', '/v1/logs/shop.payroll/records'],
      ['GET', '/v1/logs/shop.payroll/placement'],
      ['POST', '/v1/logs/shop.payroll/records', { n: 1 }],
      ['PATCH', '/v1/logs/shop.payroll', { storage: { priority: 1 } }],
      ['DELETE', '/v1/logs/shop.payroll'],
      ['GET', '/v1/logs/shop.orders/records?asOf=nope'],
      ['GET', '/v1/logs/shop.orders/records?asOf=nope&format=rows'],
      ['GET', '/v1/stream/shop.payroll?offset=-1'],
    ] as const
    for (const [method, path, body] of asked) {
      const answer = await call(shop, method, path, body)
      const text = await answer.text()
      expect(answer.status, path).toBe(404)
      expect(text, path).not.toMatch(/shopx|merger/)
    }
    // Nothing tells a name that is near one of another from one that is near none.
    const said = async (path: string): Promise<unknown> => {
      const { requestId: _, ...rest } = JSON.parse(await (await call(shop, 'GET', path)).text())
      return rest
    }
    expect(await said('/v1/logs/shop.payroll')).toEqual(await said('/v1/logs/shop.nothing-near'))
  })

  test('creates, forks and lists logs of its own, and no others', async () => {
    const namesOf = async (token: string, query = ''): Promise<unknown> => {
      const answer = await call(token, 'GET', `/v1/logs${query}`)
      const { logs, next } = (await answer.json()) as { logs: { name: string }[]; next: unknown }
      return { names: logs.map(({ name }) => name), next }
    }
    const fork = '/v1/logs/shop.orders/fork'
    const asked = [
      ['/v1/logs', { name: 'shop.b' }, 201],
      ['/v1/logs', { name: 'shopx.b' }, 403],
      ['/v1/logs', { name: 'shop' }, 403],
      ['/v1/logs', {}, 400],
      [fork, { as: 'shop.f' }, 201],
      [fork, { as: 'other' }, 403],
      ['/v1/logs/shopx.payroll/fork', { as: 'shop.g' }, 403],
    ] as const
    for (const [path, body, status] of asked)
      expect((await call(shop, 'POST', path, body)).status, JSON.stringify(body)).toBe(status)
    expect(await namesOf(shop)).toEqual({ names: ['shop.b', 'shop.f', 'shop.orders'], next: null })
    expect(await namesOf(shop, '?limit=1&after=shop.b')).toEqual({
      names: ['shop.f'],
      next: 'shop.f',
    })
    const all = ['shop.b', 'shop.f', 'shop.orders', 'shopx.payroll']
    expect(await namesOf(owner)).toMatchObject({ names: expect.arrayContaining(all) })
    const reader = (await create('shop-reader', 'read', '--logs', 'shop.')).token
    await vi.waitUntil(async () => (await call(reader, 'GET', '/v1/logs')).ok)
    expect((await call(reader, 'POST', '/v1/logs', { name: 'shop.c' })).status).toBe(403)
    expect((await call(reader, 'POST', fork, { as: 'shop.c' })).status).toBe(403)
    for (const path of ['/v1/logs?limit=0', '/v1/jobs?limit=0'])
      expect((await call(owner, 'GET', path)).status, path).toBe(400)
  })

  test('and one for all are told no place of a snapshot', async () => {
    for (const [method, path] of [
      ['GET', '/v1/snapshots/none/diff/none'],
      ['DELETE', '/v1/snapshots/none'],
      ['POST', '/v1/snapshots/none/verify'],
    ] as const) {
      const answer = await call(owner, method, path)
      const text = await answer.text()
      expect([answer.status, text], path).toEqual([
        404,
        expect.stringContaining('before-the-merger'),
      ])
      expect(text, path).not.toContain(root)
    }
  })

  test('is what names are kept from: one for all logs is helped with them', async () => {
    const log = await (await call(owner, 'GET', '/v1/logs/shop.payroll/records')).text()
    expect(log).toContain("Did you mean 'shopx.payroll'?")
    const moment = '/v1/logs/shop.orders/records?asOf=nope'
    expect(await (await call(owner, 'GET', moment)).text()).toContain('before-the-merger')
  })
})

describe('a token that ends', () => {
  const LIVE = JSON.stringify({
    sql: "SELECT count(*) AS n FROM feed GROUP BY TUMBLE(_time, INTERVAL '1 second')",
  })
  const READS = [
    ['live NDJSON', 'GET', '/v1/logs/feed/records?live=true'],
    ['live rows', 'GET', '/v1/logs/feed/records?live=true&format=rows'],
    ['live CSV', 'GET', '/v1/logs/feed/records?live=true&format=csv'],
    ['an event stream', 'GET', '/v1/stream/quiet?offset=-1&live=sse'],
    ['a long poll', 'GET', '/v1/stream/quiet?offset=now&live=long-poll'],
    ['a continuous query', 'POST', '/v1/sql/stream', LIVE],
  ] as const

  /** How a read ends: with its status where it was refused whole, or as broken off. */
  async function endOf(answer: Promise<Response>): Promise<number | 'ended' | 'broken'> {
    const { status, body } = await answer
    if (status !== 200 || body === null) return status
    try {
      for await (const _part of body);
      return 'ended'
    } catch {
      return 'broken'
    }
  }

  test.each([
    ['is revoked', ({ id }: Created) => runJson(['token', 'revoke', id, '--tokens', file])],
    ['expires', async ({ id }: Created) => expire(id)],
  ])('as it %s ends the reads that it has open', async (why, end) => {
    await call(owner, 'POST', '/v1/logs', { name: 'feed', schema: { at: 'timestamp[ms]' } })
    await call(owner, 'PUT', '/v1/stream/quiet')
    const reader = await create(`reader that ${why}`, 'read,sql')
    const headers = { authorization: `Bearer ${reader.token}` }
    await vi.waitUntil(async () => (await server.fetch('/v1/status', { headers })).ok)
    const answers = READS.map(([, method, path, body = null]) =>
      server.fetch(path, { method, headers, body }),
    )
    const own = new AbortController()
    const stays = await server.fetch('/v1/logs/feed/records?live=true', {
      headers: { authorization: `Bearer ${owner}` },
      signal: own.signal,
    })
    // All are there but the long poll, which says nothing before its end.
    await Promise.all(answers.filter((_, index) => READS[index]?.[0] !== 'a long poll'))
    await end(reader)
    const found = await Promise.all(answers.map(endOf))
    expect(found).toEqual(['broken', 'broken', 'broken', 'broken', 401, 'broken'])
    // Of another token nothing ended.
    await call(owner, 'POST', '/v1/logs/feed/records', { at: 1 })
    const part = await stays.body?.getReader().read()
    expect(Buffer.from(part?.value ?? []).toString()).toContain('_offset')
    own.abort()
  })

  /** The file as it is when that time has come. */
  function expire(id: string): void {
    const tokens = JSON.parse(readFileSync(file, 'utf8')) as { tokens: { id: string }[] }
    const expiresAt = '2020-01-01T00:00:00.000Z'
    const changed = tokens.tokens.map((token) =>
      token.id === id ? { ...token, expiresAt } : token,
    )
    writeFileSync(`${file}.new`, JSON.stringify({ ...tokens, tokens: changed }))
    renameSync(`${file}.new`, file)
  }
})

describe('a file of tokens that cannot be read', () => {
  test.each([
    ['missing', () => rmSync(file)],
    ['damaged', () => writeFileSync(file, '{"format":"stratalog-tokens","tok')],
  ])('as it is %s lets nobody in, and says no more to anybody than that', async (_how, harm) => {
    const text = readFileSync(file, 'utf8')
    const logged = (): number => server.stderr.split('the tokens cannot be read').length - 1
    const before = logged()
    harm()
    try {
      for (const headers of [
        {},
        { authorization: 'Bearer x' },
        { authorization: `Bearer ${owner}` },
      ]) {
        const answer = await vi.waitUntil(
          async () => {
            const given = await server.fetch('/v1/status', { headers })
            return given.ok || given.status === 401 ? null : given
          },
          { timeout: 20_000 },
        )
        const body = await answer.text()
        expect(answer.status).toBe(503)
        expect(answer.headers.get('retry-after')).toBe('1')
        expect(body).toContain('"code":"tokens_unreadable"')
        expect(body).not.toMatch(/json|tmp|details/)
      }
      expect((await server.fetch('/healthz')).status).toBe(200)
      // Looked at again, and not said again.
      await vi.waitUntil(() => logged() === before + 1)
    } finally {
      writeFileSync(`${file}.new`, text)
      renameSync(`${file}.new`, file)
    }
    await vi.waitUntil(async () => (await call(owner, 'GET', '/v1/status')).status === 200, {
      timeout: 20_000,
    })
    expect(logged()).toBe(before + 1)
  })
})
