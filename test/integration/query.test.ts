import { expect, test } from 'vitest'
import { present } from '../../src/base/assert.ts'
import type { Row } from '../../src/format/schema-inference.ts'
import { Stratalog } from '../../src/index.ts'
import { ISOLATIONS, sampleLog, sampleRunner, type SampleLog } from '../support/query-logs.ts'
import { sampleBatch, sampleSchema } from '../support/sample-batches.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const SCHEMA = sampleSchema({
  id: 'int32',
  city: 'utf8',
  amount: 'float64',
  tags: 'json',
  _time: 'timestamp[ms]',
})
const START = Date.UTC(2026, 0, 1)

function rows(from: number, to: number): Row[] {
  return Array.from({ length: to - from }, (_, index) => {
    const id = from + index
    return {
      id,
      city:
        id % 7 === 0
          ? null
          : present(['Wien', 'Graz', 'a city with a long name', 'Linz'][id % 4], 'a city'),
      amount: id / 2,
      tags: { endpoint: `/v${id % 3}` },
      _time: new Date(START + id * 1000),
    }
  })
}

/** 0–3000 in the archive in two segments, 3000–6000 on disk, 6000–10000 in memory in two batches. */
async function threeTiers(): Promise<SampleLog> {
  const batch = (from: number, to: number) =>
    sampleBatch(SCHEMA, rows(from, to), { baseOffset: from, shared: true })
  return sampleLog(await temporaryDirectory(), 'clicks', [
    [
      { tier: 'object', batches: [batch(0, 1000)] },
      { tier: 'object', batches: [batch(1000, 2500), batch(2500, 3000)] },
      { tier: 'disk', batches: [batch(3000, 6000)] },
      { tier: 'memory', batches: [batch(6000, 8001), batch(8001, 10_000)] },
    ],
  ])
}

test.each(ISOLATIONS)('%s: one statement reads every tier once', async (isolation) => {
  const log = await threeTiers()
  const { runner } = sampleRunner([log], { isolation })
  const result = await runner.query(
    'SELECT count(*) AS n, sum(id) AS total, min(_offset), max(_offset) FROM clicks',
  )
  expect(await result.toArray()).toEqual([
    { n: 10_000, total: 49_995_000, 'min(_offset)': 0, 'max(_offset)': 9999 },
  ])
  expect(await result.stats).toMatchObject({
    recordsByTier: { memory: 4000, disk: 3000, object: 3000 },
    segments: { scanned: 3, pruned: 0 },
    segmentsByTier: { disk: { scanned: 1, pruned: 0 }, object: { scanned: 2, pruned: 0 } },
    requests: 2,
    rows: 1,
  })
  const { tiers } = await result.stats
  const none = {
    segments: { scanned: 0, pruned: 0 },
    files: 0,
    cache: { hits: 0, misses: 0 },
    requests: 0,
  }
  const bytes = expect.any(Number)
  expect(tiers).toEqual({
    memory: { ...none, records: 4000, bytes },
    disk: { ...none, records: 3000, bytes, segments: { scanned: 1, pruned: 0 }, files: 1 },
    object: {
      records: 3000,
      bytes,
      segments: { scanned: 2, pruned: 0 },
      files: 2,
      cache: { hits: 0, misses: 2 },
      requests: 2,
    },
  })
  expect(log.releases).toBe(log.pins)
})

test.each(ISOLATIONS)(
  '%s: rows come with their values, nulls and system columns',
  async (isolation) => {
    const { runner } = sampleRunner([await threeTiers()], { isolation })
    const result = await runner.query(
      `SELECT *, _tier FROM clicks WHERE id IN (6, 7, 2502, 5998, 9999) ORDER BY id`,
    )
    expect(result.columns.map((column) => `${column.name} ${column.type}`)).toEqual([
      'id INTEGER',
      'city VARCHAR',
      'amount DOUBLE',
      'tags VARCHAR',
      '_offset BIGINT',
      '_partition INTEGER',
      '_time TIMESTAMP',
      '_tier VARCHAR',
      '_tier VARCHAR',
    ])
    const found = await result.toArray()
    expect(found[0]).toEqual({
      id: 6,
      city: 'a city with a long name',
      amount: 3,
      tags: '{"endpoint":"/v0"}',
      _offset: 6,
      _partition: 0,
      _time: new Date(START + 6000),
      _tier: 'object',
      '_tier:1': 'object',
    })
    expect(found.map((row) => [row['id'], row['city'], row['_tier']])).toEqual([
      [6, 'a city with a long name', 'object'],
      [7, null, 'object'],
      [2502, 'a city with a long name', 'object'],
      [5998, 'a city with a long name', 'disk'],
      [9999, 'Linz', 'memory'],
    ])
  },
)

test.each(ISOLATIONS)('%s: each side of a log is a table', async (isolation) => {
  const { runner, fetched } = sampleRunner([await threeTiers()], { isolation })
  const counts: Record<string, unknown> = {}
  for (const side of ['', '$hot', '$cold', '$memory', '$disk', '$object']) {
    const [row] = await (await runner.query(`SELECT count(*) AS n FROM "clicks${side}"`)).toArray()
    counts[side] = row?.['n']
  }
  expect(counts).toEqual({
    '': 10_000,
    $hot: 4000,
    $cold: 6000,
    $memory: 4000,
    $disk: 3000,
    $object: 3000,
  })
  expect(fetched).toEqual([0, 1000, 0, 1000, 0, 1000])
})

test.each(ISOLATIONS)(
  '%s: a record that the statement reads twice counts once',
  async (isolation) => {
    const { runner } = sampleRunner([await threeTiers()], { isolation })
    const sql =
      'SELECT count(*) AS n FROM clicks a JOIN clicks b USING (id) JOIN clicks$hot c USING (id)'
    const result = await runner.query(sql)
    expect(await result.toArray()).toEqual([{ n: 4000 }])
    expect((await result.stats).recordsByTier).toEqual({ memory: 4000, disk: 3000, object: 3000 })
  },
)

test.each(ISOLATIONS)(
  '%s: bounds on time and offset leave segments out before they are fetched',
  async (isolation) => {
    const { runner, fetched } = sampleRunner([await threeTiers()], { isolation })
    const count = async (condition: string, parameters: (string | number | Date)[] = []) => {
      fetched.length = 0
      const result = await runner.query(
        `SELECT count(*) AS n FROM clicks WHERE ${condition}`,
        parameters,
      )
      const [row] = await result.toArray()
      const { segments } = await result.stats
      return [row?.['n'], segments.scanned, segments.pruned, ...fetched]
    }
    expect(await count("_time < TIMESTAMP '2026-01-01 00:10:00'")).toEqual([600, 1, 2, 0])
    expect(
      await count('_time BETWEEN ? AND ?', [
        new Date(START + 1_500_000),
        new Date(START + 1_600_000),
      ]),
    ).toEqual([101, 1, 2, 1000])
    expect(await count('_offset >= 9000')).toEqual([1000, 0, 3])
    expect(await count('id = 4000')).toEqual([1, 1, 2])
    expect(await count("id = 4000 OR city = 'Wien'")).toEqual([2142, 3, 0, 0, 1000])
    expect(await count('_time > now() + INTERVAL 100 YEARS')).toEqual([0, 0, 3])
    expect(await count("_tier = 'memory'")).toEqual([4000, 0, 3])
  },
)

test.each(ISOLATIONS)(
  '%s: of a segment that serves a part of its offsets, only these are read',
  async (isolation) => {
    const first = sampleBatch(SCHEMA, rows(0, 3000))
    const second = sampleBatch(SCHEMA, rows(3000, 3500), { baseOffset: 3000 })
    const log = await sampleLog(await temporaryDirectory(), 'clicks', [
      [{ tier: 'disk', batches: [first, second], from: 1003, to: 3201 }],
    ])
    const { runner } = sampleRunner([log], { isolation })
    const sql = 'SELECT min(id), max(id), count(*), count(city), bool_and(id = _offset) FROM clicks'
    const { rows: found, stats } = await (await runner.query(sql)).toJson()
    expect(found).toEqual([[1003, 3200, 2198, 2198 - 314, true]])
    expect(stats.recordsByTier.disk).toBe(2198)
  },
)

test.each(ISOLATIONS)(
  '%s: an alias does not pass for a column when bounds are read',
  async (isolation) => {
    const { runner } = sampleRunner([await threeTiers()], { isolation })
    const sql =
      'SELECT count(*) AS n FROM (SELECT -id AS _offset, id FROM clicks) WHERE _offset::DOUBLE > -5'
    expect(await (await runner.query(sql)).toArray()).toEqual([{ n: 5 }])
  },
)

test.each(ISOLATIONS)(
  '%s: a limit ends the scan early: the log is not read first',
  async (isolation) => {
    const batch = (from: number, to: number) =>
      sampleBatch(SCHEMA, rows(from, to), { baseOffset: from, shared: true })
    const batches = Array.from({ length: 40 }, (_, index) =>
      batch(index * 10_000, (index + 1) * 10_000),
    )
    const log = await sampleLog(await temporaryDirectory(), 'clicks', [
      [{ tier: 'memory', batches }],
    ])
    const { runner } = sampleRunner([log], { isolation })
    const result = await runner.query('SELECT id, city FROM clicks LIMIT 5')
    expect((await result.toArray()).map((row) => row['id'])).toEqual([0, 1, 2, 3, 4])
    expect((await result.stats).recordsByTier.memory).toBeLessThan(20_000)
  },
)

test.each(ISOLATIONS)(
  '%s: a log bigger than the memory of DuckDB is aggregated',
  async (isolation) => {
    const schema = sampleSchema({ text: 'utf8', _time: 'timestamp[ms]' })
    const long = Array.from({ length: 20_000 }, (_, id) => ({
      text: `${id}-${'x'.repeat(500)}`,
      _time: new Date(START),
    }))
    const batches = Array.from({ length: 12 }, (_, index) => ({
      ...sampleBatch(schema, long, { shared: true }),
      baseOffset: index * 20_000,
    }))
    const log = await sampleLog(await temporaryDirectory(), 'texts', [
      [{ tier: 'memory', batches }],
    ])
    const { runner } = sampleRunner([log], { isolation, memoryBytesMax: 32 * 1024 * 1024 })
    const result = await runner.query(
      'SELECT count(*) AS n, max(length(text)) AS longest, min(text) AS least FROM texts',
    )
    expect(await result.toArray()).toEqual([
      { n: 240_000, longest: 506, least: `0-${'x'.repeat(500)}` },
    ])
    expect((await result.stats).bytesByTier.memory).toBeGreaterThan(100_000_000)
  },
)

test.each(ISOLATIONS)('%s: partitions and logs are joined', async (isolation) => {
  const schema = sampleSchema({ id: 'int64', name: 'utf8', _time: 'timestamp[ms]' })
  const batch = (ids: number[]) =>
    sampleBatch(
      schema,
      ids.map((id) => ({ id, name: `n${id}`, _time: new Date(START) })),
    )
  const names = await sampleLog(await temporaryDirectory(), 'names', [
    [{ tier: 'memory', batches: [batch([1, 2])] }],
    [{ tier: 'disk', batches: [batch([3, 4, 5])] }],
  ])
  const { runner } = sampleRunner([await threeTiers(), names], { isolation })
  const sql =
    'SELECT c.id, n.name, n._partition, n._offset FROM clicks c JOIN names n ON c.id = n.id ORDER BY 1'
  expect((await (await runner.query(sql)).toJson()).rows).toEqual([
    [1, 'n1', 0, 0],
    [2, 'n2', 0, 1],
    [3, 'n3', 1, 0],
    [4, 'n4', 1, 1],
    [5, 'n5', 1, 2],
  ])
})

test.each(ISOLATIONS)(
  '%s: json columns take the JSON operators, and the key is readable as text',
  async (isolation) => {
    const log = await threeTiers()
    const { runner } = sampleRunner([log], { isolation })
    const sql =
      "SELECT tags->>'endpoint' AS endpoint, count(*) AS n FROM clicks GROUP BY 1 ORDER BY 1"
    expect((await (await runner.query(sql)).toJson()).rows).toEqual([
      ['/v0', 3334],
      ['/v1', 3333],
      ['/v2', 3333],
    ])
    const keyed = await sampleLog(
      await temporaryDirectory(),
      'keyed',
      [
        [
          {
            tier: 'memory',
            batches: [
              sampleBatch(sampleSchema({ id: 'int32', _time: 'timestamp[ms]' }), [
                { id: 5, _time: new Date(0) },
                { id: null, _time: new Date(1) },
              ]),
            ],
          },
        ],
      ],
      { keyColumn: 'id' },
    )
    const { runner: other } = sampleRunner([keyed], { isolation })
    expect((await (await other.query('SELECT _key FROM keyed')).toJson()).rows).toEqual([
      ['5'],
      [null],
    ])
  },
)

test.each(ISOLATIONS)('%s: records of an older schema read as the newest', async (isolation) => {
  const old = sampleSchema({ id: 'int32', price: 'float32', _time: 'timestamp[ms]' }, 0)
  const schema = sampleSchema(
    { id: 'int64', price: 'float64', note: 'utf8', _time: 'timestamp[ms]' },
    1,
  )
  const time = new Date(START)
  const log = await sampleLog(
    await temporaryDirectory(),
    'orders',
    [
      [
        {
          tier: 'disk',
          batches: [
            sampleBatch(old, [
              { id: 1, price: 0.5, _time: time },
              { id: null, price: null, _time: time },
            ]),
          ],
        },
        {
          tier: 'memory',
          batches: [
            sampleBatch(schema, [{ id: 2 ** 40, price: 0.1, note: 'new', _time: time }], {
              baseOffset: 2,
            }),
          ],
        },
      ],
    ],
    { schemas: [old, schema] },
  )
  const { runner } = sampleRunner([log], { isolation })
  expect((await (await runner.query('SELECT id, price, note FROM orders')).toJson()).rows).toEqual([
    [1, 0.5, null],
    [null, null, null],
    [2 ** 40, 0.1, 'new'],
  ])
  expect(
    (await (await runner.query('SELECT count(*) FROM orders WHERE id = 1')).toJson()).rows,
  ).toEqual([[1]])
})

test.each(ISOLATIONS)('%s: parameters go by position and by name', async (isolation) => {
  const { runner } = sampleRunner([await threeTiers()], { isolation })
  const first = await runner.query('SELECT $1::INTEGER + $2 AS sum, $3 IS NULL AS empty', [
    1,
    2n,
    null,
  ])
  expect(await first.toArray()).toEqual([{ sum: 3, empty: true }])
  const named = await runner.query(
    'SELECT count(*) AS n FROM clicks WHERE city = $city AND id < $below',
    { city: 'Graz', below: 100 },
  )
  expect(await named.toArray()).toEqual([{ n: 22 }])
  await expect(runner.query('SELECT ? + ?', [1])).rejects.toMatchObject({
    code: 'query_invalid',
    details: { expected: 2, given: 1 },
  })
  await expect(runner.query('SELECT $a', { b: 1 })).rejects.toMatchObject({ code: 'query_invalid' })
})

test.each(ISOLATIONS)(
  '%s: a result is read as batches, an Arrow table, JSON or rows, and once',
  async (isolation) => {
    const { runner } = sampleRunner([await threeTiers()], { isolation })
    const sql =
      "SELECT id, id::HUGEINT * 10000000000000000 AS big, 1.50::DECIMAL(9,2) AS price, [id, id + 1] AS pair, TIMESTAMP '2026-01-01 00:00:00.123456' AS at, 'a'::BLOB AS bytes FROM clicks WHERE id < 2 ORDER BY id"
    expect((await (await runner.query(sql)).toJson()).rows).toEqual([
      [0, 0, '1.50', [0, 1], '2026-01-01T00:00:00.123456Z', 'YQ=='],
      [1, '10000000000000000', '1.50', [1, 2], '2026-01-01T00:00:00.123456Z', 'YQ=='],
    ])
    expect((await (await runner.query(sql)).toArray())[1]).toEqual({
      id: 1,
      big: 10n ** 16n,
      price: '1.50',
      pair: [1, 2],
      at: new Date('2026-01-01T00:00:00.123Z'),
      bytes: new Uint8Array([97]),
    })
    const table = await (await runner.query(sql)).toArrow()
    expect(table.numRows).toBe(2)
    expect(table.schema.fields.map((field) => String(field.type))).toEqual([
      'Int32',
      'Decimal[38e0]',
      'Decimal[9e+2]',
      'Utf8',
      'Timestamp<MICROSECOND, UTC>',
      'Binary',
    ])
    const result = await runner.query('SELECT id FROM clicks ORDER BY id')
    let rowCount = 0
    for await (const batch of result.batches()) {
      expect(batch.baseOffset).toBe(rowCount)
      rowCount += batch.length
    }
    expect(rowCount).toBe(10_000)
    await expect(result.toArray()).rejects.toMatchObject({ code: 'argument_invalid' })
    const empty = await runner.query('SELECT id, city FROM clicks WHERE id < 0')
    expect((await empty.toArrow()).schema.fields.map((field) => field.name)).toEqual(['id', 'city'])
  },
)

test.each(ISOLATIONS)(
  '%s: leaving a result early ends the query and releases its views',
  async (isolation) => {
    const log = await threeTiers()
    const { runner } = sampleRunner([log], { isolation, concurrencyMax: 1 })
    for await (const row of await runner.query('SELECT a.id FROM clicks a, clicks b')) {
      expect(row).toHaveProperty('id')
      break
    }
    expect(log.releases).toBe(log.pins)
    expect(await (await runner.query('SELECT 1 AS one')).toArray()).toEqual([{ one: 1 }])
  },
)

test.each(ISOLATIONS)(
  '%s: EXPLAIN shows the plan with the columns as they are called',
  async (isolation) => {
    const { runner } = sampleRunner([await threeTiers()], { isolation })
    const [row] = await (
      await runner.query('EXPLAIN SELECT city FROM clicks WHERE id > 5')
    ).toArray()
    expect(row?.['explain_value']).toMatch(/STRATALOG_SCAN/)
    expect(row?.['explain_value']).toMatch(/id > 5/)
  },
)

test.each(ISOLATIONS)(
  '%s: batches in RAM of other times than those asked for are not read',
  async (isolation) => {
    await using db = await Stratalog.open({ queryIsolation: isolation })
    const log = await db.createLog('events', { timeColumn: 'moment' })
    const text = 'x'.repeat(1_000)
    for (let from = 0; from < 8_000; from += 1_000) {
      await log.append(
        Array.from({ length: 1_000 }, (_, index) => ({
          moment: new Date(START + from + index),
          text,
        })),
      )
    }
    const bound = `TIMESTAMP '${new Date(START + 500).toISOString().replace('Z', '')}'`
    for (const [time, count] of [
      ['moment', 500],
      ['_time', 500],
    ] as const) {
      const result = await db.query(`SELECT count(*) AS n FROM events WHERE ${time} < ${bound}`)
      expect(await result.toArray()).toEqual([{ n: count }])
      const { recordsByTier } = await result.stats
      expect(recordsByTier.memory).toBeLessThan(4_000)
    }
  },
)
