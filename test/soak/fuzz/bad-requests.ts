/**
 * Requests that no client would send, from a seed: heads and bodies that are wrong, framings that lie, names that try
 * to be paths, numbers that are too big, bombs, and what asks for another tenant's logs.
 */
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { type Random, randomFraction } from '../../../src/base/random.ts'

/** Who sends it. */
export interface Tokens {
  /** Everything. */
  readonly admin: string
  /** All scopes on logs that begin with `tenant-b.`. */
  readonly tenant: string
}

export interface BadRequest {
  readonly bytes: Buffer
  /** It must not be answered with a 2xx: the token does not allow it. */
  readonly isForbidden: boolean
  /**
   * How it is sent, and what its sender then does; whatever it held has to be given back. `ends`: the sender has no
   * more, as it may have sent less than it said. `drips`: in pieces.
   */
  readonly behaviour: 'sends' | 'ends' | 'drips' | 'hangs up' | 'reads nothing'
}

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
  '..%2f..%2fetc%2fpasswd',
  'l%0d%0ax-injected:%201',
  'stratalog.streams',
  'STRATALOG.x',
  'tenant-a.orders',
  'tenant-b.orders',
  'con',
  '%f0%9f%92%a9',
]
const METHODS = [
  ...['GET', 'GET', 'GET', 'POST', 'POST', 'POST', 'PUT', 'PATCH', 'DELETE', 'DELETE'],
  ...['HEAD', 'OPTIONS', 'TRACE', 'BREW'],
]
const TYPES = [
  'application/json',
  'text/plain',
  'application/x-ndjson',
  'application/vnd.stratalog.records+ndjson',
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
  '{"kind":"replay","into":{"url":"http://169.254.169.254/"}}',
  '{"kind":"restore","directory":"..","rename":{"__proto__":"x"}}',
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
  '{"":["date",1e99]}',
  '{"":["bigint","1"]}',
  '{"a":{"":["bytes","*"]}}',
  '{"sql":"SELECT * FROM l","maxRows":-1}',
  '{"sql":"SELECT repeat(\'x\', 2000000000)","timeout":"50ms"}',
  '{"name":"n","storage":{"mode":"memory","maxMemoryBytes":1}}',
  '{"as":"l"}',
  '{"logs":["none"],"to":"object"}',
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
  'latest',
  'key',
  'onGap',
  'asOf',
  'expectedOffset',
]
const QUERY_VALUES = [
  ...NUMBERS,
  'now',
  'sse',
  'long-poll',
  'true',
  'json',
  'rows',
  'ndjson',
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
    '/v1/jobs',
    '/v1/jobs/',
    '/v1/tier/now',
    '/v1/tier/pause',
    '/v1/status',
    '/v1/memory',
    '/v1/live',
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

/** Gigabytes that are sent as kilobytes. */
const BOMBS: Readonly<Record<string, Buffer>> = {
  gzip: gzipSync(Buffer.alloc(32 * 1024 * 1024)),
  zstd: zstdCompressSync(Buffer.alloc(256 * 1024 * 1024)),
}

const ARROW = 'application/vnd.apache.arrow.stream'

export function badRequest(random: Random, tokens: Tokens): BadRequest {
  const dice = randomFraction(random)
  if (dice < 0.005) return bomb(random, tokens)
  if (dice < 0.05) return ofAnother(random, tokens)
  const { text, isPlain } = requestOf(random, tokens)
  const bytes = Buffer.from(text, 'utf8')
  const manner = randomFraction(random)
  if (manner < 0.02) return { bytes, isForbidden: false, behaviour: 'drips' }
  if (manner < 0.9) return { bytes, isForbidden: false, behaviour: isPlain ? 'sends' : 'ends' }
  if (manner < 0.95) return { bytes: cut(random, bytes), isForbidden: false, behaviour: 'hangs up' }
  if (manner < 0.99) return { bytes: flipped(random, bytes), isForbidden: false, behaviour: 'ends' }
  return { bytes, isForbidden: false, behaviour: 'reads nothing' }
}

/** `isPlain`: its length is what it says. */
function requestOf(random: Random, { admin, tenant }: Tokens): { text: string; isPlain: boolean } {
  const body = pick(random, BODIES)
  const lines = [
    `${pick(random, METHODS)} ${pathOf(random)} HTTP/1.1`,
    'host: localhost',
    'connection: close',
  ]
  const who = randomFraction(random)
  if (who < 0.8) lines.push(`authorization: Bearer ${admin}`)
  else if (who < 0.9) lines.push(`authorization: Bearer ${tenant}`)
  for (let count = randomFraction(random) * 4; count > 1; count--)
    lines.push(`${pick(random, HEADERS)}: ${pick(random, VALUES)}`)
  lines.push(`content-type: ${pick(random, TYPES)}`)
  if (randomFraction(random) >= 0.7) return { text: framed(random, lines, body), isPlain: false }
  const text = `${lines.join('\r\n')}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  return { text, isPlain: true }
}

function framed(random: Random, lines: readonly string[], body: string): string {
  const head = lines.join('\r\n')
  const length = Buffer.byteLength(body)
  if (randomFraction(random) < 0.5) {
    const size = pick(random, [length.toString(16), 'zz', 'ffffffffffffffff', '-1', '1', '0'])
    return `${head}\r\ntransfer-encoding: chunked\r\n\r\n${size}\r\n${body}\r\n0\r\n\r\n`
  }
  // Cut short, with both lengths or two, without any, with a second request inside, or with heads that go on.
  return pick(random, [
    `${head}\r\ncontent-length: ${length + 5}\r\n\r\n${body}`,
    `${head}\r\ncontent-length: ${length}\r\ntransfer-encoding: chunked\r\n\r\n${body}`,
    `${head}\r\ncontent-length: ${length}\r\ncontent-length: 0\r\n\r\n${body}`,
    `${head}\r\n\r\n${body}`,
    `${lines.join('\n')}\n\n${body}`,
    `${head}\r\ncontent-length: 0\r\n\r\nDELETE /v1/logs/l HTTP/1.1\r\nhost: localhost\r\n\r\n`,
    `${head}\r\n folded: 1\r\n\r\n`,
    `${head}\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`,
    head,
  ])
}

/** A request of one tenant for what is another's, or everybody's. */
function ofAnother(random: Random, { tenant }: Tokens): BadRequest {
  const [method, path, body] = pick(random, [
    ['GET', '/v1/logs/tenant-a.orders', ''],
    ['GET', '/v1/logs/tenant-a.orders/records', ''],
    ['GET', '/v1/logs/tenant-a.orders/records?format=rows&offset=0', ''],
    ['GET', '/v1/logs/tenant-A.orders/records', ''],
    ['GET', '/v1/logs/%74enant-a.orders/records', ''],
    ['GET', '/v1/logs/tenant-b.orders/../tenant-a.orders', ''],
    ['GET', '/v1/logs/tenant-a.orders/placement', ''],
    ['POST', '/v1/logs/tenant-a.orders/records', '{"n":1}'],
    ['POST', '/v1/logs/tenant-b.orders/fork', '{"as":"tenant-a.more"}'],
    ['POST', '/v1/logs', '{"name":"tenant-a.more"}'],
    ['PATCH', '/v1/logs/tenant-a.orders', '{"storage":{"ttl":"1s"}}'],
    ['DELETE', '/v1/logs/tenant-a.orders', ''],
    ['GET', '/v1/stream/tenant-a.orders', ''],
    ['PUT', '/v1/stream/tenant-a.stream', ''],
    ['DELETE', '/v1/stream/tenant-a.orders', ''],
    ['POST', '/v1/sql', '{"sql":"SELECT * FROM \\"tenant-a.orders\\""}'],
    ['GET', '/v1/status', ''],
    ['GET', '/v1/dump', ''],
    ['GET', '/v1/live', ''],
    ['GET', '/v1/memory', ''],
    ['GET', '/metrics', ''],
    ['POST', '/v1/snapshots', '{}'],
    ['POST', '/v1/tier/pause', '{}'],
  ] as const)
  const head = [
    `${method} ${path} HTTP/1.1`,
    'host: localhost',
    'connection: close',
    'content-type: application/json',
    `authorization: Bearer ${tenant}`,
    `content-length: ${Buffer.byteLength(body)}`,
  ]
  const bytes = Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`)
  return { bytes, isForbidden: true, behaviour: 'sends' }
}

/** A body that becomes far more than it is. */
export function bomb(random: Random, { admin }: Tokens): BadRequest {
  const encoding = pick(random, Object.keys(BOMBS))
  const body = BOMBS[encoding] ?? Buffer.alloc(0)
  const type = pick(random, ['application/json', 'application/x-ndjson', ARROW])
  const head = [
    'POST /v1/logs/whole/records HTTP/1.1',
    'host: localhost',
    'connection: close',
    `authorization: Bearer ${admin}`,
    `content-type: ${type}`,
    `content-encoding: ${encoding}`,
    `content-length: ${body.length}`,
  ]
  const bytes = Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body])
  // Who does not wait for an answer can send many.
  const behaviour = pick(random, ['sends', 'ends', 'hangs up'] as const)
  return { bytes, isForbidden: false, behaviour }
}

function cut(random: Random, bytes: Buffer): Buffer {
  return bytes.subarray(0, Math.floor(randomFraction(random) * bytes.length))
}

/** With some bytes that are others. */
function flipped(random: Random, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  for (let times = 1 + (random.uint32() % 4); times > 0; times--)
    copy[random.uint32() % copy.length] = random.uint32() & 0xff
  return copy
}
