/** HTTPS of a real server: the certificate and key it is given, what it refuses, and a certificate that is replaced. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { type RequestOptions, request } from 'node:https'
import { connect as connectTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { text } from 'node:stream/consumers'
import { connect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { runCli, runJson } from '../support/cli.ts'
import { TestServer } from '../support/server.ts'

const hasOpenssl = spawnSync('openssl', ['version']).status === 0
if (!hasOpenssl) process.stderr.write('NOT TESTED: HTTPS, as there is no openssl here.\n')

const root = mkdtempSync(join(tmpdir(), 'stratalog-test-'))
const at = (name: string): string => join(root, name)

/** A certificate that is its own authority, and its key. */
function makePair(name: string): void {
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost']
  const files = ['-keyout', at(`${name}.key`), '-out', at(`${name}.crt`)]
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const { status, stderr } = spawnSync('openssl', [
    'req',
    ...kind,
    '-days',
    '1',
    ...subject,
    ...files,
  ])
  if (status !== 0) throw new Error(`openssl: ${String(stderr)}`)
}

function asked(
  server: TestServer,
  path: string,
  { body, ...options }: RequestOptions & { body?: string } = {},
): Promise<IncomingMessage> {
  const url = new URL(path, server.url)
  const trusted = [readFileSync(at('first.crt')), readFileSync(at('second.crt'))]
  return new Promise((resolve, reject) => {
    const asking = request(url, { ca: trusted, agent: false, ...options }, resolve)
    asking.on('error', reject)
    asking.end(body)
  })
}

/** The name in the certificate that a new connection is shown. */
function shownName(server: TestServer): Promise<string> {
  const { hostname, port } = new URL(server.url)
  return new Promise((resolve, reject) => {
    const socket = connect(
      { host: hostname, port: Number(port), rejectUnauthorized: false },
      () => {
        resolve(String(socket.getPeerCertificate().subject.CN))
        socket.destroy()
      },
    )
    socket.on('error', reject)
  })
}

describe.runIf(hasOpenssl)('with a certificate', () => {
  let server: TestServer
  let token = ''
  let silentClosed: Promise<unknown>

  beforeAll(async () => {
    makePair('first')
    makePair('second')
    copyFileSync(at('first.crt'), at('live.crt'))
    copyFileSync(at('first.key'), at('live.key'))
    const tokens = ['--tokens', at('tokens.json')]
    const scopes = ['--name', 'all', '--scopes', 'read,append,sql,admin']
    token = (await runJson<{ token: string }>(['token', 'create', ...tokens, ...scopes])).token
    const files = ['--tls-cert', at('live.crt'), '--tls-key', at('live.key')]
    // What Node.js itself would let in is not what the server lets in.
    const lenient = '--tls-min-v1.0 --tls-cipher-list=ALL@SECLEVEL=0'
    server = await TestServer.start([...files, ...tokens], { NODE_OPTIONS: lenient })
    const { hostname, port } = new URL(server.url)
    silentClosed = once(connectTcp(Number(port), hostname), 'close')
  })
  afterAll(async () => {
    const { status } = await server.stop()
    rmSync(root, { recursive: true, force: true })
    expect(status).toBe(0)
  })

  test('it answers over HTTPS, to who has a token, and streams', async () => {
    expect(server.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)
    expect((await asked(server, '/readyz')).statusCode).toBe(200)
    expect((await asked(server, '/v1/logs')).statusCode).toBe(401)
    const authorization = `Bearer ${token}`
    const headers = { authorization, 'content-type': 'application/json' }
    const put = { method: 'PUT', headers, body: '[{"n":1}]' }
    expect((await asked(server, '/v1/stream/notes', put)).statusCode).toBe(201)
    const events = await asked(server, '/v1/stream/notes?offset=-1&live=sse', { headers })
    let seen = ''
    events.on('data', (chunk: Buffer) => (seen += chunk.toString()))
    await vi.waitFor(() => expect(seen).toContain('"n":1'), { timeout: 30_000 })
    const post = { method: 'POST', headers, body: '{"n":2}' }
    expect((await asked(server, '/v1/stream/notes', post)).statusCode).toBe(204)
    await vi.waitFor(() => expect(seen).toContain('"n":2'), { timeout: 30_000 })
    events.destroy()
  })

  test('the command line trusts it when it is told to', async () => {
    const args = ['sql', '--url', server.url, '--token', token, 'SELECT 1 AS one', '--json']
    const known = await runCli(args, { env: { NODE_EXTRA_CA_CERTS: at('first.crt') } })
    expect([known.status, known.stdout]).toEqual([0, expect.stringContaining('"rows":[[1]]')])
    expect((await runCli(args)).status).toBe(7)
  })

  test('it takes TLS 1.2 and above, and nothing in plain text', async () => {
    expect((await asked(server, '/healthz', { maxVersion: 'TLSv1.2' })).statusCode).toBe(200)
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' } as const
    const refused = await asked(server, '/healthz', old).catch(String)
    expect(refused).toMatch(/protocol version/)
    const { hostname, port } = new URL(server.url)
    const plain = connectTcp(Number(port), hostname)
    plain.on('error', () => {})
    plain.write('GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n')
    expect(await text(plain)).not.toContain('HTTP')
    expect((await asked(server, '/healthz')).statusCode).toBe(200)
  })

  test('it reads the files again at SIGHUP, and keeps what it has when they are wrong', async () => {
    expect(await shownName(server)).toBe('first')
    copyFileSync(at('second.crt'), at('live.crt'))
    process.kill(server.pid, 'SIGHUP')
    await vi.waitFor(() => expect(server.stderr).toContain('stays the one of before'), {
      timeout: 30_000,
    })
    expect(await shownName(server)).toBe('first')
    copyFileSync(at('second.key'), at('live.key'))
    process.kill(server.pid, 'SIGHUP')
    await vi.waitFor(async () => expect(await shownName(server)).toBe('second'), {
      timeout: 30_000,
    })
    expect((await asked(server, '/healthz')).statusCode).toBe(200)
  })

  test.each<[string, readonly string[], number, string, RegExp]>([
    ['no key file', ['--tls-cert', 'first.crt'], 2, 'argument_invalid', /--tls-key/],
    ['no certificate', ['--tls-key', 'first.key'], 2, 'argument_invalid', /--tls-cert/],
    [
      'none',
      ['--tls-cert', 'none.crt', '--tls-key', 'first.key'],
      3,
      'file_not_found',
      /none\.crt/,
    ],
    ['a directory', ['--tls-cert', 'first.crt', '--tls-key', '.'], 3, 'file_not_found', /key /],
    ['text', ['--tls-cert', 'bad.pem', '--tls-key', 'first.key'], 2, 'config_invalid', /is none/],
    ['no key', ['--tls-cert', 'first.crt', '--tls-key', 'bad.pem'], 2, 'config_invalid', /private/],
    [
      'no pair',
      ['--tls-cert', 'first.crt', '--tls-key', 'second.key'],
      2,
      'config_invalid',
      /of the cert/,
    ],
  ])('%s is refused, by name', async (_, flags, status, code, message) => {
    writeFileSync(at('bad.pem'), 'none\n')
    const args = flags.map((flag) => (flag.startsWith('--') ? flag : at(flag)))
    const ended = await runCli(['serve', '--port', '0', ...args, '--json'])
    expect([ended.status, ended.stdout]).toEqual([status, ''])
    const { error } = JSON.parse(ended.stderr) as { error: { code: string; message: string } }
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) as string })
  })

  test('who connects and says nothing is cut off', async () => {
    expect(await silentClosed).toEqual([false])
  })
})
