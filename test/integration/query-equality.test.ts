import { DuckDBInstance } from '@duckdb/node-api'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { present } from '../../src/base/assert.ts'
import { randomFraction, seededRandom } from '../../src/base/random.ts'
import { columnReader } from '../../src/format/column-values.ts'
import type { Row } from '../../src/format/schema-inference.ts'
import type { ColumnType } from '../../src/format/schema.ts'
import type { Tier } from '../../src/format/manifest.ts'
import { arbitraryBatch } from '../support/arbitrary-columns.ts'
import { ISOLATIONS, type TierPart, sampleLog, sampleRunner } from '../support/query-logs.ts'
import { cutBatch, sampleBatch, sampleSchema } from '../support/sample-batches.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const TYPES: Readonly<Record<string, ColumnType>> = {
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
const START = Date.UTC(2026, 0, 1)
const random = seededRandom(42)
const below = (limit: number): number => Math.floor(randomFraction(random) * limit)
const pick = <T>(values: readonly T[]): T => present(values[below(values.length)], 'a value')

const VALUES: Readonly<Record<string, (id: number) => unknown>> = {
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

function someRow(id: number): Row {
  const row: Record<string, unknown> = {}
  for (const name of Object.keys(TYPES))
    row[name] = name !== 'happened' && below(8) === 0 ? null : VALUES[name]?.(id)
  return row
}

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

/** The same records as a plain table in a DuckDB that knows nothing of us. */
async function plainTable(rows: readonly Row[]): Promise<(sql: string) => Promise<unknown[][]>> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  onTestFinished(() => {
    connection.disconnectSync()
    instance.closeSync()
  })
  await connection.run("SET TimeZone = 'UTC'")
  const columns = Object.entries(TYPES).map(([name, type]) => `${name} ${SQL_TYPES[type] ?? ''}`)
  await connection.run(
    `CREATE TABLE log (${columns.join(', ')}, _offset BIGINT, _partition INTEGER, _time TIMESTAMP, _tier VARCHAR)`,
  )
  for (let start = 0; start < rows.length; start += 1000) {
    const values = rows.slice(start, start + 1000).map((row) => {
      const own = Object.entries(TYPES).map(([name, type]) => literal(type, row[name]))
      const time = literal('timestamp[ms]', row['happened'])
      return `(${own.join(', ')}, ${String(row['_offset'])}, ${String(row['_partition'])}, ${time}, '${String(row['_tier'])}')`
    })
    await connection.run(`INSERT INTO log VALUES ${values.join(', ')}`)
  }
  return async (sql) => (await connection.runAndReadAll(sql)).getRows()
}

const NAMES = Object.keys(TYPES)
const NUMBERS = ['tiny', 'small', 'number', 'big', 'ratio', 'price', 'total', '_offset']
const GROUPS = [
  'flag',
  'city',
  'note',
  'day',
  "tags->>'endpoint'",
  '_partition',
  '_tier',
  "date_trunc('minute', _time)",
  'number % 7',
]

function someCondition(): string {
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
    `_tier = '${pick(['memory', 'disk', 'object'])}'`,
    `_partition = ${below(3)}`,
    `(number < 0 OR city = 'Graz')`,
    `price > ${below(1000)}.25`,
    `(tags->>'size') = '1'`,
    `flag`,
  ])
}

function someQuery(): string {
  const where = Array.from({ length: below(3) }, someCondition).join(' AND ') || 'true'
  const [number, group, name] = [pick(NUMBERS), pick(GROUPS), pick(NAMES)]
  return pick([
    `SELECT ${group} AS g, count(*) AS n, count(${name}) AS present, sum(${number}) AS total, min(${name}) AS least, max(${name}) AS most FROM log WHERE ${where} GROUP BY 1`,
    `SELECT count(*), count(DISTINCT ${name}), avg(${number}), quantile_cont(ratio, 0.9) FROM log WHERE ${where}`,
    `SELECT ${name}, _offset, _partition, _time FROM log WHERE ${where} ORDER BY ${name} NULLS FIRST, _partition, _offset LIMIT ${1 + below(40)}`,
    `SELECT ${NAMES.join(', ')} FROM log WHERE ${where}`,
    `SELECT _partition, _offset, ratio - lag(ratio) OVER (PARTITION BY _partition ORDER BY _offset) AS delta FROM log WHERE ${where}`,
    `SELECT a.city, count(*) AS n FROM log a JOIN log b ON a.number = b.tiny AND b.${where === 'true' ? 'flag' : 'flag'} GROUP BY 1`,
    `SELECT * FROM (SELECT ${name} AS v, row_number() OVER (PARTITION BY ${group} ORDER BY _partition, _offset) AS r FROM log WHERE ${where}) WHERE r <= 2`,
    `WITH top AS (SELECT city, count(*) AS n FROM log WHERE ${where} GROUP BY 1) SELECT l.${name}, t.n FROM log l JOIN top t USING (city) WHERE l._offset < 300`,
    `SELECT note FROM log WHERE ${where} EXCEPT SELECT note FROM log WHERE ${someCondition()}`,
    `SELECT 1 AS one FROM log WHERE EXISTS (SELECT 1 FROM log x WHERE x.number = log.number AND x._offset > log._offset) AND ${where}`,
  ])
}

test.each(ISOLATIONS)(
  '%s: generated queries give what plain DuckDB gives over the same records',
  async (isolation) => {
    const schema = sampleSchema(TYPES)
    const layout: readonly (readonly [Tier, number])[][] = [
      [
        ['object', 300],
        ['object', 201],
        ['disk', 333],
        ['memory', 500],
        ['memory', 77],
      ],
      [
        ['disk', 5],
        ['memory', 2100],
      ],
      [['object', 2500]],
    ]
    const rows: Row[] = []
    const partitions = layout.map((parts, partition) => {
      let offset = 0
      return parts.map(([tier, length]): TierPart => {
        const own = Array.from({ length }, (_, index) => ({
          ...someRow(offset + index),
          _offset: offset + index,
          _partition: partition,
          _tier: tier,
        }))
        rows.push(...own)
        const batch = sampleBatch(schema, own, { baseOffset: offset, shared: tier === 'memory' })
        offset += length
        return { tier, batches: cutBatch(batch, [length >> 1]) }
      })
    })
    const log = await sampleLog(await temporaryDirectory(), 'log', partitions, {
      timeColumn: 'happened',
    })
    const { runner } = sampleRunner([log], { isolation })
    const plain = await plainTable(rows)
    // What DuckDB makes of a query is the same in both; here it is how the columns come to it.
    const runs = isolation === 'thread' ? 100 : 30
    for (let run = 0; run < runs; run++) {
      const query = someQuery()
      // As text, so that every digit of every type is compared; sorted, as only some of them have an order.
      const sql = `SELECT list_sort(list(x)) AS rows, count(*) AS n FROM (SELECT CAST(q AS VARCHAR) AS x FROM (${query}) q)`
      const ours = await (await runner.query(sql)).toJson()
      const [[expected] = []] = await plain(`SELECT CAST(to_json(rows) AS VARCHAR) FROM (${sql})`)
      expect(JSON.stringify(ours.rows[0]?.[0] ?? null), query).toBe(
        JSON.stringify(expected === null ? null : JSON.parse(expected as string)),
      )
    }
    expect(log.releases).toBe(log.pins)
  },
)

test.each(ISOLATIONS)(
  '%s: values of every type pass through DuckDB unchanged',
  async (isolation) => {
    const directory = await temporaryDirectory()
    const logs = await Promise.all(
      fc.sample(arbitraryBatch(60), { numRuns: 60, seed: 7 }).map(async ({ batch }, index) => {
        const tier = present((['memory', 'disk', 'object'] as const)[index % 3], 'a tier')
        const log = await sampleLog(directory, `log${index}`, [[{ tier, batches: [batch] }]], {
          schemas: [...Array.from({ length: 3 }, () => batch.schema), batch.schema],
        })
        return { log, batch }
      }),
    )
    const { runner } = sampleRunner(
      logs.map(({ log }) => log),
      { isolation },
    )
    for (const { log, batch } of logs) {
      const fields = batch.schema.fields.filter((field) => field.name !== '_time')
      const result = await runner.query(
        `SELECT ${fields.map((field) => field.name).join(', ')} FROM ${log.name} ORDER BY _offset`,
      )
      const found: unknown[][] = []
      for await (const part of result.batches()) {
        const readers = part.columns.map((column) => columnReader(column))
        for (let row = 0; row < part.length; row++) found.push(readers.map((read) => read(row)))
      }
      const readers = fields.map((field) =>
        columnReader(present(batch.columns[batch.schema.fields.indexOf(field)], 'a column')),
      )
      const types = fields.map((field) => field.type)
      const expected = Array.from({ length: batch.length }, (_, row) =>
        readers.map((read, index) => {
          const value = read(row)
          // JSON columns are text in SQL.
          return types[index] === 'json' && value !== null ? JSON.stringify(value) : value
        }),
      )
      const plainTexts = found.map((row) =>
        row.map((value, index) =>
          types[index] === 'json' && typeof value === 'string'
            ? JSON.stringify(JSON.parse(value))
            : value,
        ),
      )
      expect(plainTexts, types.join()).toEqual(expected)
    }
  },
)
