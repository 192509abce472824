/** What queries say of themselves to the metrics port. */
import { expect, test } from 'vitest'
import { MemoryMetrics } from '../../src/base/metrics.ts'
import { Stratalog } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

test('queries are counted by outcome, with rows, and what they read of each tier', async () => {
  const root = await temporaryDirectory()
  const metrics = new MemoryMetrics()
  const places = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  await using db = await Stratalog.open(places, { metrics })
  const log = await db.createLog('orders')
  await log.append(Array.from({ length: 500 }, (_, n) => ({ n })))
  await db.tier.now({ to: 'disk' })
  await log.append([{ n: 500 }, { n: 501 }])
  const { count } =
    (await (await db.query('SELECT count(*) AS count FROM orders')).toArray())[0] ?? {}
  expect(Number(count)).toBe(502)
  await (await db.query('SELECT n FROM orders WHERE n < 40')).toArray()
  await expectError(db.query('SELECT nothing FROM orders'), 'query_invalid')
  await expectError(db.query('SELECT 1 FROM nowhere'), 'log_not_found')
  const left = await db.query('SELECT a.n FROM orders a, orders b, orders c')
  await left[Symbol.asyncDispose]()
  const outcomes = ['ok', 'query_invalid', 'log_not_found', 'aborted'].map((outcome) =>
    metrics.value('stratalog_queries_total', { outcome }),
  )
  expect(outcomes).toEqual([2, 1, 1, 1])
  expect(metrics.value('stratalog_query_ms_count')).toBe(5)
  expect(metrics.value('stratalog_query_ms_sum')).toBeGreaterThan(0)
  expect(metrics.value('stratalog_query_requests_total')).toBe(0)
  const read = (what: string): number => metrics.total(`stratalog_query_${what}_total`)
  expect(read('records')).toBeGreaterThanOrEqual(502 + 40)
  expect(metrics.value('stratalog_query_bytes_total', { tier: 'object' })).toBe(0)
  expect(read('bytes')).toBeGreaterThan(0)
  for (const state of ['running', 'waiting'])
    expect(metrics.value('stratalog_queries', { state }), state).toBe(0)
})

test('rows are those of results', async () => {
  const metrics = new MemoryMetrics()
  await using db = await Stratalog.memoryOnly({}, { metrics })
  for (const count of [5_000, 7]) {
    await (await db.query(`SELECT * FROM range(${count})`)).toArray()
  }
  expect(metrics.value('stratalog_query_rows_total')).toBe(5_007)
})
