/** Tokens: every route asks for one, for its scope and for its log; and they end without a restart. */
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { runCli, runJson } from '../support/cli.ts'
import { TestServer } from '../support/server.ts'

const root = mkdtempSync(join(tmpdir(), 'stratalog-test-'))
const file = join(root, 'tokens.json')
const SCOPES = ['read', 'append', 'sql', 'admin'] as const

interface Created {
  readonly id: string
  readonly token: string
}

function create(name: string, scopes: string, ...more: string[]): Promise<Created> {
  return runJson<Created>([
    'token',
    'create',
    '--tokens',
    file,
    '--name',
    name,
    '--scopes',
    scopes,
    ...more,
  ])
}

interface OpenApi {
  readonly paths: Record<string, Record<string, { readonly 'x-scope'?: (typeof SCOPES)[number] }>>
}

let server: TestServer
const tokens = new Map<string, string>()

function call(method: string, path: string, token?: string): Promise<Response> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  return server.fetch(path, { method, headers })
}

beforeAll(async () => {
  for (const scope of SCOPES) tokens.set(scope, (await create(scope, scope)).token)
  tokens.set('shop', (await create('shop', SCOPES.join(','), '--logs', 'shop.')).token)
  tokens.set('short', (await create('short', 'read', '--expires', '1ms')).token)
  server = await TestServer.start(['--tokens', file, '--host', '0.0.0.0'])
})
afterAll(async () => {
  await server.stop()
  rmSync(root, { recursive: true, force: true })
})

describe('with tokens', () => {
  test('every route that OpenAPI describes needs one, and lets in the scope that it says and no other', async () => {
    const { paths } = await server.json<OpenApi>('/openapi.json')
    const open: string[] = []
    let guarded = 0
    for (const [template, operations] of Object.entries(paths)) {
      // A name of a log that is not there: who is let in is told so, and nothing is changed.
      const path = template.replaceAll(/\{\w+\}/g, 'none')
      for (const [operation, { 'x-scope': needed }] of Object.entries(operations)) {
        const method = operation.toUpperCase()
        if (needed === undefined) {
          open.push(`${method} ${template}`)
          continue
        }
        guarded++
        const place = `${method} ${path}`
        expect((await call(method, path)).status, place).toBe(401)
        expect((await call(method, path, tokens.get('short'))).status, place).toBe(401)
        for (const scope of SCOPES) {
          const { status } = await call(method, path, tokens.get(scope))
          if (scope === needed) expect([401, 403, 405, 500], place).not.toContain(status)
          else expect(status, `${place} with ${scope}`).toBe(403)
        }
      }
    }
    expect(open).toEqual([
      'GET /healthz',
      'GET /readyz',
      'GET /openapi.json',
      'OPTIONS /v1/stream/{path}',
    ])
    expect(guarded).toBeGreaterThan(18)
  })

  test('one for logs by prefix opens those, as logs and as streams, and nothing of the engine', async () => {
    const shop = tokens.get('shop')
    const all = tokens.get('read')
    for (const path of [
      '/v1/logs/other',
      '/v1/logs/sho',
      '/v1/stream/other',
      '/v1/stream/a/shop.x',
      '/v1/status',
      '/metrics',
      '/v1/snapshots',
    ])
      expect((await call('GET', path, shop)).status, path).toBe(403)
    expect((await call('GET', '/v1/logs/shop.orders', shop)).status).toBe(404)
    const headers = { authorization: `Bearer ${shop}`, 'content-type': 'text/plain' }
    for (const path of ['/v1/stream/shop.orders', '/v1/stream/shop.Orders/2026'])
      expect((await server.fetch(path, { method: 'PUT', headers, body: 'x' })).status).toBe(201)
    expect((await call('GET', '/v1/logs/shop.orders', shop)).status).toBe(200)
    expect(
      (await server.fetch('/v1/sql', { method: 'POST', headers, body: '{"sql":"SELECT 1"}' }))
        .status,
    ).toBe(403)
    // A fork would read what the token may not.
    await server.fetch('/v1/stream/other', {
      method: 'PUT',
      headers: { authorization: `Bearer ${tokens.get('append')}` },
    })
    const fork = { authorization: headers.authorization, 'stream-forked-from': '/v1/stream/other' }
    expect(
      (await server.fetch('/v1/stream/shop.fork', { method: 'PUT', headers: fork })).status,
    ).toBe(403)
    const own = { ...headers, 'stream-forked-from': '/v1/stream/shop.orders' }
    expect(
      (await server.fetch('/v1/stream/shop.fork', { method: 'PUT', headers: own })).status,
    ).toBe(201)
    expect((await call('GET', '/v1/stream/other', all)).status).toBe(200)
  })

  test('others are refused: made up, cut, of another secret', async () => {
    const real = tokens.get('read') ?? ''
    const [, id] = real.split('_')
    const made = `stl_${id}_${'A'.repeat(43)}`
    for (const token of [
      'x',
      real.slice(0, -1),
      `${real}A`,
      made,
      `stl_${'0'.repeat(16)}_${'A'.repeat(43)}`,
    ])
      expect((await call('GET', '/v1/status', token)).status, token).toBe(401)
    const basic = await server.fetch('/v1/status', { headers: { authorization: `Basic ${real}` } })
    expect([basic.status, basic.headers.get('www-authenticate')]).toEqual([
      401,
      'Bearer error="invalid_token"',
    ])
  })

  test('a new one works and a revoked one ends while the server runs', async () => {
    const { token, id } = await create('late', 'read')
    await vi.waitUntil(async () => (await call('GET', '/v1/status', token)).status === 200, {
      timeout: 20_000,
    })
    await runJson(['token', 'revoke', id, '--tokens', file])
    await vi.waitUntil(async () => (await call('GET', '/v1/status', token)).status === 401, {
      timeout: 20_000,
    })
  })
})

test('the file has digests only, for its owner only, and is listed without them', async () => {
  const text = readFileSync(file, 'utf8')
  // A secret may have underscores of its own.
  const secrets = [...tokens.values()].map((token) => token.split('_').slice(2).join('_'))
  for (const secret of secrets) {
    expect(secret).toHaveLength(43)
    expect(text).not.toContain(secret)
  }
  expect(statSync(file).mode & 0o777).toBe(0o600)
  const listed = await runJson<Record<string, unknown>[]>(['token', 'list', '--tokens', file])
  expect(listed.map(({ name }) => name)).toContain('shop')
  expect(JSON.stringify(listed)).not.toContain('digest')
})

test('tokens that cannot be are refused, and so is a server without the file that it was given', async () => {
  const statusOf = async (...args: string[]): Promise<number | null> => (await runCli(args)).status
  expect(
    await statusOf('token', 'create', '--tokens', file, '--name', 'shop', '--scopes', 'read'),
  ).toBe(2)
  expect(
    await statusOf('token', 'create', '--tokens', file, '--name', 'x', '--scopes', 'write'),
  ).toBe(2)
  expect(await statusOf('token', 'revoke', 'nobody', '--tokens', file)).toBe(2)
  expect(await statusOf('serve', '--port', '0', '--tokens', join(root, 'none.json'))).toBe(3)
})
