/** Statements that are checked once and run many times. */
import { expect, onTestFinished, test } from 'vitest'
import { Stratalog } from '../../src/engine/stratalog.ts'
import { expectError } from '../support/expect-error.ts'
import { ISOLATIONS } from '../support/query-logs.ts'

async function engine(queryIsolation: (typeof ISOLATIONS)[number] = 'thread'): Promise<Stratalog> {
  const db = await Stratalog.memoryOnly({ queryIsolation })
  onTestFinished(() => db.close())
  const log = await db.createLog('clicks', { schema: { user_id: 'int64', event: 'utf8' } })
  const records = Array.from({ length: 60_000 }, (_, n) => ({
    user_id: n % 100,
    event: ['view', 'buy', 'search'][n % 3] ?? '',
  }))
  await log.append(records)
  return db
}

test.each(ISOLATIONS)('%s: a prepared query runs many times, also at once', async (isolation) => {
  const db = await engine(isolation)
  const counts = await db.prepare(
    'SELECT event, count(*) AS n FROM clicks WHERE user_id < $1 GROUP BY event ORDER BY event',
  )
  expect(counts.parameters).toEqual(['1'])
  const answers = Array.from({ length: 12 }, async (_, n) => {
    const rows = await (await counts.query([n % 4])).toArray()
    const total = rows.reduce((sum, row) => sum + Number(row['n']), 0)
    return [rows.length, total]
  })
  const expected = [0, 1, 2, 3].map((users) => [users === 0 ? 0 : 3, users * 600])
  expect(await Promise.all(answers)).toEqual([...expected, ...expected, ...expected])
  const named = await db.prepare('SELECT $high AS high, $low AS low')
  expect([...named.parameters].toSorted()).toEqual(['high', 'low'])
  expect(await (await named.query({ low: 1, high: 'x' })).toArray()).toEqual([
    { high: 'x', low: 1 },
  ])
  await expectError(counts.query([]), 'query_invalid')
  await expectError(
    counts.query([1], { maxRows: 1 }).then((rows) => rows.toArray()),
    'query_limit',
  )
})

test.each(ISOLATIONS)('%s: what is wrong is said when it is prepared', async (isolation) => {
  const db = await engine(isolation)
  const syntax = await expectError(
    db.prepare('SELECT user_id\nFROM clicks WHER 1'),
    'query_invalid',
  )
  expect(syntax.details).toEqual({ line: 2, column: 18 })
  await expectError(db.prepare('SELECT nothing FROM clicks WHERE user_id = $1'), 'query_invalid')
  const log = await expectError(db.prepare('SELECT * FROM click'), 'log_not_found')
  expect(log.details).toMatchObject({ nearest: 'clicks' })
  await expectError(db.prepare('DELETE FROM clicks'), 'query_forbidden')
  await expectError(db.prepare('SELECT 1; SELECT 2'), 'query_forbidden')
  await expectError(db.prepare('SELECT 1\0'), 'query_invalid')
  await expectError(db.prepare(5 as unknown as string), 'argument_invalid')
  await expectError(db.prepare('SELECT 1', { maxRows: 1 } as object), 'argument_invalid')
  await expectError(db.prepare('SELECT 1', { signal: AbortSignal.abort() }), 'aborted')
})

test('a prepared query sees the logs as they are when it runs', async () => {
  const db = await engine()
  const all = await db.prepare('SELECT * FROM clicks LIMIT 1')
  const names = (columns: readonly { readonly name: string }[] | null): unknown =>
    columns?.map(({ name }) => name)
  expect(all.columns?.slice(0, 2)).toEqual([
    { name: 'user_id', type: 'BIGINT' },
    { name: 'event', type: 'VARCHAR' },
  ])
  const before = await all.query()
  expect(names(before.columns)).toEqual(names(all.columns))
  await before.close()
  await db.log('clicks').append({ user_id: 1, event: 'view', latency: 0.5 })
  const after = await all.query()
  expect(names(after.columns)).toEqual([
    'user_id',
    'event',
    'latency',
    '_offset',
    '_partition',
    '_time',
  ])
  await after.close()
  await db.deleteLog('clicks')
  await expectError(all.query(), 'log_not_found')
  const explained = await db.prepare('EXPLAIN SELECT 1')
  expect(explained.columns).toBeNull()
  expect(await (await explained.query()).toArray()).toHaveLength(1)
  await db.close()
  await expectError(all.query(), 'engine_closed')
  await expectError(db.prepare('SELECT 1'), 'engine_closed')
})
