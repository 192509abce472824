/** What a real server says at `/metrics` of appends at each level, of syncs and of queries. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CliPlace } from '../support/cli-place.ts'
import { readText } from '../support/repository.ts'
import { TestServer } from '../support/server.ts'

const place = new CliPlace()
let server: TestServer

beforeAll(async () => {
  server = await TestServer.start([...place.fresh(), '--archive', place.freshArchive()])
})
afterAll(async () => {
  await server.stop()
  place.remove()
})

type Scraped = ReadonlyMap<string, number>

async function scrape(): Promise<Scraped> {
  const text = await (await server.fetch('/metrics')).text()
  const samples = [...text.matchAll(/^(stratalog_\S+) (\S+)$/gm)]
  return new Map(samples.map(([, name = '', value = '']) => [name, Number(value)]))
}

async function post(path: string, body: unknown, status = 200): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const response = await server.fetch(path, { method: 'POST', headers, body: JSON.stringify(body) })
  expect(response.status, await response.text()).toBe(status)
}

function rows(count: number): object[] {
  return Array.from({ length: count }, (_, n) => ({ n }))
}

test('counts appends by level, syncs, and queries by outcome', async () => {
  await post('/v1/logs', { name: 'orders' }, 201)
  for (let n = 0; n < 3; n++) await post('/v1/logs/orders/records?ack=memory', rows(4))
  for (let n = 0; n < 2; n++) await post('/v1/logs/orders/records?ack=disk', rows(10))
  await post('/v1/logs/orders/records', [{ n: 'ten' }], 400)
  await post('/v1/logs/orders/records?ack=object', rows(7))
  await post('/v1/sql', { sql: 'SELECT n FROM orders' })
  await post('/v1/sql', { sql: 'SELECT n FROM orders WHERE n = 9' })
  await post('/v1/sql', { sql: 'SELECT nothing FROM orders' }, 400)
  const metrics = await scrape()
  const levels = ['memory', 'disk', 'object']
  const of = (name: string): readonly (number | undefined)[] =>
    levels.map((level) => metrics.get(`stratalog_${name}{level="${level}"}`))
  expect(of('appends_total')).toEqual([3, 2, 1])
  expect(of('append_records_total')).toEqual([12, 20, 7])
  for (const name of ['append_ack_ms', 'append_records', 'append_bytes']) {
    const counts = of(`${name}_count`).map(Number)
    expect(Math.min(...counts), name).toBeGreaterThan(0)
    expect(counts[2], name).toBe(1)
  }
  expect(of('append_records_sum')[2]).toBe(7)
  const synced = ['ms_count', 'ms_sum', 'frames_total', 'bytes_total'].map((name) =>
    Number(metrics.get(`stratalog_wal_sync_${name}`)),
  )
  expect(Math.min(...synced)).toBeGreaterThan(0)
  const outcome = (code: string): number | undefined =>
    metrics.get(`stratalog_queries_total{outcome="${code}"}`)
  expect([outcome('ok'), outcome('query_invalid')]).toEqual([2, 1])
  expect(metrics.get('stratalog_query_ms_count')).toBe(3)
  expect(metrics.get('stratalog_query_rows_total')).toBe(39 + 2)
  expect(metrics.get('stratalog_queries{state="running"}')).toBe(0)
})

test('has what lies in the archive and what it costs, without a look at the status', async () => {
  await post('/v1/logs', { name: 'kept' }, 201)
  let seen = 0
  for (const count of [1, 2]) {
    await post('/v1/logs/kept/records?ack=object', rows(count))
    const metrics = await scrape()
    const [bytes, cost] = ['stored_bytes', 'usd_per_month{of="storage"}'].map(
      (name) => metrics.get(`stratalog_archive_${name}`) ?? 0,
    )
    expect(bytes).toBeGreaterThan(seen)
    expect(cost).toBeGreaterThan(0)
    seen = Number(bytes)
    for (const name of ['used_bytes', 'parts{found="disk"}', 'parts{found="archive"}'])
      expect(metrics.get(`stratalog_archive_cache_${name}`), name).toBeDefined()
  }
})
test('has no metric that docs/metrics.md does not name, with its kind', async () => {
  await post('/v1/jobs', { kind: 'drill' }, 202)
  const page = readText('docs/metrics.md')
  const text = await (await server.fetch('/metrics')).text()
  const found = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)]
  expect(found.length).toBeGreaterThan(50)
  const unnamed = found.filter(([, name, kind]) => {
    const line = page.split('\n').find((row) => row.includes(`\`${name}\``))
    return line?.split('|')[2]?.trim() !== kind
  })
  expect(unnamed.map(([line]) => line)).toEqual([])
})
