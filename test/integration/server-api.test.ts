/** The native API of a real server: logs, records in every format, SQL, snapshots, tiers, status, metrics, OpenAPI. */
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { tableFromArrays, tableFromIPC, tableToIPC } from 'apache-arrow'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { TestServer } from '../support/server.ts'

const root = mkdtempSync(join(tmpdir(), 'stratalog-test-'))
let server: TestServer

beforeAll(async () => {
  const archive = pathToFileURL(join(root, 'archive')).href
  server = await TestServer.start(['--data-dir', join(root, 'data'), '--archive', archive])
})
afterAll(async () => {
  await server.stop()
  rmSync(root, { recursive: true, force: true })
})

type Json = Record<string, unknown>

function send(method: string, path: string, body: unknown): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  return server.fetch(path, { method, headers, body: JSON.stringify(body) })
}

async function sent(method: string, path: string, body: unknown): Promise<Json> {
  const response = await send(method, path, body)
  expect(response.status, await response.clone().text()).toBeLessThan(300)
  return (await response.json()) as Json
}

function append(
  log: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string>,
  query = '',
): Promise<Response> {
  return server.fetch(`/v1/logs/${log}/records${query}`, { method: 'POST', headers, body })
}

const NDJSON = { 'content-type': 'application/x-ndjson' }

test('the newest record of each key comes in every format', async () => {
  await sent('POST', '/v1/logs', { name: 'keyed', keyColumn: 'id' })
  const lines = ['{"id":"a","n":1}', '{"id":"b","n":2}', '{"id":"a","n":3}'].join('\n')
  expect((await append('keyed', lines, NDJSON)).status).toBe(200)
  const path = '/v1/logs/keyed/records?latest=true&columns=id,n,_offset'
  const rows = [
    { id: 'b', n: 2, _offset: 1 },
    { id: 'a', n: 3, _offset: 2 },
  ]
  expect(await server.json(`${path}&format=json`)).toEqual(rows)
  expect(await server.json(`${path}&format=json&limit=1`)).toEqual(rows.slice(0, 1))
  expect(await (await server.fetch(`${path}&format=csv`)).text()).toBe(
    'id,n,_offset\r\nb,2,1\r\na,3,2\r\n',
  )
  for (const bad of ['&from=1', '&live=true', '&last=1'])
    expect((await server.fetch(`${path}${bad}`)).status).toBe(400)
  await sent('POST', '/v1/logs', { name: 'unkeyed' })
  const refused = await server.fetch('/v1/logs/unkeyed/records?latest=true')
  expect([refused.status, ((await refused.json()) as Json)['code']]).toEqual([
    400,
    'argument_invalid',
  ])
})

test('an append with an expected offset is applied there, or refused with the next offset', async () => {
  await sent('POST', '/v1/logs', { name: 'expected', partitions: 2 })
  const at = (partition: number, offset: number | string): Promise<Response> =>
    append('expected', '{"n":1}', NDJSON, `?partition=${partition}&expectedOffset=${offset}`)
  expect(await (await at(1, 0)).json()).toEqual({ partition: 1, offset: 0, count: 1 })
  const refused = await at(1, 0)
  expect([refused.status, refused.headers.get('content-type')]).toEqual([
    409,
    'application/problem+json',
  ])
  expect(await refused.json()).toMatchObject({
    status: 409,
    code: 'offset_unexpected',
    kind: 'conflict',
    details: { log: 'expected', partition: 1, expected: 0, actual: 1 },
  })
  const racing = await Promise.all(Array.from({ length: 8 }, () => at(1, 1)))
  const applied = racing.filter(({ status }) => status === 200)
  const late = racing.filter(({ status }) => status === 409)
  expect([applied.length, late.length]).toEqual([1, 7])
  for (const bad of ['-1', '1.5', 'x', '99999999999999999999'])
    expect((await at(0, bad)).status, bad).toBe(400)
  expect((await append('expected', '{"n":1}', NDJSON, '?expectedOffset=0')).status).toBe(400)
  expect(await server.json('/v1/logs/expected')).toMatchObject({
    ranges: [
      { partition: 0, startOffset: 0, endOffset: 0 },
      { partition: 1, startOffset: 0, endOffset: 2 },
    ],
  })
})

describe('logs', () => {
  test('are created, described, listed in pages and changed', async () => {
    const schema = { at: 'timestamp[ms]', n: 'int64' }
    const made = await send('POST', '/v1/logs', {
      name: 'described',
      schema,
      timeColumn: 'at',
      partitions: 2,
    })
    expect([made.status, made.headers.get('location')]).toEqual([201, '/v1/logs/described'])
    expect(await made.json()).toMatchObject({
      name: 'described',
      timeColumn: 'at',
      ranges: [
        { partition: 0, startOffset: 0, endOffset: 0 },
        { partition: 1, startOffset: 0, endOffset: 0 },
      ],
    })
    expect((await send('POST', '/v1/logs', { name: 'described' })).status).toBe(409)
    const changed = await sent('PATCH', '/v1/logs/described', { storage: { memoryTtl: '7m' } })
    expect(changed['policy']).toMatchObject({ memoryTtl: 420_000 })
    await sent('POST', '/v1/logs', { name: 'later' })
    const first = await server.json<{ logs: Json[]; next: string }>('/v1/logs?limit=1')
    expect(first).toMatchObject({ logs: [{ name: 'described' }], next: 'described' })
    const rest = await server.json<{ logs: Json[] }>('/v1/logs?after=described')
    expect(rest.logs.map(({ name }) => name)).toContain('later')
  })

  test('are refused with every problem of what they were asked to be', async () => {
    const bad = await send('POST', '/v1/logs', { name: 'bad', storage: { mode: 'x', ack: 'y' } })
    expect(bad.status).toBe(400)
    const { code, details } = (await bad.json()) as { code: string; details: { problems: Json[] } }
    expect(code).toBe('config_invalid')
    expect(details.problems.map(({ path }) => path)).toEqual(['storage.mode', 'storage.ack'])
    for (const body of [
      {},
      { name: 7 },
      { name: '../x' },
      { name: 'stratalog.x' },
      { name: 'y', what: 1 },
    ])
      expect((await send('POST', '/v1/logs', body)).status).toBe(400)
    expect((await server.fetch('/v1/logs/nowhere')).status).toBe(404)
  })
})

describe('records', () => {
  test('come as JSON, NDJSON and Arrow, compressed or not, and go in every format', async () => {
    await sent('POST', '/v1/logs', { name: 'many' })
    const one = await append('many', '{"n":1,"name":"a"}', { 'content-type': 'application/json' })
    expect(await one.json()).toEqual({ partition: 0, offset: 0, count: 1 })
    await append('many', '[{"n":2,"name":"b"},{"n":3,"name":null}]', {
      'content-type': 'application/json; charset=utf-8',
    })
    const lines = '{"n":4,"name":"d"}\n\n{"n":5,"name":"e,\\"f"}\n'
    await append('many', gzipSync(lines), { ...NDJSON, 'content-encoding': 'gzip' })
    await append('many', zstdCompressSync('{"n":6,"name":"g"}'), {
      ...NDJSON,
      'content-encoding': 'zstd',
    })
    const table = tableFromArrays({ n: Int32Array.from([7, 8]), name: ['h', 'i'] })
    const arrow = { 'content-type': 'application/vnd.apache.arrow.stream' }
    expect(
      (await append('many', tableToIPC(table, 'stream') as Uint8Array<ArrayBuffer>, arrow)).status,
    ).toBe(200)
    const file = { 'content-type': 'application/vnd.apache.arrow.file' }
    expect(
      (await append('many', tableToIPC(table, 'file') as Uint8Array<ArrayBuffer>, file)).status,
    ).toBe(200)

    const json = await server.json<Json[]>('/v1/logs/many/records?format=json')
    expect(json.map(({ n }) => n)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 7, 8])
    expect(json[2]).toMatchObject({ name: null, _offset: 2, _partition: 0 })
    const ndjson = await (
      await server.fetch('/v1/logs/many/records?from=3&to=5&columns=n,_offset')
    ).text()
    expect(ndjson).toBe('{"n":4,"_offset":3}\n{"n":5,"_offset":4}\n')
    const csv = await server.fetch('/v1/logs/many/records?from=4&limit=1&columns=name', {
      headers: { accept: 'text/csv' },
    })
    expect(await csv.text()).toBe('name\r\n"e,""f"\r\n')
    const back = await server.fetch('/v1/logs/many/records?format=arrow&last=2')
    expect(
      tableFromIPC(await back.arrayBuffer())
        .getChild('name')
        ?.toArray(),
    ).toEqual(['h', 'i'])
    expect(await server.json('/v1/logs/many/records?format=json&from=10')).toEqual([])
  })

  test('come in bodies of many lengths at once, each as it was sent', async () => {
    await sent('POST', '/v1/logs', { name: 'bodies' })
    const rows = (sender: number): number => 200 + ((sender * 1_733) % 6_000)
    const text = (sender: number, row: number): string =>
      `${sender}.${row} `.padEnd(100, `${sender}`)
    const senders = Array.from({ length: 24 }, (_, sender) => sender)
    await Promise.all(
      senders.map(async (sender) => {
        const texts = Array.from({ length: rows(sender) }, (_, row) => text(sender, row))
        const isArrow = sender % 2 === 0
        const body = isArrow
          ? new Uint8Array(tableToIPC(tableFromArrays({ text: texts }), 'stream'))
          : texts.map((value) => JSON.stringify({ text: value })).join('\n')
        const headers = isArrow ? { 'content-type': 'application/vnd.apache.arrow.stream' } : NDJSON
        expect((await append('bodies', body, headers)).status).toBe(200)
      }),
    )
    const seen = senders.map(() => 0)
    for (const row of await server.json<{ text: string }[]>(
      '/v1/logs/bodies/records?format=json',
    )) {
      const sender = Number.parseInt(row.text)
      expect(row.text).toBe(text(sender, seen[sender] ?? -1))
      seen[sender] = (seen[sender] ?? 0) + 1
    }
    expect(seen).toEqual(senders.map(rows))
  })

  test('of a float column keep whole numbers that JSON writes without a point', async () => {
    await sent('POST', '/v1/logs', { name: 'floats', schema: { n: 'float64' } })
    const values = [1e17, -9007199254740992, 2 ** 64, 1e300, 0.5]
    const lines = values.map((n) => JSON.stringify({ n }))
    expect((await append('floats', lines.join('\n'), NDJSON)).status).toBe(200)
    const json = { 'content-type': 'application/json' }
    expect((await append('floats', `[${lines.join()}]`, json)).status).toBe(200)
    const rows = await server.json<{ n: number }[]>('/v1/logs/floats/records?format=json')
    expect(rows.map(({ n }) => n)).toEqual([...values, ...values])
  })

  test('with numbers that no column holds are refused, and change no column', async () => {
    await sent('POST', '/v1/logs', { name: 'huge', schema: { a: 'int32', b: 'float64' } })
    const json = { 'content-type': 'application/json' }
    const refused = async (text: string, headers: Record<string, string>): Promise<unknown> => {
      const answer = await append('huge', text, headers)
      const { code } = (await answer.json()) as { code: string }
      return [answer.status, code]
    }
    for (const headers of [json, NDJSON]) {
      expect(await refused('{"a":1e400}', headers)).toEqual([400, 'record_invalid'])
      expect(await refused('{"b":-1e400}', headers)).toEqual([400, 'record_invalid'])
      const digits = '{"b":123456789012345678901234567890}'
      expect(await refused(digits, headers)).toEqual([400, 'schema_mismatch'])
    }
    const log = await server.json<{ schema: { type: string }[] }>('/v1/logs/huge')
    expect(log.schema.map(({ type }) => type)).toEqual(['int32', 'float64'])
    expect(await server.json('/v1/logs/huge/records?format=json')).toEqual([])
  })

  test('are all refused when one of them is', async () => {
    await sent('POST', '/v1/logs', { name: 'strict', schema: { n: 'int64' } })
    const cases: [string, Record<string, string>, number][] = [
      ['{"n":1}\n{"n":"x"}', NDJSON, 400],
      ['{"n":1}\n{', NDJSON, 400],
      ['[1]', { 'content-type': 'application/json' }, 400],
      ['', NDJSON, 400],
      ['x', { 'content-type': 'application/vnd.apache.arrow.stream' }, 400],
      ['{"n":1}', { 'content-type': 'text/html' }, 415],
      ['{"n":1}', { ...NDJSON, 'content-encoding': 'lzma' }, 415],
      ['{"n":1}', { ...NDJSON, 'content-encoding': 'gzip' }, 400],
    ]
    for (const [body, headers, status] of cases)
      expect((await append('strict', body, headers)).status, body).toBe(status)
    for (const query of ['?ack=x', '?partition=-1', '?partition=7', '?what=1', '?priority=x'])
      expect([400, 404]).toContain((await append('strict', '{"n":1}', NDJSON, query)).status)
    expect(await server.json('/v1/logs/strict/records?format=json')).toEqual([])
    await server.fetch('/readyz')
    expect((await append('stratalog.readiness', '{"n":1}', NDJSON)).status).toBe(400)
  })

  test('that are sent again by their producer are applied once', async () => {
    await sent('POST', '/v1/logs', { name: 'once' })
    const stamp = { ...NDJSON, 'producer-id': 'p', 'producer-epoch': '0', 'producer-seq': '0' }
    const first = await (await append('once', '{"n":1}', stamp)).json()
    const again = await (await append('once', '{"n":1}', stamp)).json()
    expect([first, again]).toMatchObject([{ offset: 0 }, { offset: 0, isDuplicate: true }])
    const gap = await append('once', '{"n":1}', { ...stamp, 'producer-seq': '5' })
    expect(await gap.json()).toMatchObject({
      status: 409,
      code: 'producer_sequence_gap',
      details: { expected: 1 },
    })
  })

  test('are read on as they come, until the reader goes', async () => {
    await sent('POST', '/v1/logs', { name: 'tail' })
    const stop = new AbortController()
    const live = await server.fetch('/v1/logs/tail/records?live=true', { signal: stop.signal })
    const reader = live.body?.pipeThrough(new TextDecoderStream()).getReader()
    await append('tail', '{"n":1}', NDJSON)
    expect((await reader?.read())?.value).toContain('"n":1')
    stop.abort()
    expect((await server.fetch('/v1/logs/tail/records?live=true&format=json')).status).toBe(400)
  })

  test('are shared by a fork of their log', async () => {
    await sent('POST', '/v1/tier/now', { logs: ['many'], to: 'disk' })
    await sent('POST', '/v1/logs/many/fork', { as: 'few', atOffset: 2 })
    expect(await server.json<Json[]>('/v1/logs/few/records?format=json')).toMatchObject([
      { n: 1 },
      { n: 2 },
    ])
    for (const body of [
      {},
      { as: 'few' },
      { as: 'x', what: 1 },
      { as: 'x', atOffset: 'y' },
      { as: 'x', at: {} },
      { as: 'x', atOffset: 1e9 },
    ])
      expect([400, 409], JSON.stringify(body)).toContain(
        (await send('POST', '/v1/logs/many/fork', body)).status,
      )
  })

  test('are asked for with parameters that are known, or not at all', async () => {
    for (const query of [
      'from=-1',
      'from=x',
      'from=1&from=2',
      'limit=1e3',
      'what=1',
      'since=never',
      'live=yes',
      'format=xml',
      'columns=zzz',
    ])
      expect((await server.fetch(`/v1/logs/many/records?${query}`)).status, query).toBe(400)
  })
})

describe('SQL', () => {
  const ask = (body: unknown, query = ''): Promise<Response> =>
    send('POST', `/v1/sql${query}`, body)

  test('answers with columns, rows and what it took, or as records', async () => {
    const sql = 'SELECT n, name FROM many WHERE n > ? ORDER BY n LIMIT 2'
    expect(await (await ask({ sql, parameters: [4] })).json()).toMatchObject({
      columns: [{ name: 'n' }, { name: 'name' }],
      rows: [
        [5, 'e,"f'],
        [6, 'g'],
      ],
      stats: { recordsByTier: { memory: 10 } },
    })
    expect(await (await ask({ sql, parameters: [5] }, '?format=csv')).text()).toBe(
      'n,name\r\n6,g\r\n7,h\r\n',
    )
    expect(await (await ask({ sql, parameters: [5] }, '?format=ndjson')).text()).toBe(
      '{"n":6,"name":"g"}\n{"n":7,"name":"h"}\n',
    )
    const arrow = await ask({ sql, parameters: [5] }, '?format=arrow')
    expect(tableFromIPC(await arrow.arrayBuffer()).numRows).toBe(2)
  })

  test('says what is wrong without showing the statement, and touches nothing else', async () => {
    const wrong = await ask({ sql: 'SELECT secret_word FROM many' })
    const text = await wrong.text()
    expect(wrong.status).toBe(400)
    expect(text).not.toContain('LINE 1')
    for (const sql of [
      'DROP TABLE many',
      'SELECT 1; SELECT 2',
      `SELECT * FROM read_text('/etc/passwd')`,
      '',
    ])
      expect((await ask({ sql })).status, sql).toBe(400)
    for (const body of [
      {},
      { sql: 1 },
      { sql: 'SELECT 1', parameters: 3 },
      { sql: 'SELECT 1', what: 1 },
      { sql: 'SELECT 1', maxRows: -1 },
      { sql: 'SELECT 1', maxBytes: 'much' },
      { sql: 'SELECT 1\0' },
      { sql: ';' },
      { sql: 'SELECT 1', timeout: 'x' },
    ])
      expect((await ask(body)).status).toBe(400)
  })

  test('bounds the bytes of an answer, of one document by itself', async () => {
    const long = "SELECT repeat('x', 100000) AS v FROM range(2000)"
    const refused = await ask({ sql: long })
    expect(refused.status).toBe(429)
    expect(await refused.json()).toMatchObject({
      code: 'query_limit',
      details: { maxBytes: 128 * 1024 ** 2 },
    })
    const sql = "SELECT repeat('x', 1000) AS v FROM range(100)"
    expect((await ask({ sql, maxBytes: '10KB' })).status).toBe(429)
    expect(await (await ask({ sql, maxBytes: 200_000 })).json()).toMatchObject({
      stats: { rows: 100 },
    })
  })

  test('ends a query whose client goes away', async () => {
    const stop = new AbortController()
    const sql = 'SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b'
    const asked = server.fetch('/v1/sql', {
      method: 'POST',
      body: JSON.stringify({ sql }),
      signal: stop.signal,
    })
    stop.abort()
    await expect(asked).rejects.toThrow()
    expect((await ask({ sql: 'SELECT 1' })).status).toBe(200)
  })
})

describe('the engine', () => {
  test('has a status, snapshots and tiers', async () => {
    const status = await server.json<{ source: string; logs: Json[] }>('/v1/status')
    expect(status.source).toBe('server')
    expect(status.logs.map(({ name }) => name)).toContain('many')
    const moved = await sent('POST', '/v1/tier/now', { logs: ['many'], to: 'object' })
    expect(moved['failed']).toEqual([])
    const snapshot = await sent('POST', '/v1/snapshots', { name: 'first' })
    expect(snapshot['name']).toBe('first')
    expect(await server.json('/v1/snapshots/first')).toMatchObject({ id: snapshot['id'] })
    expect(await server.json<{ snapshots: Json[] }>('/v1/snapshots')).toMatchObject({
      snapshots: [{ name: 'first' }],
    })
    expect((await server.fetch('/v1/snapshots/second')).status).toBe(404)
    expect((await server.fetch('/v1/snapshots/first', { method: 'DELETE' })).status).toBe(200)
    await sent('POST', '/v1/tier/compact', {})
    expect(await sent('POST', '/v1/tier/collect', { dryRun: true })).toHaveProperty('bytes')
    for (const body of [{}, { logs: ['many'] }]) {
      expect(await sent('POST', '/v1/tier/pause', body)).toEqual({ paused: true })
      expect(await sent('POST', '/v1/tier/resume', body)).toEqual({ paused: false })
    }
    expect(await sent('POST', '/v1/tier/scrub', { logs: ['many'] })).toMatchObject({
      verdict: 'PASS',
    })
    expect((await send('POST', '/v1/tier/attach', { log: 'nowhere' })).status).toBe(404)
    await sent('POST', '/v1/logs', { name: 'apart' })
    await append('apart', '{"n":1}', NDJSON)
    await sent('POST', '/v1/tier/now', { logs: ['apart'] })
    await sent('POST', '/v1/tier/detach', { log: 'apart' })
    expect((await server.fetch('/v1/logs/apart')).status).toBe(404)
    await sent('POST', '/v1/tier/attach', { log: 'apart' })
    expect(await server.json<Json[]>('/v1/logs/apart/records?format=json')).toMatchObject([
      { n: 1 },
    ])
    for (const body of [{ to: 'moon' }, { logs: 'many' }, { what: 1 }])
      expect((await send('POST', '/v1/tier/now', body)).status).toBe(400)
  })

  test('shows Prometheus what it does', async () => {
    const text = await (await server.fetch('/metrics')).text()
    expect(text).toMatch(/^stratalog_http_requests_total\{route="\/v1\/sql",status="200"\} \d/m)
    expect(text).toMatch(/^stratalog_memory_used_bytes \d/m)
    expect(text).toMatch(/^stratalog_nodejs_eventloop_lag_seconds \d/m)
  })

  test('refuses requests that pages of other sites send', async () => {
    const evil = { origin: 'https://evil.example' }
    const body = JSON.stringify({ name: 'planted' })
    expect((await server.fetch('/v1/logs', { method: 'POST', headers: evil, body })).status).toBe(
      403,
    )
    expect((await server.fetch('/v1/logs/planted')).status).toBe(404)
    expect((await server.fetch('/healthz', { headers: { origin: server.url } })).status).toBe(200)
  })
})
