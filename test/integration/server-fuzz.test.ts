/** Thousands of requests that no client would send: each is answered, none with 500, and the server stays. */
import { connect } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Random, randomFraction, seededRandom } from '../../src/base/random.ts'
import { TestServer } from '../support/server.ts'

const REQUESTS = 3_000
const SEED = 7

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start([])
  for (const path of ['/v1/stream/s', '/v1/stream/j']) {
    const type = path.endsWith('j') ? 'application/json' : 'text/plain'
    await server.fetch(path, { method: 'PUT', headers: { 'content-type': type } })
  }
  await server.fetch('/v1/logs', { method: 'POST', body: '{"name":"l"}' })
})
afterAll(() => server.stop())

function pick<T>(random: Random, items: readonly T[]): T {
  return items[Math.floor(randomFraction(random) * items.length)] as T
}

const NUMBERS = [
  '0',
  '-1',
  '1e9',
  '9007199254740993',
  '99999999999999999999',
  'NaN',
  '',
  ' 1',
  '0x1',
  '1.5',
  '00',
]
const NAMES = [
  'l',
  's',
  'j',
  'none',
  '..',
  '%2e%2e',
  '%00',
  '%',
  'a%2fb',
  'x'.repeat(3_000),
  'L',
  '__proto__',
  'constructor',
  'é',
  '%ff',
  'l ',
  '.l',
]
const METHODS = ['GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'BREW']
const TYPES = [
  'application/json',
  'text/plain',
  'application/x-ndjson',
  'application/vnd.apache.arrow.stream',
  'x',
  '',
  'a/b;c=d',
  '__proto__',
  'constructor',
]
const BODIES = [
  '',
  '{',
  '[]',
  'null',
  '{"sql":1}',
  '{"name":"../x"}',
  '{"__proto__":{"a":1}}',
  '[[[[[]]]]]',
  '"\\ud800"',
  '{"a":1e999}',
  '[{"a":1},2]',
  '\u0000\u0001',
  `${'['.repeat(20_000)}${']'.repeat(20_000)}`,
  '{"name":"n","partitions":1e9}',
  '{"sql":"SELECT"}',
  '{"storage":{"ttl":-1}}',
  'ARROW1\u0000\u0000',
  '{"sql":"SELECT 1","parameters":{"a":{"b":1}}}',
  '{"name":"n","schema":{"a":"list<list<list<int8"}}',
  '{"_offset":1}',
  '{"toJSON":1}',
]
const HEADERS = [
  'stream-ttl',
  'stream-expires-at',
  'stream-closed',
  'stream-seq',
  'producer-id',
  'producer-epoch',
  'producer-seq',
  'stream-forked-from',
  'stream-fork-offset',
  'stream-fork-sub-offset',
  'if-none-match',
  'content-encoding',
  'accept',
  'authorization',
  'origin',
  'host',
  'expect',
]
const VALUES = [
  ...NUMBERS,
  'true',
  '/v1/stream/s',
  '/v1/stream/none',
  '0000000000000000_0000000000000001',
  '2026-13-99',
  '*',
  'gzip',
  'Bearer x',
  'x'.repeat(500),
  '"',
  '100-continue',
  'http://evil',
]
const QUERIES = [
  'offset',
  'live',
  'cursor',
  'from',
  'to',
  'limit',
  'last',
  'partition',
  'since',
  'until',
  'columns',
  'format',
  'ack',
  'ttl',
  'priority',
  'after',
]
const QUERY_VALUES = [
  ...NUMBERS,
  'now',
  'sse',
  'long-poll',
  'json',
  'arrow',
  'csv',
  'a,b',
  '%',
  '%ff',
  'memory',
  'object',
  '0000000000000000_0000000000000001',
  '__proto__',
]

function pathOf(random: Random): string {
  const name = pick(random, NAMES)
  const base = pick(random, [
    '/v1/stream/',
    '/v1/logs/',
    '/v1/logs',
    '/v1/sql',
    '/v1/snapshots',
    '/v1/snapshots/',
    '/v1/tier/now',
    '/v1/tier/pause',
    '/v1/status',
    '/metrics',
    '//',
    '/',
    '*',
    'http://x/y',
  ])
  const path = base.endsWith('/') && base.startsWith('/v1') ? `${base}${name}` : base
  const tail = path.startsWith('/v1/logs/') && randomFraction(random) < 0.6 ? '/records' : ''
  const queries = Array.from(
    { length: Math.floor(randomFraction(random) * 4) },
    () => `${pick(random, QUERIES)}=${pick(random, QUERY_VALUES)}`,
  )
  return `${path}${tail}${queries.length === 0 ? '' : `?${queries.join('&')}`}`.replaceAll(' ', '+')
}

function requestOf(random: Random): string {
  const body = pick(random, BODIES)
  const lines = [
    `${pick(random, METHODS)} ${pathOf(random)} HTTP/1.1`,
    'host: localhost',
    'connection: close',
  ]
  for (let count = randomFraction(random) * 4; count > 1; count--)
    lines.push(`${pick(random, HEADERS)}: ${pick(random, VALUES)}`)
  lines.push(`content-type: ${pick(random, TYPES)}`)
  const length = Buffer.byteLength(body)
  const framing = randomFraction(random)
  if (framing < 0.7) return `${lines.join('\r\n')}\r\ncontent-length: ${length}\r\n\r\n${body}`
  if (framing < 0.85) {
    const size = pick(random, [length.toString(16), 'zz', 'ffffffffffffffff', '-1', '1'])
    return `${lines.join('\r\n')}\r\ntransfer-encoding: chunked\r\n\r\n${size}\r\n${body}\r\n0\r\n\r\n`
  }
  // Cut short, or with both lengths, or with no length at all.
  return pick(random, [
    `${lines.join('\r\n')}\r\ncontent-length: ${length + 5}\r\n\r\n${body}`,
    `${lines.join('\r\n')}\r\ncontent-length: ${length}\r\ntransfer-encoding: chunked\r\n\r\n${body}`,
    `${lines.join('\r\n')}\r\n\r\n${body}`,
    `${lines.join('\n')}\n\n${body}`,
    lines.join('\r\n'),
  ])
}

/** The status of the answer; 0 where the connection was closed without one, or nothing came and the sender left. */
function ask(request: string): Promise<number> {
  return new Promise((resolve) => {
    const { hostname, port } = new URL(server.url)
    const socket = connect(Number(port), hostname)
    let text = ''
    const status = (): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0)
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      if (text.includes('\r\n') && !text.startsWith('HTTP/1.1 1')) socket.destroy()
    })
    // The rest of a request that was cut short never comes.
    socket.on('error', () => resolve(status()))
    socket.on('close', () => resolve(status()))
    socket.end(request, 'utf8')
  })
}

test(
  'none of thousands of malformed requests is answered with 500, and the server stays whole',
  { timeout: 600_000 },
  async () => {
    const random = seededRandom(SEED)
    const seen = new Map<number, number>()
    const failed: string[] = []
    for (let done = 0; done < REQUESTS; done += 20) {
      const requests = Array.from({ length: 20 }, () => requestOf(random))
      const statuses = await Promise.all(requests.map(ask))
      for (const [index, status] of statuses.entries()) {
        seen.set(status, (seen.get(status) ?? 0) + 1)
        if (status === 500) failed.push(requests[index] ?? '')
      }
    }
    expect(failed.map((request) => request.slice(0, 600))).toEqual([])
    // It was not one refusal for all.
    for (const status of [200, 204, 400, 404, 405, 409])
      expect(seen.get(status), `${status}`).toBeGreaterThan(0)
    expect((await server.fetch('/readyz')).status).toBe(200)
  },
)
