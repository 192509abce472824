/** Continuous queries on whole engines: what they give is what one query over the same records gives. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Stratalog, type StreamResumePoint, type StreamSqlOptions } from '../../src/index.ts'
import {
  COUNTS,
  START,
  type StreamRow,
  allOf,
  at,
  clickLog,
  clicks,
  eventually,
  rowsOf,
  short,
} from '../support/stream-rows.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

/** A query's rows without an order among them, to compare with those of another. */
function asSet(rows: readonly StreamRow[]): string[] {
  return rows
    .map((row) =>
      JSON.stringify(row, (_, value: unknown) =>
        typeof value === 'bigint' ? Number(value) : value,
      ),
    )
    .toSorted()
}

const TUMBLING = `SELECT user_id, TUMBLE(timestamp, INTERVAL '1' MINUTE) AS minute, count(*) AS n,
    quantile_cont(latency, 0.99) AS p99, count(DISTINCT tags->>'endpoint') AS endpoints
  FROM clicks
  WHERE timestamp > NOW() - INTERVAL '30000' DAYS AND (tags->>'endpoint') <> '/pay'
  GROUP BY user_id, TUMBLE(timestamp, INTERVAL '1' MINUTE)`

const HOPPING = `SELECT tags->>'endpoint' AS endpoint, sum(latency) AS total
  FROM clicks GROUP BY endpoint, HOP(timestamp, INTERVAL 20 SECONDS, INTERVAL '1' MINUTE)`
const HOPPING_AT_ONCE = `SELECT window_start, window_start + INTERVAL 1 MINUTE AS window_end,
    tags->>'endpoint' AS endpoint, sum(latency) AS total
  FROM (SELECT *, unnest([time_bucket(INTERVAL 20 SECONDS, timestamp) - INTERVAL 20 SECONDS * i
      FOR i IN range(3)]) AS window_start FROM clicks)
  GROUP BY 1, 2, endpoint`

const SESSIONS = `SELECT user_id, count(*) AS n, max(latency) AS worst FROM clicks WHERE latency > 200
  GROUP BY user_id, SESSION(timestamp, INTERVAL 1500 MILLISECONDS)`
const SESSIONS_AT_ONCE = `WITH marked AS (
    SELECT *, coalesce(timestamp - lag(timestamp) OVER keys >= INTERVAL 1500 MILLISECONDS, true) AS begins
    FROM clicks WHERE latency > 200 WINDOW keys AS (PARTITION BY user_id ORDER BY timestamp, _partition, _offset)
  ), numbered AS (
    SELECT *, count(*) FILTER (begins) OVER (PARTITION BY user_id ORDER BY timestamp, _partition, _offset
      ROWS UNBOUNDED PRECEDING) AS number FROM marked
  )
  SELECT min(timestamp) AS window_start, max(timestamp) + INTERVAL 1500 MILLISECONDS AS window_end,
    user_id, count(*) AS n, max(latency) AS worst
  FROM numbered GROUP BY user_id, number`

test('windows over shuffled input give what one query gives, on several partitions and through the tiers', async () => {
  const dataDir = await temporaryDirectory()
  await using db = await Stratalog.open({ dataDir })
  const log = await db.createLog('clicks', { timeColumn: 'timestamp', partitions: 3 })
  const all = clicks(6_000, 5_000)
  // Disordered in a partition by up to 5 s, and up to 50 records between partitions.
  const append = async (from: number, to: number): Promise<void> => {
    for (let index = from; index < to; index += 50)
      await log.append(all.slice(index, Math.min(index + 50, to)), { partition: (index / 50) % 3 })
  }
  const streams = [TUMBLING, HOPPING, SESSIONS].map((sql) => ({
    stream: db.streamSql(sql, { lateness: '20s' }),
    rows: [] as StreamRow[],
  }))
  const reading = streams.map(async ({ stream, rows }) => {
    for await (const row of stream) rows.push(row)
  })
  await append(0, 2_000)
  await db.tier.now({ to: 'disk' })
  await append(2_000, 4_000)
  await db.tier.now({ to: 'disk' })
  await append(4_000, 6_000)
  // The watermark is the last record's time less the lateness: all that ends 30 s before the end is given.
  const horizon = new Date(START + 600_000 - 30_000)
  for (const { stream } of streams)
    await eventually(() => (stream.stats?.watermark ?? 0) >= horizon).toBe(true)
  const closed = (rows: readonly StreamRow[]): StreamRow[] =>
    rows.filter(({ window_end: end }) => end instanceof Date && end <= horizon)
  const atOnce = async (sql: string): Promise<StreamRow[]> => (await db.query(sql)).toArray()
  const minutes = await atOnce(TUMBLING)
  const expected = [
    minutes.map(({ minute, ...row }) => ({
      window_start: minute,
      window_end: new Date(Number(minute) + 60_000),
      user_id: row['user_id'],
      minute,
      ...row,
    })),
    await atOnce(HOPPING_AT_ONCE),
    await atOnce(SESSIONS_AT_ONCE),
  ]
  for (const [index, { stream, rows }] of streams.entries()) {
    const wanted = asSet(closed(expected[index] ?? []))
    expect(wanted.length).toBeGreaterThan(20)
    await eventually(() => asSet(closed(rows))).toEqual(wanted)
    expect(stream.stats).toMatchObject({ records: 6_000, late: 0 })
    await stream.close()
  }
  await Promise.all(reading)
})

test("windows come in the order of their ends, the statement's columns behind their bounds", async () => {
  await using db = await clickLog()
  await db.log('clicks').append(clicks(2_000, 0))
  const rows = await rowsOf(
    db,
    'SELECT count(*) AS n FROM clicks GROUP BY HOP(_time, INTERVAL 10 SECONDS, INTERVAL 25 SECONDS)',
  )
  expect(Object.keys(rows[0] ?? {})).toEqual(['window_start', 'window_end', 'n'])
  const ends = rows.map((row) => Number(row['window_end']))
  expect(ends).toEqual(ends.toSorted((a, b) => a - b))
  expect(rows[0]).toEqual({
    window_start: new Date(START - 20_000),
    window_end: new Date(START + 5_000),
    n: 50,
  })
  expect(rows).toHaveLength(22)
})

test('times before 1970 and on the edge of a window are in the window that begins at or before them', async () => {
  await using db = await clickLog()
  const at = (ms: number): StreamRow => ({ timestamp: new Date(ms), user_id: ms })
  await db.log('clicks').append([at(-120_000), at(-60_001), at(-60_000), at(-1), at(0), at(59_999)])
  const sql =
    'SELECT list(user_id ORDER BY user_id) AS ids FROM clicks GROUP BY TUMBLE(_time, INTERVAL 1 MINUTE)'
  expect(await rowsOf(db, sql)).toEqual([
    { window_start: new Date(-120_000), window_end: new Date(-60_000), ids: [-120_000, -60_001] },
    { window_start: new Date(-60_000), window_end: new Date(0), ids: [-60_000, -1] },
    { window_start: new Date(0), window_end: new Date(60_000), ids: [0, 59_999] },
  ])
})

test('a record beyond the lateness is left out and counted', async () => {
  await using db = await clickLog()
  await db.log('clicks').append(at(100, 1_500, 900, 2_600, 1_400, 3_900))
  const stream = db.streamSql(COUNTS, { live: false, lateness: 500 })
  // 900 comes while the watermark is 1000, and 1400 while it is 2100.
  expect(short(await allOf(stream))).toEqual([
    [0, 1],
    [1_000, 1],
    [2_000, 1],
    [3_000, 1],
  ])
  expect(stream.stats).toMatchObject({ records: 6, late: 2, rows: 4 })
})

test('late records go where they are asked to', async () => {
  await using db = await clickLog()
  await db.log('clicks').append(at(100, 1_500, 900, 2_600, 1_400, 3_900))
  const late: StreamRow[] = []
  const options = {
    lateness: 500,
    late: (records: readonly StreamRow[]) => void late.push(...records),
  }
  expect(await rowsOf(db, COUNTS, options)).toHaveLength(4)
  expect(late).toEqual([
    { user_id: 900, timestamp: new Date(START + 900), _offset: 2, _partition: 0 },
    { user_id: 1_400, timestamp: new Date(START + 1_400), _offset: 4, _partition: 0 },
  ])
})

test('a window that was given is given again with the late records in it', async () => {
  await using db = await clickLog()
  const log = db.log('clicks')
  const stream = db.streamSql(COUNTS, { late: 'update' })
  const rows = stream[Symbol.asyncIterator]()
  const next = async (): Promise<unknown> => {
    const { value } = await rows.next()
    return value === undefined ? undefined : short([value])[0]
  }
  await log.append(at(100, 200, 1_500))
  expect(await next()).toEqual([0, 2])
  await log.append(at(300, 1_600, 2_100))
  expect(await next()).toEqual([0, 3])
  expect(await next()).toEqual([1_000, 2])
  await log.append(at(400, 1_700, 3_500))
  expect([await next(), await next(), await next()]).toEqual([
    [0, 4],
    [1_000, 3],
    [2_000, 1],
  ])
  expect(stream.stats).toMatchObject({ late: 3 })
  await stream.close()
})

test('rows of open windows are given whenever they change, and only those that do', async () => {
  await using db = await clickLog()
  const log = db.log('clicks')
  const sql =
    'SELECT user_id, count(*) AS n FROM clicks GROUP BY user_id, TUMBLE(_time, INTERVAL 1 MINUTE)'
  const stream = db.streamSql(sql, { emit: 'change', emitInterval: 0 })
  const rows = stream[Symbol.asyncIterator]()
  const next = async (): Promise<unknown> => {
    const { value } = await rows.next()
    return [value?.['user_id'], value?.['n']]
  }
  const by = (...ids: number[]): StreamRow[] =>
    ids.map((id) => ({ user_id: id, timestamp: new Date(START) }))
  await log.append(by(1, 2, 2))
  expect([await next(), await next()]).toEqual([
    [1, 1],
    [2, 2],
  ])
  await log.append(by(2))
  expect(await next()).toEqual([2, 3])
  await log.append(by(1, 3))
  expect([await next(), await next()]).toEqual([
    [1, 2],
    [3, 1],
  ])
  await stream.close()
})

test('a query that is resumed behind any row gives the rest, each row once', async () => {
  const all = clicks(400, 3_000, 7)
  await using db = await clickLog(2)
  const log = db.log('clicks')
  const options: StreamSqlOptions = { lateness: '1s' }
  for (const [index, sql] of [
    TUMBLING.replaceAll('MINUTE', 'SECOND'),
    HOPPING,
    SESSIONS,
  ].entries()) {
    if (index === 0)
      for (let from = 0; from < 400; from += 40) await log.append(all.slice(from, from + 40))
    const whole = await rowsOf(db, sql, options)
    expect(whole.length).toBeGreaterThan(5)
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 6 }), async (cuts) => {
        const rows: StreamRow[] = []
        let resumePoint: StreamResumePoint | null = null
        for (const cut of [...cuts, Infinity]) {
          const stream = db.streamSql(sql, { ...options, live: false, resumePoint })
          let count = 0
          for await (const row of stream) {
            rows.push(row)
            resumePoint = JSON.parse(JSON.stringify(stream.resumePoint)) as StreamResumePoint
            if (++count >= cut) break
          }
        }
        expect(rows).toEqual(whole)
      }),
      { numRuns: 4 },
    )
  }
})

test('a session ends with a silence as long as its gap, and takes nothing that comes late', async () => {
  await using db = await clickLog()
  const log = db.log('clicks')
  const sql = 'SELECT count(*) AS n FROM clicks GROUP BY SESSION(_time, INTERVAL 1 SECOND)'
  const stream = db.streamSql(sql)
  const rows = stream[Symbol.asyncIterator]()
  const next = async (): Promise<unknown> => {
    const { value } = await rows.next()
    if (value === undefined) return undefined
    const { window_start: start, window_end: end, n } = value
    return [Number(start) - START, Number(end) - START, n]
  }
  await log.append(at(0, 999, 1_500, 2_500, 3_499, 4_499))
  expect(await next()).toEqual([0, 2_500, 3])
  expect(await next()).toEqual([2_500, 4_499, 2])
  // 4000 and 5000 would join the session that is open, and the one that was given to it.
  await log.append(at(4_000, 5_100, 5_000, 5_600))
  await log.append(at(9_000))
  expect(await next()).toEqual([4_499, 6_600, 3])
  expect(stream.stats).toMatchObject({ records: 11, late: 2 })
  await stream.close()
})
