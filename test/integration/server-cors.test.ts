/** Pages of other sites: who may use a server, what a browser asks before, and what it lets them read. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DurableStream, IdempotentProducer } from '@durable-streams/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connect } from '../../src/client/index.ts'
import { runCli, runJson } from '../support/cli.ts'
import { type Page, pageOf } from '../support/page-fetch.ts'
import { TestServer } from '../support/server.ts'

const APP = 'https://app.example.com'
const OTHER = 'https://evil.example'
const ALLOW = 'access-control-allow-origin'

const root = mkdtempSync(join(tmpdir(), 'stratalog-test-'))
const tokens = join(root, 'tokens.json')
const TOKEN_FLAGS = ['token', 'create', '--tokens', tokens, '--name', 'app']

let server: TestServer
let token = ''
let headers: Readonly<Record<string, string>> = {}

beforeAll(async () => {
  const scopes = ['--scopes', 'read,append,sql,admin']
  token = (await runJson<{ token: string }>([...TOKEN_FLAGS, ...scopes])).token
  headers = { origin: APP, authorization: `Bearer ${token}` }
  const origins = ['--cors-origin', 'http://localhost:5173', '--cors-origin', APP]
  server = await TestServer.start(['--tokens', tokens, ...origins])
})
afterAll(async () => {
  await server.stop()
  rmSync(root, { recursive: true, force: true })
})

function preflight(path: string, method: string, origin: string): Promise<Response> {
  const asked = { origin, 'access-control-request-method': method }
  return server.fetch(path, { method: 'OPTIONS', headers: asked })
}

interface OpenApi {
  readonly paths: Record<string, Record<string, object>>
}

describe('before a request', () => {
  test('a browser is told for every route, without a token, that pages of the origin may send it', async () => {
    const { paths } = await server.json<OpenApi>('/openapi.json')
    const routes = Object.entries(paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => [method.toUpperCase(), path] as const),
    )
    expect(routes.length).toBeGreaterThan(20)
    for (const [method, template] of [...routes, ['GET', '/nowhere'] as const]) {
      const answer = await preflight(template.replaceAll(/\{\w+\}/g, 'none'), method, APP)
      const place = `${method} ${template}`
      expect([answer.status, answer.headers.get(ALLOW)], place).toEqual([204, APP])
      expect(answer.headers.get('vary'), place).toBe('Origin')
      expect(answer.headers.get('access-control-allow-methods')?.split(', '), place).toContain(
        method,
      )
      expect(answer.headers.get('access-control-allow-headers'), place).toContain('authorization')
      expect(answer.headers.get('access-control-allow-credentials'), place).toBeNull()
    }
  })

  test('pages of another origin are told nothing, and an OPTIONS that is no such question is none', async () => {
    const stream = await preflight('/v1/stream/x', 'GET', OTHER)
    expect([stream.status, stream.headers.get(ALLOW)]).toEqual([204, null])
    const refused = await preflight('/v1/logs', 'GET', OTHER)
    expect([refused.status, refused.headers.get(ALLOW)]).toEqual([405, null])
    const plain = await server.fetch('/v1/logs', { method: 'OPTIONS', headers: { origin: APP } })
    expect(plain.status).toBe(405)
  })
})

describe('answers', () => {
  async function seen(path: string, init: RequestInit): Promise<readonly unknown[]> {
    const answer = await server.fetch(path, init)
    await answer.arrayBuffer()
    return [answer.status, answer.headers.get(ALLOW), answer.headers.get('vary')]
  }

  test('name the origin, also those that are errors', async () => {
    expect(await seen('/v1/logs', { headers })).toEqual([200, APP, 'Origin'])
    expect(await seen('/healthz', { headers: { origin: APP } })).toEqual([200, APP, 'Origin'])
    expect(await seen('/v1/logs', { headers: { origin: APP } })).toEqual([401, APP, 'Origin'])
    expect(await seen('/nowhere', { headers })).toEqual([404, APP, 'Origin'])
    expect(await seen('/v1/logs/none', { headers })).toEqual([404, APP, 'Origin'])
    const wrong = { method: 'POST', headers, body: '{' }
    expect(await seen('/v1/logs', wrong)).toEqual([400, APP, 'Origin'])
    expect(await seen('/healthz', { method: 'POST', headers })).toEqual([405, APP, 'Origin'])
  })

  test('to another origin are a refusal without it, as before', async () => {
    const evil = { ...headers, origin: OTHER }
    expect(await seen('/v1/logs', { headers: evil })).toEqual([403, null, 'Origin'])
    const body = JSON.stringify({ name: 'planted' })
    expect(await seen('/v1/logs', { method: 'POST', headers: evil, body })).toEqual([
      403,
      null,
      'Origin',
    ])
    expect(await seen('/v1/logs/planted', { headers })).toEqual([404, APP, 'Origin'])
  })

  test('to no page, or to one of the server itself, tell caches that others get other answers', async () => {
    const { authorization = '' } = headers
    expect(await seen('/v1/logs', { headers: { authorization } })).toEqual([200, null, 'Origin'])
    const own = { authorization, origin: server.url }
    expect(await seen('/v1/logs', { headers: own })).toEqual([200, null, 'Origin'])
  })

  test('that are refused for load name it too, with when to come again; the file says whose pages may', async () => {
    const config = join(root, 'serve.json')
    writeFileSync(config, JSON.stringify({ corsOrigin: APP, maxMemoryBytes: '64MB' }))
    const limited = await TestServer.start(['--config', config, '--rate-limit', '1'])
    for (;;) {
      const answer = await limited.fetch('/v1/logs', { headers: { origin: APP } })
      await answer.arrayBuffer()
      expect(answer.headers.get(ALLOW)).toBe(APP)
      expect([200, 429]).toContain(answer.status)
      if (answer.status === 200) continue
      const exposed = answer.headers.get('access-control-expose-headers')?.split(', ')
      expect(exposed).toContain('retry-after')
      break
    }
    await limited.stop()
  })

  test('that are event streams name it in their head', async () => {
    const page = pageOf(APP)
    const { authorization = '' } = headers
    const init = { headers: { authorization, 'content-type': 'application/octet-stream' } }
    const path = `${server.url}/v1/stream/events`
    expect((await page.fetch(path, { ...init, method: 'PUT', body: 'one' })).status).toBe(201)
    const live = await page.fetch(`${path}?offset=-1&live=sse`, { headers: { authorization } })
    expect(live.headers.get('content-type')).toBe('text/event-stream')
    expect(live.headers.get('stream-sse-data-encoding')).toBe('base64')
    const { value } = (await live.body?.getReader().read()) ?? {}
    expect(new TextDecoder().decode(value)).toContain('event: data')
    expect([...page.hidden]).toEqual([])
  })
})

describe('in a page', () => {
  test('the client appends, reads, asks and is told what went wrong', async () => {
    const page = pageOf(APP)
    await using db = await connect(server.url, { token, fetch: page.fetch })
    await db.createLog('clicks')
    await db.log('clicks').append([{ n: 1 }, { n: 2 }])
    const rows = []
    for await (const row of db.log('clicks').read().rows()) rows.push(row['n'])
    expect(rows).toEqual([1, 2])
    const result = await db.query('SELECT sum(n) AS n FROM clicks')
    expect(await result.toArray()).toEqual([{ n: 3 }])
    await expect(db.log('none').get(0)).rejects.toMatchObject({ code: 'log_not_found' })
    await db.deleteLog('clicks')
    expect(page.preflights()).toBeGreaterThan(0)
    expect([...page.hidden]).toEqual([])
  })

  test('the client of the protocol creates, appends once, follows, and finds the end', async () => {
    const page = pageOf(APP)
    const { authorization = '' } = headers
    const stream = await DurableStream.create({
      url: `${server.url}/v1/stream/notes`,
      headers: { authorization },
      contentType: 'text/plain',
      ttlSeconds: 3_600,
      fetch: page.fetch,
    })
    const producer = new IdempotentProducer(stream, 'page', { fetch: page.fetch })
    producer.append('one,')
    await producer.flush()
    await stream.append('two,', { seq: '1' })
    await stream.close()
    const answer = await stream.stream({ live: 'long-poll', offset: '-1' })
    expect(await answer.text()).toBe('one,two,')
    expect(await stream.head()).toMatchObject({ exists: true, streamClosed: true })
    expect([...page.hidden]).toEqual([])
  })

  test('of another origin nothing works', async () => {
    const blocked = (page: Page, path: string): Promise<void> =>
      expect(page.fetch(server.url + path, { headers: { authorization: 'x' } })).rejects.toThrow(
        'Failed to fetch',
      )
    await blocked(pageOf(OTHER), '/v1/logs')
    await blocked(pageOf(OTHER), '/v1/stream/notes')
    await expect(pageOf(OTHER).fetch(`${server.url}/healthz`)).rejects.toThrow('Failed to fetch')
  })
})

test('any origin may use a server with tokens, and none with * does one without', async () => {
  const any = await TestServer.start(['--tokens', tokens, '--cors-origin', '*'])
  const page = pageOf('null')
  const init = { headers: { authorization: `Bearer ${token}` } }
  expect((await page.fetch(`${any.url}/v1/logs`, init)).status).toBe(200)
  expect((await page.fetch(`${any.url}/v1/logs`)).status).toBe(401)
  await any.stop()
  for (const origin of ['*', `${APP}/`, 'nonsense']) {
    const ended = await runCli(['serve', '--port', '0', '--cors-origin', origin])
    expect([ended.status, ended.stderr], origin).toEqual([2, expect.stringContaining('corsOrigin')])
  }
})
