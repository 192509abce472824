/** Statements that no continuous query can be, refused with a code, and with the place where there is one. */
import { expect, test } from 'vitest'
import { expectError } from '../support/expect-error.ts'
import { clickLog, clicks, rowsOf } from '../support/stream-rows.ts'

const MINUTE = 'TUMBLE(_time, INTERVAL 1 MINUTE)'

const NOT_STREAMABLE: readonly string[] = [
  'SELECT 1',
  'SELECT count(*) FROM clicks',
  'SELECT user_id, count(*) FROM clicks GROUP BY user_id',
  `SELECT count(*) FROM clicks GROUP BY ${MINUTE} ORDER BY 1`,
  `SELECT count(*) FROM clicks GROUP BY ${MINUTE} LIMIT 5`,
  `SELECT DISTINCT count(*) FROM clicks GROUP BY ${MINUTE}`,
  `SELECT count(*) FROM clicks, clicks other GROUP BY ${MINUTE}`,
  `SELECT count(*) FROM clicks JOIN clicks other USING (user_id) GROUP BY ${MINUTE}`,
  `SELECT count(*) FROM (SELECT * FROM clicks) GROUP BY ${MINUTE}`,
  `WITH c AS (FROM clicks) SELECT count(*) FROM c GROUP BY ${MINUTE}`,
  `SELECT count(*) FROM clicks GROUP BY ${MINUTE} UNION ALL SELECT 1`,
  `SELECT count(*) FROM clicks WHERE user_id IN (SELECT 1) GROUP BY ${MINUTE}`,
  `SELECT count(*), (SELECT 1) FROM clicks GROUP BY ${MINUTE}`,
  `SELECT sum(count(*)) OVER () FROM clicks GROUP BY ${MINUTE}`,
  `SELECT count(*) FROM clicks GROUP BY ${MINUTE} QUALIFY row_number() OVER () = 1`,
  `SELECT count(*) FROM clicks GROUP BY GROUPING SETS ((user_id, ${MINUTE}), (${MINUTE}))`,
  `SELECT ${MINUTE}, count(*) FROM clicks GROUP BY ALL`,
  `SELECT count(*) FROM clicks GROUP BY ${MINUTE}, SESSION(_time, INTERVAL 1 MINUTE)`,
  `SELECT TUMBLE(_time, INTERVAL 1 HOUR), count(*) FROM clicks GROUP BY ${MINUTE}`,
  `SELECT count(*) FROM clicks GROUP BY date_trunc('day', ${MINUTE})`,
  `SELECT count(*) FROM "clicks$hot" GROUP BY ${MINUTE}`,
  `SELECT count(*) FROM clicks TABLESAMPLE 10% GROUP BY ${MINUTE}`,
  'SELECT count(*) FROM clicks GROUP BY TUMBLE(latency, INTERVAL 1 MINUTE)',
  `EXPLAIN SELECT count(*) FROM clicks GROUP BY ${MINUTE}`,
  `FROM clicks`,
  'DESCRIBE clicks',
]

test('what has no answer window by window is refused, and what writes is refused as ever', async () => {
  await using db = await clickLog()
  await db.log('clicks').append(clicks(10, 0))
  for (const sql of NOT_STREAMABLE)
    await expectError(rowsOf(db, sql), 'query_not_streamable').catch((cause: unknown) => {
      throw new Error(sql, { cause })
    })
  await expectError(rowsOf(db, 'DROP TABLE clicks'), 'query_forbidden')
  await expectError(
    rowsOf(db, `SELECT 1; SELECT count(*) FROM clicks GROUP BY ${MINUTE}`),
    'query_forbidden',
  )
  const file = `SELECT count(*) FROM clicks WHERE latency IN (getenv('HOME')) GROUP BY ${MINUTE}`
  await expect(rowsOf(db, file)).rejects.toMatchObject({ kind: 'invalid' })
})

test('errors of a statement name its own line and column', async () => {
  await using db = await clickLog()
  await db.log('clicks').append(clicks(10, 0))
  const placeOf = async (sql: string): Promise<unknown> =>
    (await expectError(rowsOf(db, sql), 'query_invalid')).details
  const group = `\n  GROUP BY user_id, ${MINUTE}`
  expect(await placeOf(`SELECT count(*)\nFORM clicks${group}`)).toEqual({ line: 2, column: 6 })
  expect(await placeOf(`SELECT 'é',\n  nothing FROM clicks${group}`)).toEqual({
    line: 2,
    column: 3,
  })
  expect(await placeOf(`SELECT user_id,\n\n nofunction(1) FROM clicks${group}`)).toEqual({
    line: 3,
    column: 2,
  })
  expect(await placeOf(`SELECT latency FROM clicks${group}`)).toEqual({ line: 1, column: 8 })
  expect(await placeOf(`SELECT 1 FROM clicks\nWHERE lost = 1${group}`)).toEqual({
    line: 2,
    column: 7,
  })
  const sized = (size: string): string => `SELECT 1 FROM clicks\n GROUP BY TUMBLE(_time, ${size})`
  for (const size of [
    '5',
    "INTERVAL '1' MONTH",
    'INTERVAL 0 SECONDS',
    'INTERVAL 1 MICROSECOND',
    'user_id',
    '$1',
  ])
    expect(await placeOf(sized(size)), size).toEqual({ line: 2, column: 11 })
  const hop = 'SELECT 1 FROM clicks GROUP BY HOP(_time, INTERVAL 2 MINUTES, INTERVAL 1 MINUTE)'
  expect(await placeOf(hop)).toEqual({ line: 1, column: 31 })
  expect(await placeOf('SELECT 1 FROM clicks GROUP BY HOP(_time, INTERVAL 2 MINUTES)')).toEqual({
    line: 1,
    column: 31,
  })
})

test('a log that is not there is named with the nearest that is', async () => {
  await using db = await clickLog()
  const { details } = await expectError(
    rowsOf(db, `SELECT count(*) FROM click GROUP BY ${MINUTE}`),
    'log_not_found',
  )
  expect(details).toMatchObject({ nearest: 'clicks' })
})

test('options that are none are refused', async () => {
  await using db = await clickLog()
  const sql = `SELECT count(*) AS n FROM clicks GROUP BY ${MINUTE}`
  const wrong: object[] = [
    { latenes: '5s' },
    { lateness: -1 },
    { late: 'keep' },
    { emit: 'always' },
    { from: -1 },
    { from: 'end' },
    { since: 'yesterday' },
    { live: 1 },
    { onGap: 'wait' },
    { maxStateBytes: 'much' },
    { resumePoint: {} },
  ]
  for (const options of wrong) await expectError(rowsOf(db, sql, options), 'argument_invalid')
  await db.log('clicks').append(clicks(10, 0))
  await expectError(rowsOf(db, sql, { parameters: [1] }), 'query_invalid')
})

test('a log with a column of a name that windows need is refused, and named', async () => {
  await using db = await clickLog()
  await db.log('clicks').append({ timestamp: new Date(0), window_start: 1 })
  const { message } = await expectError(
    rowsOf(db, `SELECT count(*) AS n FROM clicks GROUP BY ${MINUTE}`),
    'query_not_streamable',
  )
  expect(message).toContain('window_start')
})
