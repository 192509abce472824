/** Tokens for logs by prefix: what they are told of others, what of their own they can do, and how soon they end. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
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
  server = await TestServer.start([
    ...['--tokens', file, '--data-dir', join(root, 'data')],
    ...['--snapshot-location', join(root, 'snapshots')],
  ])
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

  test('is what names are kept from: one for all logs is helped with them', async () => {
    const log = await (await call(owner, 'GET', '/v1/logs/shop.payroll/records')).text()
    expect(log).toContain("Did you mean 'shopx.payroll'?")
    const moment = '/v1/logs/shop.orders/records?asOf=nope'
    expect(await (await call(owner, 'GET', moment)).text()).toContain('before-the-merger')
  })
})
