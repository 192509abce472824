/** Aggregates that scans make: the same as plain DuckDB makes of the same records, value by value and type by type. */
import { DuckDBInstance, timestampValue } from '@duckdb/node-api'
import { expect, onTestFinished, test } from 'vitest'
import { type Random, randomFraction, seededRandom } from '../../src/base/random.ts'
import { Stratalog } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { ISOLATIONS } from '../support/query-logs.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const RECORDS = 60_000
const BATCH = 4_000
const START = Date.UTC(2026, 0, 1)
const KINDS = ['view', 'buy', '', 'Ärger', null, "O'Fallon"]
const PLACES = ['Wien', 'Graz', 'Linz', null]

const NUMBERS = [
  ['small', 'int16', 'SMALLINT'],
  ['amount', 'int32', 'INTEGER'],
  ['count32', 'uint32', 'UINTEGER'],
  ['wide', 'int64', 'BIGINT'],
  ['price', 'float64', 'DOUBLE'],
  ['short', 'float32', 'FLOAT'],
] as const

interface Sample {
  readonly kind: string | null
  readonly place: string | null
  readonly small: number | null
  readonly amount: number | null
  readonly count32: number
  readonly wide: bigint | null
  readonly price: number | null
  readonly short: number
  readonly seen: Date | null
  readonly ts: Date
}

/** Sums of its fractions are exact, in whatever order. */
function sample(random: Random, index: number): Sample {
  const whole = (size: number): number => Math.floor(randomFraction(random) * size)
  const some = <Value>(value: Value): Value | null => (whole(5) === 0 ? null : value)
  return {
    kind: KINDS[whole(KINDS.length)] ?? null,
    place: PLACES[whole(PLACES.length)] ?? null,
    small: some(whole(60_000) - 30_000),
    amount: some(whole(2 ** 32) - 2 ** 31),
    count32: whole(2 ** 32),
    wide: some(BigInt(whole(2 ** 40) - 2 ** 39) * 8191n),
    price: some(whole(100_000) / 4 - 1000),
    short: whole(1000) / 8,
    seen: some(new Date(START + whole(1e9))),
    ts: new Date(START + index * 10),
  }
}

const samples = Array.from(
  { length: RECORDS },
  (
    (random) => (_: unknown, index: number) =>
      sample(random, index)
  )(seededRandom(7)),
)

type Parameters = readonly (string | number | Date)[]

type Answer = (sql: string, parameters?: Parameters) => Promise<readonly unknown[]>

/** Of all records, and the first `extra` of them again. */
async function plainTable(extra = 0): Promise<Answer> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  onTestFinished(() => {
    connection.disconnectSync()
    instance.closeSync()
  })
  const columns = NUMBERS.map(([name, , type]) => `${name} ${type}`).join(', ')
  await connection.run(
    `CREATE TABLE events (kind VARCHAR, place VARCHAR, ${columns}, seen TIMESTAMP_MS, ts TIMESTAMP, _offset BIGINT)`,
  )
  const json = JSON.stringify([...samples, ...samples.slice(0, extra)], (_, value: unknown) =>
    typeof value === 'bigint' ? Number(value) : value,
  )
  const types = [
    `kind: 'VARCHAR', place: 'VARCHAR'`,
    ...NUMBERS.map(([name, , type]) => `${name}: '${type}'`),
    `seen: 'TIMESTAMP', ts: 'TIMESTAMP'`,
  ].join(', ')
  await connection.run(
    `INSERT INTO events SELECT *, row_number() OVER () - 1 FROM
     (SELECT unnest(from_json($1::JSON, '[{${types.replaceAll("'", '"').replaceAll(/(\w+):/g, '"$1":')}}]'), recursive := true))`,
    [json],
  )
  return async (sql, parameters = []) => {
    const values = parameters.map((value) =>
      value instanceof Date ? timestampValue(BigInt(value.getTime()) * 1000n) : value,
    )
    const reader = await connection.runAndReadAll(sql, values)
    const heads = reader.columnNames().map((name, at) => [name, String(reader.columnType(at))])
    return textsOf([heads, ...reader.getRowsJS()])
  }
}

function textsOf(rows: readonly unknown[]): readonly unknown[] {
  return rows.map((row) =>
    JSON.stringify(row, (_, value: unknown) =>
      typeof value === 'bigint' || typeof value === 'number' ? String(value) : value,
    ),
  )
}

async function filled(db: Stratalog, mode: 'memory' | 'hybrid'): Promise<void> {
  const numbers = NUMBERS.map(([name, type]) => ({ name, type, nullable: true }))
  const log = await db.createLog('events', {
    timeColumn: 'ts',
    storage: { mode },
    schema: {
      kind: 'utf8',
      place: 'utf8',
      ...Object.fromEntries(numbers.map(({ name, type }) => [name, type])),
      seen: 'timestamp[ms]',
      ts: 'timestamp[ms]',
    },
  })
  for (let start = 0; start < RECORDS; start += BATCH)
    await log.append(samples.slice(start, start + BATCH).map((record) => ({ ...record })))
}

function answerOf(db: Stratalog): Answer {
  return async (sql, parameters = []) => {
    const result = await db.query(sql, parameters)
    const heads = result.columns.map(({ name, type }) => [name, type])
    return textsOf([heads, ...(await result.toArray()).map((row) => Object.values(row))])
  }
}

/** Whether the scan made the aggregates, by the names of the columns that it gives. */
async function hasPartials(
  db: Stratalog,
  sql: string,
  parameters: Parameters = [],
): Promise<boolean> {
  const plan = await (await db.query(`EXPLAIN ANALYZE ${sql}`, parameters)).toArray()
  return /scan\d+_(?:rows|values|sum|high|low|least|greatest)_/.test(JSON.stringify(plan))
}

const T1 = "TIMESTAMP '2026-01-01 00:00:30'"
const T2 = "TIMESTAMP '2026-01-01 00:09:30.01'"

const AGGREGATED = [
  'SELECT count(*) FROM events',
  'SELECT count(*), count(wide), sum(wide), min(wide), max(wide), avg(amount) FROM events',
  'SELECT kind, count(*) FROM events GROUP BY kind ORDER BY kind',
  'SELECT kind, count(*) AS n, round(avg(price), 4) AS mean FROM events GROUP BY kind ORDER BY kind',
  'SELECT place, kind, sum(amount), avg(small), count(price) FROM events GROUP BY 1, 2 ORDER BY 1, 2',
  'SELECT (max(ts) - min(ts))::VARCHAR AS span, min(seen), max(seen) FROM events',
  'SELECT min(small), max(count32), min(price), max(short), sum(short), sum(count32) FROM events',
  'SELECT kind, sum(price) / count(*) AS each FROM events e GROUP BY e.kind HAVING max(e.amount) > 5 ORDER BY each',
  `SELECT count(*), sum(amount) FROM events WHERE ts >= ${T1} AND ts < ${T2}`,
  `SELECT count(*), sum(amount) FROM events WHERE ts > ${T1} AND ts <= ${T2}`,
  `SELECT count(*), sum(amount) FROM events WHERE ts BETWEEN ${T1} AND ${T2}`,
  `SELECT place, count(*), max(wide) FROM events WHERE ${T1} <= ts GROUP BY place ORDER BY place`,
  'SELECT kind, count(*) FROM events WHERE amount > -5 AND amount < 1000000000 GROUP BY kind ORDER BY 1',
  'SELECT kind, count(*) FROM events WHERE wide >= -2048000000000 AND small < 100 GROUP BY kind ORDER BY 1',
  'SELECT count(*) FROM events WHERE _offset > 99 AND _offset <= 59000',
  "SELECT count(*), sum(price) FROM events WHERE seen >= TIMESTAMP '2026-01-05 12:00:00.000001'",
  'SELECT n FROM (SELECT kind, count(*) AS n, sum(wide) AS total FROM events GROUP BY kind) ORDER BY n',
  'SELECT a.kind, a.n, b.m FROM (SELECT kind, count(*) AS n FROM events GROUP BY kind) a JOIN (SELECT kind, sum(amount) AS m FROM events GROUP BY kind) b ON a.kind = b.kind ORDER BY a.kind',
  'SELECT upper(kind), coalesce(sum(amount), 0) + 1 FROM events GROUP BY kind ORDER BY 1 NULLS FIRST LIMIT 3',
  'SELECT count(kind), count(place) FROM events',
  // Nothing that passes, for some turns.
  'SELECT count(*), sum(amount), max(wide), min(seen), max(price), sum(short), sum(count32) FROM events WHERE small > 31000',
  'SELECT kind, place, sum(amount), max(wide), min(seen), max(price), sum(short) FROM events WHERE small > 31000 GROUP BY kind, place',
  'SELECT kind, place, sum(amount), max(wide), min(seen), max(price), sum(short) FROM events WHERE small = 29000 GROUP BY kind, place ORDER BY 1, 2, 3',
  'SELECT kind, max(price) AS most FROM events GROUP BY kind ORDER BY 1',
]

const SINCE = new Date(START + 3000)
const UNTIL = new Date(START + 590_000)

const WITH_PARAMETERS: readonly (readonly [string, Parameters])[] = [
  ['SELECT count(*), sum(amount) FROM events WHERE ts >= ? AND ts < ?', [SINCE, UNTIL]],
  [
    'SELECT kind, count(*) AS n FROM events WHERE ts BETWEEN $1 AND $2 GROUP BY 1 ORDER BY 1',
    [SINCE, UNTIL],
  ],
  [
    'SELECT kind, max(wide) AS most FROM events WHERE ts < $2 AND amount > $1 GROUP BY kind HAVING count(*) > $3 ORDER BY 1',
    [-5, UNTIL, 100],
  ],
  [
    'SELECT kind, sum(amount) + $2 AS more FROM events WHERE small >= $1 GROUP BY kind ORDER BY 1',
    [5, 7],
  ],
]

const OTHERS = [
  'SELECT count(DISTINCT amount) FROM events',
  'SELECT kind, count(*) FILTER (amount > 5) FROM events GROUP BY kind ORDER BY kind',
  'SELECT kind, string_agg(DISTINCT kind) FROM events GROUP BY kind ORDER BY kind',
  'SELECT kind, list_sort(list(DISTINCT place)) FROM events GROUP BY kind ORDER BY kind',
  'SELECT max(kind), min(place) FROM events',
  'SELECT sum(amount + 1) FROM events',
  'SELECT kind, quantile_cont(price, 0.5) FROM events GROUP BY kind ORDER BY kind',
  'SELECT amount % 3 AS third, count(*) FROM events GROUP BY third ORDER BY third',
  'SELECT avg(wide) FROM events',
  'SELECT count(*) FROM events WHERE price > 17',
  "SELECT count(*) FROM events WHERE kind = 'buy'",
  'SELECT count(*) FROM events WHERE amount > 5 OR small > 5',
  'SELECT count(*) FROM events WHERE amount > 5 AND amount > 100',
  'SELECT count(*) FROM events WHERE amount > small',
  'SELECT count(*) FROM events WHERE amount > 5 AND small IN (SELECT small FROM events WHERE small > 29990)',
  'SELECT kind, max(price) AS price FROM events GROUP BY kind HAVING max(price) > 5 ORDER BY kind',
  'SELECT kind, sum(count(*)) OVER (ORDER BY kind) AS running FROM events GROUP BY kind ORDER BY kind',
]

test.each(ISOLATIONS)('%s: scans in RAM make the aggregates', async (queryIsolation) => {
  await using db = await Stratalog.memoryOnly({ queryIsolation })
  await filled(db, 'memory')
  const [ours, plain] = [answerOf(db), await plainTable()]

  for (const sql of AGGREGATED) {
    expect(await ours(sql), sql).toEqual(await plain(sql))
    expect(await hasPartials(db, sql), sql).toBe(true)
  }
  for (const [sql, parameters] of WITH_PARAMETERS) {
    expect(await ours(sql, parameters), sql).toEqual(await plain(sql, parameters))
    expect(await hasPartials(db, sql, parameters), sql).toBe(true)
  }
  const named = await db.query(
    'SELECT count(*) AS n, $more + 1 AS one FROM events WHERE ts >= $since AND amount > $least',
    { since: SINCE, more: 7, least: 0 },
  )
  const counted = 'SELECT count(*) AS n FROM events WHERE ts >= $1 AND amount > $2'
  const [, expected] = await plain(counted, [SINCE, 0])
  expect(textsOf((await named.toArray()).map(({ n }) => [n]))).toEqual([expected])
  for (const sql of OTHERS) {
    expect(await ours(sql), sql).toEqual(await plain(sql))
    expect(await hasPartials(db, sql), sql).toBe(false)
  }
})

test('scans of segments and of RAM make parts of the same groups', async () => {
  const dataDir = await temporaryDirectory()
  {
    await using before = await Stratalog.open({ dataDir })
    await filled(before, 'hybrid')
    await before.tier.now({ to: 'disk' })
  }
  // What was only in RAM is in segments now.
  await using db = await Stratalog.open({ dataDir })
  const extra = BATCH
  await db.log('events').append(samples.slice(0, extra).map((record) => ({ ...record })))
  const [ours, plain] = [answerOf(db), await plainTable(extra)]

  const counted = await db.query('SELECT count(*) FROM events')
  await counted.toArray()
  const { recordsByTier } = await counted.stats
  expect(recordsByTier).toMatchObject({ memory: extra, disk: RECORDS })
  for (const sql of AGGREGATED) {
    expect(await ours(sql), sql).toEqual(await plain(sql))
    // Of a few there is no record that could pass.
    if (!sql.includes('31000')) expect(await hasPartials(db, sql), sql).toBe(true)
  }
})

test('what fails is said of the statement as it is written', async () => {
  await using db = await Stratalog.memoryOnly()
  await filled(db, 'memory')
  const ask = async (sql: string): Promise<unknown> => (await db.query(sql)).toArray()

  const tooWide = await expectError(
    ask('SELECT count(*) AS n,\n  sum(amount)::TINYINT AS total\nFROM events'),
    'query_invalid',
  )
  expect(tooWide.message).not.toMatch(/scan\d/)
  // A cast in a WHERE that does not hold every value fails, however few of them the scan would take.
  await expectError(ask('SELECT count(*) FROM events WHERE count32::INTEGER > 5'), 'query_invalid')
})
