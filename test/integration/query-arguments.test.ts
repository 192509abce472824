/** What SQL is given beside the statement, and statements that are none: refused by name, whatever it is. */
import { describe, expect, onTestFinished, test } from 'vitest'
import type { QueryOptions } from '../../src/engine/query-options.ts'
import { Stratalog } from '../../src/engine/stratalog.ts'
import type { StreamSqlOptions } from '../../src/engine/stream-options.ts'
import type { QueryParameter, QueryParameters } from '../../src/base/query-parameters.ts'
import { expectError } from '../support/expect-error.ts'
import { ISOLATIONS } from '../support/query-logs.ts'

const WINDOWS = 'SELECT count(*) AS n FROM o WHERE v > $1 GROUP BY TUMBLE(at, INTERVAL 1 DAY)'

async function engine(queryIsolation: (typeof ISOLATIONS)[number] = 'thread'): Promise<Stratalog> {
  const db = await Stratalog.memoryOnly({ queryIsolation })
  onTestFinished(() => db.close())
  const log = await db.createLog('o', {
    timeColumn: 'at',
    schema: { v: 'int64', at: 'timestamp[ms]' },
  })
  await log.append([
    { v: 1, at: new Date(0) },
    { v: 2, at: new Date(1) },
  ])
  return db
}

async function firstWindow(db: Stratalog, sql: string, options: StreamSqlOptions): Promise<void> {
  const given =
    options === null || typeof options !== 'object' ? options : { live: false, ...options }
  for await (const row of db.streamSql(sql, given)) expect(row).toBeDefined()
}

describe.each(ISOLATIONS)('%s', (isolation) => {
  test('parameters that no other thread can be given are refused, and hold nothing up', async () => {
    const db = await engine(isolation)
    for (const value of [
      Symbol('x'),
      () => 1,
      new Map(),
      [1],
      { a: 1 },
      new Date(NaN),
      2n ** 127n,
    ]) {
      const error = await expectError(
        db.query('SELECT $1 AS v', [value as QueryParameter], { timeout: '5s' }),
        'query_invalid',
      )
      expect(error.details).toEqual({ name: '1' })
      const named = await expectError(
        db.query('SELECT $a AS v', { a: value as QueryParameter }, { timeout: '5s' }),
        'query_invalid',
      )
      expect(named.details).toEqual({ name: 'a' })
      await expectError(
        firstWindow(db, WINDOWS, { parameters: [value as QueryParameter] }),
        'query_invalid',
      )
    }
    expect(await (await db.query('SELECT 7 AS v')).toArray()).toEqual([{ v: 7 }])
    await db.close()
  })

  test('text behind a NUL is not left out of a statement', async () => {
    const db = await engine(isolation)
    const error = await expectError(
      db.query('SELECT count(*)\nFROM o\0 WHERE v < 2'),
      'query_invalid',
    )
    expect(error.details).toEqual({ line: 2, column: 7 })
    await expectError(db.query('EXPLAIN SELECT count(*) FROM o\0 WHERE v < 2'), 'query_invalid')
    await expectError(
      firstWindow(db, `${WINDOWS}\0 HAVING false`, { parameters: [0] }),
      'query_invalid',
    )
    expect(await (await db.query('SELECT $1 AS v', ['a\0b'])).toArray()).toEqual([{ v: 'a\0b' }])
  })

  test('a statement of nothing but semicolons is an empty one', async () => {
    const db = await engine(isolation)
    for (const sql of [';', ' ; -- nothing\n;', 'EXPLAIN ;', 'EXPLAIN']) {
      await expectError(db.query(sql), 'query_invalid')
      await expectError(firstWindow(db, sql, {}), 'query_invalid')
    }
    expect(await (await db.query('SELECT 7 AS v;')).toArray()).toEqual([{ v: 7 }])
  })
})

test('arguments that are none of their kind are refused', async () => {
  const db = await engine()
  for (const sql of [5, null, undefined, {}] as unknown as string[])
    await expectError(db.query(sql), 'argument_invalid')
  for (const parameters of [null, 5, 'abc', new Set([1]), new Map([['a', 1]])]) {
    await expectError(
      db.query('SELECT $1 AS v', parameters as unknown as QueryParameters),
      'argument_invalid',
    )
    await expectError(
      firstWindow(db, WINDOWS, { parameters: parameters as unknown as QueryParameters }),
      'argument_invalid',
    )
  }
  for (const options of [null, 5, 'x', { signal: 5 }, { signal: null }, { asOf: null }])
    await expectError(
      db.query('SELECT count(*) FROM o', [], options as unknown as QueryOptions),
      'argument_invalid',
    )
  for (const options of [null, 5, { signal: 5 }])
    await expectError(
      firstWindow(db, WINDOWS, options as unknown as StreamSqlOptions),
      'argument_invalid',
    )
})

test('a table that a log does not have is answered with those that it has', async () => {
  const db = await engine()
  for (const table of ['o$foo', 'o$', 'o$latest$hot', 'O$Foo']) {
    const error = await expectError(db.query(`SELECT * FROM "${table}"`), 'query_invalid')
    expect(error.message).toMatch(
      /^Log 'o' has no table '.*'; its tables are o, "o\$hot", "o\$cold"/,
    )
    expect(error.message).not.toMatch(/latest"/)
    expect(error.details).toEqual({ log: 'o', table })
  }
  const keyed = await db.createLog('keyed', { keyColumn: 'k', schema: { k: 'utf8' } })
  const error = await expectError(db.query(`SELECT * FROM "${keyed.name}$last"`), 'query_invalid')
  expect(error.message).toMatch(/"keyed\$latest"/)
  const unknown = await expectError(db.query('SELECT * FROM "keyd$foo"'), 'log_not_found')
  expect(unknown.details).toMatchObject({ log: 'keyd', nearest: 'keyed' })
})

test('whole numbers are compared whole, also where a double rounds its neighbours', async () => {
  const db = await Stratalog.memoryOnly()
  onTestFinished(() => db.close())
  const log = await db.createLog('n', { schema: { v: 'int64' } })
  await log.append([{ v: 2n ** 53n }, { v: 2n ** 53n + 1n }, { v: 2n ** 62n + 1n }])
  const counted = async (value: number): Promise<unknown> =>
    (await db.query('SELECT count(*) AS n FROM n WHERE v > $1', [value])).toArray()
  expect(await counted(2 ** 53)).toEqual([{ n: 2 }])
  expect(await counted(2 ** 62)).toEqual([{ n: 1 }])
  const typed = async (value: number): Promise<unknown> =>
    (await (await db.query('SELECT typeof($1) AS t', [value])).toArray())[0]?.['t']
  expect(await typed(-(2 ** 63))).toBe('BIGINT')
  expect(await typed(2 ** 63)).toBe('HUGEINT')
  expect(await typed(-(2 ** 127))).toBe('HUGEINT')
  expect(await typed(2 ** 127)).toBe('DOUBLE')
  expect(await typed(0.5)).toBe('DOUBLE')
})
