/** Queries and records by chance, and the same records as a table of a plain DuckDB, which knows nothing of us. */
import { DuckDBInstance } from '@duckdb/node-api'
import { onTestFinished } from 'vitest'
import { present } from '../../src/base/assert.ts'
import { randomFraction, seededRandom } from '../../src/base/random.ts'
import type { Row } from '../../src/format/schema-inference.ts'
import type { ColumnType } from '../../src/format/schema.ts'

/** The columns of each log of the family; `happened` is its time column. */
export const FAMILY_TYPES: Readonly<Record<string, ColumnType>> = {
  flag: 'bool',
  tiny: 'int8',
  small: 'uint16',
  number: 'int32',
  big: 'int64',
  ratio: 'float64',
  single: 'float32',
  city: 'utf8',
  note: 'utf8',
  tags: 'json',
  bytes: 'binary',
  day: 'date',
  seen: 'timestamp[s]',
  exact: 'timestamp[us]',
  finest: 'timestamp[ns]',
  price: 'decimal(9,2)',
  total: 'decimal(30,4)',
  happened: 'timestamp[ms]',
}

export interface QuerySources {
  /** What stands behind `FROM`: a table, or a query in parentheses. */
  readonly table: string
  /** What some are joined with. */
  readonly other: string
  /** Whether they may ask for `_tier`, which is known where nothing moves. */
  readonly withTiers: boolean
}

export interface QueryFamily {
  /** The user's columns of a record. */
  row(id: number): Row
  query(sources: QuerySources): string
}

const START = Date.UTC(2026, 0, 1)

export function queryFamily(seed: number): QueryFamily {
  const random = seededRandom(seed)
  const below = (limit: number): number => Math.floor(randomFraction(random) * limit)
  const pick = <T>(values: readonly T[]): T => present(values[below(values.length)], 'a value')
  const values: Readonly<Record<string, (id: number) => unknown>> = {
    flag: () => below(2) === 0,
    tiny: () => below(256) - 128,
    small: () => below(65_536),
    number: () => below(1000) - 500,
    big: () => (below(5) === 0 ? 2n ** 60n + BigInt(below(10)) : below(1e6)),
    ratio: () => below(1000) / 8,
    single: () => below(100) / 4,
    city: () => pick(['Wien', 'Graz', 'Sankt Pölten an der Traisen', "O'Fallon", '', '日本']),
    note: (id) => `note ${id % 50} with more than twelve bytes`,
    tags: (id) => ({ endpoint: `/v${id % 5}`, size: id % 3 }),
    bytes: (id) => new Uint8Array([id & 255, 1, 2]),
    day: (id) => new Date(START + (id % 30) * 86_400_000),
    seen: (id) => new Date(START + id * 1000),
    exact: (id) => BigInt(START) * 1000n + BigInt(id) * 1001n,
    finest: (id) => BigInt(START) * 1_000_000n + BigInt(id),
    price: () => (below(100_000) / 100).toFixed(2),
    total: () => `${below(1e9)}${below(1e9)}.${String(below(10_000)).padStart(4, '0')}`,
    happened: (id) => new Date(START + id * 500 + below(2000)),
  }

  function row(id: number): Row {
    const row: Record<string, unknown> = {}
    for (const name of NAMES)
      row[name] = name !== 'happened' && below(8) === 0 ? null : values[name]?.(id)
    return row
  }

  function condition(withTiers: boolean): string {
    const time = `TIMESTAMP '${new Date(START + below(1_500_000)).toISOString().slice(0, 19).replace('T', ' ')}'`
    return pick([
      `_time >= ${time}`,
      `happened < ${time}`,
      `_time BETWEEN ${time} AND ${time} + INTERVAL 2 MINUTES`,
      `_offset >= ${below(1500)}`,
      `_offset BETWEEN ${below(500)} AND ${below(1500)}`,
      `number > ${below(1000) - 500}`,
      `small <= ${below(65_536)} AND tiny <> ${below(100)}`,
      `CAST(number AS DOUBLE) > ${below(100) / 3}`,
      `ratio BETWEEN ${below(60)}.5 AND ${below(130)}`,
      `single = ${below(100) / 4}`,
      `big > ${String(2n ** 60n)}`,
      `city = '${pick(['Wien', 'Graz', '日本', "O''Fallon", 'nowhere'])}'`,
      `city >= 'H' AND city < 'X'`,
      `note LIKE 'note 1%'`,
      `city IS NULL`,
      `day = DATE '2026-01-${String(1 + below(30)).padStart(2, '0')}'`,
      `exact > make_timestamp(${String(BigInt(START) * 1000n + BigInt(below(2_000_000)))})`,
      `seen >= ${time}`,
      ...(withTiers ? [`_tier = '${pick(['memory', 'disk', 'object'])}'`] : []),
      `_partition = ${below(3)}`,
      `(number < 0 OR city = 'Graz')`,
      `price > ${below(1000)}.25`,
      `(tags->>'size') = '1'`,
      `flag`,
    ])
  }

  function query({ table, other, withTiers }: QuerySources): string {
    const someCondition = (): string => condition(withTiers)
    const where = Array.from({ length: below(3) }, someCondition).join(' AND ') || 'true'
    const [number, group, name] = [
      pick(NUMBERS),
      pick(withTiers ? [...GROUPS, '_tier'] : GROUPS),
      pick(NAMES),
    ]
    return pick([
      `SELECT ${group} AS g, count(*) AS n, count(${name}) AS present, sum(${number}) AS total, min(${name}) AS least, max(${name}) AS most FROM ${table} log WHERE ${where} GROUP BY 1`,
      `SELECT count(*), count(DISTINCT ${name}), avg(${number}), quantile_cont(ratio, 0.9) FROM ${table} log WHERE ${where}`,
      `SELECT ${name}, _offset, _partition, _time FROM ${table} log WHERE ${where} ORDER BY ${name} NULLS FIRST, _partition, _offset LIMIT ${1 + below(40)}`,
      `SELECT ${NAMES.join(', ')} FROM ${table} log WHERE ${where}`,
      `SELECT _partition, _offset, ratio - lag(ratio) OVER (PARTITION BY _partition ORDER BY _offset) AS delta FROM ${table} log WHERE ${where}`,
      `SELECT a.city, count(*) AS n FROM ${table} a JOIN ${other} b ON a.number = b.tiny AND b.flag GROUP BY 1`,
      `SELECT * FROM (SELECT ${name} AS v, row_number() OVER (PARTITION BY ${group} ORDER BY _partition, _offset) AS r FROM ${table} log WHERE ${where}) WHERE r <= 2`,
      `WITH top AS (SELECT city, count(*) AS n FROM ${table} log WHERE ${where} GROUP BY 1) SELECT l.${name}, t.n FROM ${table} l JOIN top t USING (city) WHERE l._offset < 300`,
      `SELECT note FROM ${table} log WHERE ${where} EXCEPT SELECT note FROM ${other} log WHERE ${someCondition()}`,
      `SELECT 1 AS one FROM ${table} log WHERE EXISTS (SELECT 1 FROM ${table} x WHERE x.number = log.number AND x._offset > log._offset) AND ${where}`,
    ])
  }

  return { row, query }
}

const NAMES = Object.keys(FAMILY_TYPES)
const NUMBERS = ['tiny', 'small', 'number', 'big', 'ratio', 'price', 'total', '_offset']
const GROUPS = [
  'flag',
  'city',
  'note',
  'day',
  "tags->>'endpoint'",
  '_partition',
  "date_trunc('minute', _time)",
  'number % 7',
]

/** A value as DuckDB's SQL, by a way that shares nothing with ours. */
function literal(type: ColumnType, value: unknown): string {
  if (value === null) return 'NULL'
  if (value instanceof Uint8Array) return `from_hex('${Buffer.from(value).toString('hex')}')`
  if (type === 'json') return `'${JSON.stringify(value)}'`
  if (type === 'timestamp[us]') return `make_timestamp(${value as bigint})`
  if (type === 'timestamp[ns]') return `make_timestamp_ns(${value as bigint})`
  if (value instanceof Date)
    return `TIMESTAMP '${value.toISOString().slice(0, 23).replace('T', ' ')}'`
  return typeof value === 'string'
    ? `'${value.replaceAll("'", "''")}'`
    : `${value as number | bigint | boolean}`
}

const SQL_TYPES: Partial<Record<ColumnType, string>> = {
  bool: 'BOOLEAN',
  int8: 'TINYINT',
  uint16: 'USMALLINT',
  int32: 'INTEGER',
  int64: 'BIGINT',
  float64: 'DOUBLE',
  float32: 'FLOAT',
  utf8: 'VARCHAR',
  json: 'VARCHAR',
  binary: 'BLOB',
  date: 'DATE',
  'timestamp[s]': 'TIMESTAMP_S',
  'timestamp[us]': 'TIMESTAMP',
  'timestamp[ns]': 'TIMESTAMP_NS',
  'timestamp[ms]': 'TIMESTAMP',
  'decimal(9,2)': 'DECIMAL(9,2)',
  'decimal(30,4)': 'DECIMAL(30,4)',
}

/** A row with its `_offset`, `_partition` and `_tier`. */
export type PlacedRow = Row & {
  readonly _offset: number
  readonly _partition: number
  readonly _tier?: string
}

/** What stands in for `_tier` where nobody asks for it. */
const NO_TIER = ''

/** Records by table, as plain tables in a DuckDB that knows nothing of us. Gives the answer of `comparable` SQL. */
export async function plainTables(
  tables: Readonly<Record<string, readonly PlacedRow[]>>,
): Promise<(sql: string) => Promise<unknown>> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  onTestFinished(() => {
    connection.disconnectSync()
    instance.closeSync()
  })
  await connection.run("SET TimeZone = 'UTC'")
  const types = Object.entries(FAMILY_TYPES)
  const columns = types.map(([name, type]) => `${name} ${SQL_TYPES[type] ?? ''}`).join(', ')
  for (const [table, rows] of Object.entries(tables)) {
    await connection.run(
      `CREATE TABLE ${table} (${columns}, _offset BIGINT, _partition INTEGER, _time TIMESTAMP, _tier VARCHAR)`,
    )
    for (let start = 0; start < rows.length; start += 1000) {
      const values = rows.slice(start, start + 1000).map((row) => {
        const own = types.map(([name, type]) => literal(type, row[name]))
        const time = literal('timestamp[ms]', row['happened'])
        const tier = row._tier ?? NO_TIER
        return `(${own.join(', ')}, ${row._offset}, ${row._partition}, ${time}, '${tier}')`
      })
      await connection.run(`INSERT INTO ${table} VALUES ${values.join(', ')}`)
    }
  }
  return async (sql) => {
    const read = await connection.runAndReadAll(
      `SELECT CAST(to_json(rows) AS VARCHAR) FROM (${sql})`,
    )
    const text = read.getRows()[0]?.[0] ?? null
    return text === null ? null : JSON.parse(text as string)
  }
}

/** All rows of a query in one value: as text, so that every digit counts; sorted, as only some have an order. */
export function comparable(query: string): string {
  return `SELECT list_sort(list(x)) AS rows, count(*) AS n FROM (SELECT CAST(q AS VARCHAR) AS x FROM (${query}) q)`
}
