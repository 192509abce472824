/** `stratalog serve` from outside: what it says, whom it answers, and how it ends. */
import { connect } from 'node:net'
import { request } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { jsonLines, runCli } from '../support/cli.ts'
import { TestServer } from '../support/server.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

/** A request with a Host of choice, which fetch does not send. */
function statusFor(url: string, host: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const call = request(`${url}/healthz`, { headers: { host } }, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
    call.on('error', reject)
    call.end()
  })
}

/** What comes back for these bytes until the server closes the connection. */
function answerTo(url: string, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname, () => socket.write(bytes))
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    socket.on('close', () => resolve(text))
    socket.on('error', reject)
  })
}

describe('a server in memory', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await TestServer.start(['--memory-only', '--allow-host', 'logs.example'])
  })
  afterAll(() => server.stop())

  test('says that it is there, and that it takes records', async () => {
    const health = await server.fetch('/healthz')
    expect([health.status, await health.json()]).toEqual([200, { status: 'ok' }])
    expect(await server.json('/readyz')).toEqual({ status: 'ready' })
  })

  test('tells browsers to believe its types, and gives each request an id', async () => {
    const { headers } = await server.fetch('/healthz')
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('x-request-id')).toMatch(/^[0-9a-f]{16}$/)
    expect(headers.get('access-control-allow-origin')).toBeNull()
  })

  test('answers with a problem where there is nothing, and where a method is not taken', async () => {
    const nowhere = await server.fetch('/nowhere')
    expect(nowhere.headers.get('content-type')).toBe('application/problem+json')
    expect(await nowhere.json()).toMatchObject({ status: 404, code: 'route_not_found' })
    const wrong = await server.fetch('/healthz', { method: 'POST' })
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET'])
    expect((await server.fetch('/v1/stream/%zz')).status).toBe(400)
  })

  test('answers to addresses, localhost and the names that it was given, and to no other Host', async () => {
    const hosts = [
      'localhost:1',
      'localhost.',
      'localhost.:80',
      '127.0.0.1',
      '[::1]:80',
      'logs.example',
      'LOGS.example:99',
    ]
    for (const host of hosts) expect(await statusFor(server.url, host), host).toBe(200)
    for (const host of ['localhost..', '.', 'evil.example', 'logs.example.evil', 'a:b:c'])
      expect(await statusFor(server.url, host), host).toBe(421)
  })

  test('refuses heads that are too big and bytes that are not HTTP', async () => {
    const big = `GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`
    expect(await answerTo(server.url, big)).toMatch(/^HTTP\/1.1 431 /)
    expect(await answerTo(server.url, 'what is this\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /)
    const hostless = 'GET /healthz HTTP/1.0\r\n\r\n'
    expect(await answerTo(server.url, hostless)).toMatch(/^HTTP\/1.1 421 /)
    expect((await server.fetch('/healthz')).status).toBe(200)
  })

  test('takes no second Host, Authorization or Content-Type', async () => {
    const end = 'connection: close\r\n\r\n'
    const get = 'GET /healthz HTTP/1.1\r\n'
    for (const twice of [
      'host: localhost\r\nHOST: localhost\r\n',
      'host: localhost\r\nauthorization: Bearer a\r\nAuthorization: Bearer b\r\n',
      'host: localhost\r\ncontent-type: text/csv\r\ncontent-type: text/csv\r\n',
    ])
      expect(await answerTo(server.url, `${get}${twice}${end}`), twice).toMatch(/^HTTP\/1.1 400 /)
    const once = 'host: localhost\r\nx-abcdefghij: 1\r\nx-abcdefghij: 2\r\n'
    expect(await answerTo(server.url, `${get}${once}${end}`)).toMatch(/^HTTP\/1.1 200 /)
  })

  test('takes a whole URL as its target, whose host counts', async () => {
    const asked = (target: string, host: string): Promise<string> =>
      answerTo(server.url, `GET ${target} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`)
    for (const [target, host, status] of [
      [`${server.url}/v1/logs?limit=1`, 'localhost', 200],
      ['HTTP://LOCALHOST:1/healthz', 'localhost', 200],
      ['http://localhost/healthz', 'evil.example', 200],
      ['http://evil.example/healthz', 'localhost', 421],
      ['http://localhost@evil.example/healthz', 'localhost', 421],
      ['http:///healthz', 'localhost', 421],
      ['http://localhost', 'localhost', 404],
      ['http://localhost?limit=1', 'localhost', 404],
      ['ftp://localhost/healthz', 'localhost', 404],
    ] as const)
      expect(await asked(target, host), target).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
  })

  test('refuses a body that is too big before it is sent, and one that inflates too far', async () => {
    await server.fetch('/v1/stream/big', { method: 'PUT' })
    const { hostname, port } = new URL(server.url)
    const head = `POST /v1/stream/big HTTP/1.1\r\nhost: ${hostname}:${port}\r\ncontent-type: application/octet-stream\r\ncontent-length: 99999999999\r\n\r\n`
    expect(await answerTo(server.url, head)).toMatch(/^HTTP\/1.1 413 /)
    const { gzipSync } = await import('node:zlib')
    const bomb = await server.fetch('/v1/stream/big', {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream', 'content-encoding': 'gzip' },
      body: gzipSync(Buffer.alloc(64 * 1024 * 1024)),
    })
    expect(bomb.status).toBe(413)
  })
})

test('a server on a directory keeps what it acknowledged, and ends at SIGTERM with status 0', async () => {
  const dataDir = await temporaryDirectory()
  const server = await TestServer.start(['--data-dir', dataDir])
  expect((await server.fetch('/readyz')).status).toBe(200)
  await server.fetch('/v1/stream/notes', {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: '[{"n":1},{"n":2}]',
  })
  // A reader that waits does not hold the end up.
  const waiting = server.fetch('/v1/stream/notes?offset=now&live=long-poll')
  const events = await server.fetch('/v1/stream/notes?offset=-1&live=sse')
  expect((await events.body?.getReader().read())?.value).toBeDefined()
  const { status, stderr } = await server.stop()
  expect(status).toBe(0)
  expect((await waiting).status).toBe(204)
  expect(jsonLines(stderr).map((line) => line['msg'])).toContain('stopping')
  const read = await runCli(['read', '--data-dir', dataDir, '--log', 'notes', '--json'])
  expect(jsonLines(read.stdout)).toMatchObject([{ value: { n: 1 } }, { value: { n: 2 } }])
})

test('it refuses a public address without a token, a port in use and flags that contradict', async () => {
  const open = await runCli(['serve', '--host', '0.0.0.0', '--port', '0', '--json'])
  expect([open.status, open.stdout]).toEqual([2, ''])
  expect(open.stderr).toContain('token')
  const both = await runCli(['serve', '--memory-only', '--data-dir', await temporaryDirectory()])
  expect(both.status).toBe(2)
  const server = await TestServer.start([])
  const { port } = new URL(server.url)
  const taken = await runCli(['serve', '--port', port])
  expect([taken.status, taken.stderr]).toEqual([2, expect.stringContaining('EADDRINUSE')])
  await server.stop('SIGINT')
})
