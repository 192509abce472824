/** How many queries run at once, beside what else the process wants of its pool of threads. */
import { env } from 'node:process'
import { afterEach, expect, onTestFinished, test } from 'vitest'
import type { Metrics } from '../../src/base/metrics.ts'
import { noMetrics } from '../../src/base/metrics.ts'
import { Stratalog } from '../../src/engine/stratalog.ts'
import { expectError } from '../support/expect-error.ts'

const VARIABLE = 'UV_THREADPOOL_SIZE'
const ENDLESS = 'SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b'

const before = env[VARIABLE]
afterEach(() => {
  if (before === undefined) delete env[VARIABLE]
  else env[VARIABLE] = before
})

test.each([
  [undefined, 'thread', 2],
  ['1', 'thread', 1],
  ['2', 'thread', 1],
  ['3', 'thread', 1],
  ['16', 'thread', 2],
  ['1', 'process', 2],
] as const)('with a pool of %s, %s: %i of three', async (size, queryIsolation, expected) => {
  if (size === undefined) delete env[VARIABLE]
  else env[VARIABLE] = size
  const seen: (readonly [number, string])[] = []
  const metrics: Metrics = {
    ...noMetrics,
    gauge: (name, value, labels) => {
      if (name === 'stratalog_queries') seen.push([value, labels?.['state'] ?? ''])
    },
  }
  const db = await Stratalog.memoryOnly({ queryIsolation }, { metrics })
  onTestFinished(() => db.close())
  const stop = new AbortController()
  const queries = [1, 2, 3].map(() =>
    expectError(db.query(ENDLESS, [], { signal: stop.signal }), 'aborted'),
  )
  await expect
    .poll(() => seen.some(([value, state]) => state === 'waiting' && value === 3 - expected), {
      timeout: 30_000,
    })
    .toBe(true)
  stop.abort()
  await Promise.all(queries)
  expect(Math.max(...seen.map(([value, state]) => (state === 'running' ? value : 0)))).toBe(
    expected,
  )
})
