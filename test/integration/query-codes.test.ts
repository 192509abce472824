import { DuckDBInstance } from '@duckdb/node-api'
import { expect, onTestFinished, test } from 'vitest'
import { present } from '../../src/base/assert.ts'
import { Stratalog } from '../../src/index.ts'
import { ISOLATIONS } from '../support/query-logs.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const RECORDS = 60_000
const BATCH = 5000
const EVENTS = ['view', 'buy', '', 'Ärger mit dem Warenkorb', 'return', null, "O'Fallon"]
const PLACES = ['Wien', 'Graz', 'Linz']

/** The same rule as in `plainTable`. */
function record(index: number): Record<string, unknown> {
  return {
    event: EVENTS[index % EVENTS.length],
    // Texts that only later batches have.
    place: index < RECORDS / 2 ? PLACES[index % 2] : PLACES[index % 3],
    user: `user ${index % 40_000}`,
    amount: index % 1000,
  }
}

async function plainTable(): Promise<(sql: string) => Promise<string>> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  onTestFinished(() => {
    connection.disconnectSync()
    instance.closeSync()
  })
  const text = (value: string | null): string =>
    value === null ? 'NULL' : `'${value.replaceAll("'", "''")}'`
  const list = (values: readonly (string | null)[]): string => `[${values.map(text).join(', ')}]`
  await connection.run(`CREATE TABLE events AS SELECT
    ${list(EVENTS)}[1 + (i % ${EVENTS.length})::INT] AS event,
    ${list(PLACES)}[1 + (CASE WHEN i < ${RECORDS / 2} THEN i % 2 ELSE i % 3 END)::INT] AS place,
    'user ' || (i % 40000) AS user, (i % 1000)::INT AS amount, i AS _offset
    FROM range(${RECORDS}) t(i)`)
  return async (sql) => textOf((await connection.runAndReadAll(sql)).getRowObjectsJS())
}

function textOf(rows: readonly unknown[]): string {
  return JSON.stringify(rows, (_, value: unknown) =>
    typeof value === 'bigint' || typeof value === 'number' ? String(value) : value,
  )
}

const STATEMENTS = [
  'SELECT event, count(*) AS n, avg(amount) AS mean FROM events GROUP BY event ORDER BY event',
  'SELECT place, event, sum(amount) AS total FROM events GROUP BY 1, 2 ORDER BY 1, 2',
  "SELECT e.event AS what, count(*) AS n FROM events e WHERE e.event <> 'buy' AND amount > 17 GROUP BY what HAVING count(*) > 1 ORDER BY n, what",
  "SELECT place, count(DISTINCT event) AS kinds, max(event) AS last, string_agg(DISTINCT event, '|' ORDER BY event) AS all_of_them FROM events WHERE _offset BETWEEN 20000 AND 55000 GROUP BY place ORDER BY place",
  'SELECT UPPER(event), count(*) AS N FROM events GROUP BY event ORDER BY 1 NULLS FIRST',
  'SELECT max(n) AS most FROM (SELECT event, count(*) AS n FROM events GROUP BY event)',
  'SELECT user, event, count(*) AS n FROM events GROUP BY user, event ORDER BY n DESC, user, event LIMIT 5',
  'SELECT a.event, a.n, b.m FROM (SELECT event, count(*) AS n FROM events GROUP BY event) a JOIN (SELECT event, sum(amount) AS m FROM events GROUP BY event) b ON a.event = b.event ORDER BY a.event',
]

async function filled(db: Stratalog, mode: 'memory' | 'persistent'): Promise<Stratalog> {
  const log = await db.createLog('events', { storage: { mode } })
  for (let start = 0; start < RECORDS; start += BATCH)
    await log.append(Array.from({ length: BATCH }, (_, index) => record(start + index)))
  return db
}

async function answer(db: Stratalog, sql: string): Promise<string> {
  return textOf(await (await db.query(sql)).toArray())
}

async function planOf(db: Stratalog, sql: string): Promise<string> {
  const rows = await (await db.query(`EXPLAIN ANALYZE ${sql}`)).toArray()
  return JSON.stringify(rows)
}

test.each(ISOLATIONS)(
  '%s: statements that group by texts in RAM are grouped by codes, and answer as plain DuckDB does',
  async (queryIsolation) => {
    await using db = await filled(await Stratalog.memoryOnly({ queryIsolation }), 'memory')
    const plain = await plainTable()

    for (const sql of STATEMENTS) expect(await answer(db, sql), sql).toBe(await plain(sql))

    expect(await planOf(db, present(STATEMENTS[0], 'a statement'))).toMatch(/PERFECT_HASH_GROUP_BY/)
    // Nearly every record has a user of its own: no codes are kept.
    const byUser = 'SELECT user, count(*) AS n FROM events GROUP BY user'
    expect(await planOf(db, byUser)).not.toMatch(/PERFECT_HASH_GROUP_BY/)
  },
)

test('groups of records in segments and in RAM are formed by one set of codes', async () => {
  const plain = await plainTable()
  await using db = await filled(
    await Stratalog.open({ dataDir: await temporaryDirectory() }),
    'persistent',
  )
  await db.tier.now({ to: 'disk' })
  const log = db.log('events')
  await log.append([{ ...record(0), event: 'only in RAM' }])
  const added = RECORDS
  const sql = present(STATEMENTS[0], 'a statement').replace(
    'GROUP',
    `WHERE _offset <> ${added} GROUP`,
  )

  expect(await answer(db, sql)).toBe(await plain(sql))
  expect(await planOf(db, sql)).toMatch(/PERFECT_HASH_GROUP_BY/)
  const last = await answer(
    db,
    'SELECT event, count(*) AS n FROM events GROUP BY event ORDER BY n, event LIMIT 1',
  )
  expect(last).toBe('[{"event":"only in RAM","n":"1"}]')
})

test('a few records after a restart, whose texts are kept without a dictionary, do not end the use of codes', async () => {
  const plain = await plainTable()
  const dataDir = await temporaryDirectory()
  const before = await filled(await Stratalog.open({ dataDir }), 'persistent')
  await before.tier.now({ to: 'disk' })
  await before.close()
  await using db = await Stratalog.open({ dataDir })
  const added = [{ ...record(0), event: 'on disk' }, { amount: 1 }, record(1)]
  const log = db.log('events')
  await log.append(added)
  await db.tier.now({ to: 'disk' })
  await log.append({ ...record(0), event: 'only in RAM' })
  const grouped = present(STATEMENTS[0], 'a statement')
  const coded =
    'SELECT event, count(DISTINCT amount) AS n FROM events GROUP BY event ORDER BY event'

  for (const sql of [grouped, coded]) {
    const old = sql.replace('GROUP', `WHERE _offset < ${RECORDS} GROUP`)
    expect(await answer(db, old)).toBe(await plain(sql))
    expect(await planOf(db, sql)).toMatch(/GROUP BY scan\d+_code_/)
  }
  const counts = 'SELECT event, count(*) AS n FROM events GROUP BY event'
  expect(await answer(db, `${counts} ORDER BY n, event LIMIT 2`)).toBe(
    '[{"event":"on disk","n":"1"},{"event":"only in RAM","n":"1"}]',
  )
  expect(await answer(db, `SELECT sum(n) AS n FROM (${counts})`)).toBe(`[{"n":"${RECORDS + 4}"}]`)
})
