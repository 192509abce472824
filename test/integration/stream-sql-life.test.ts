/** The life of continuous queries: how they begin, wait, are resumed, and end. */
import { expect, test } from 'vitest'
import { Stratalog, VirtualClock } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
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

test('a query that came to its end goes on from there, with open windows complete', async () => {
  await using db = await clickLog()
  const log = db.log('clicks')
  await log.append(at(100, 1_100))
  const first = db.streamSql(COUNTS, { live: false })
  expect(short(await allOf(first))).toEqual([
    [0, 1],
    [1_000, 1],
  ])
  const again = db.streamSql(COUNTS, { live: false, resumePoint: first.resumePoint })
  expect(await allOf(again)).toEqual([])
  await log.append(at(1_200, 2_100))
  const rest = db.streamSql(COUNTS, { live: false, resumePoint: again.resumePoint })
  expect(short(await allOf(rest))).toEqual([
    [1_000, 2],
    [2_000, 1],
  ])
})

test('a resume point goes with its statement and its log', async () => {
  await using db = await clickLog()
  await db.createLog('other')
  await db.log('clicks').append(at(100, 1_100))
  const stream = db.streamSql(COUNTS, { live: false })
  await allOf(stream)
  const { resumePoint } = stream
  const other = COUNTS.replace('1 SECOND', '2 SECONDS')
  await expectError(rowsOf(db, other, { resumePoint }), 'argument_invalid')
  await expectError(rowsOf(db, COUNTS, { resumePoint, from: 0 }), 'argument_invalid')
  await db.deleteLog('clicks')
  await db.createLog('clicks', { timeColumn: 'timestamp' })
  await db.log('clicks').append(at(100, 1_100, 1_200))
  await expectError(rowsOf(db, COUNTS, { resumePoint }), 'argument_invalid')
  await using another = await clickLog()
  await another.log('clicks').append(at(100))
  const { details } = await expectError(
    rowsOf(another, COUNTS, { resumePoint }),
    'offset_not_found',
  )
  expect(details).toMatchObject({ partition: 0, endOffset: 1, offset: 2 })
})

test('a silent partition holds the windows of the others open for the idle timeout, and no longer', async () => {
  const clock = new VirtualClock()
  await using db = await Stratalog.memoryOnly({}, { clock })
  const log = await db.createLog('clicks', { timeColumn: 'timestamp', partitions: 2 })
  const stream = db.streamSql(COUNTS, { idleTimeout: '30s' })
  const rows = stream[Symbol.asyncIterator]()
  const first = rows.next()
  await log.append(at(100, 1_100), { partition: 0 })
  await eventually(() => stream.stats?.records).toBe(2)
  clock.advance(29_000)
  await log.append(at(1_200), { partition: 0 })
  await eventually(() => stream.stats?.records).toBe(3)
  expect(stream.stats?.watermark).toBe(null)
  clock.advance(1_001)
  expect(short([(await first).value ?? {}])).toEqual([[0, 1]])
  // It speaks again, and holds them up again.
  const second = rows.next()
  await log.append(at(1_300), { partition: 1 })
  await log.append(at(2_500), { partition: 0 })
  await eventually(() => stream.stats?.records).toBe(5)
  expect(stream.stats).toMatchObject({ rows: 1, watermark: new Date(START + 1_300) })
  await log.append(at(2_000), { partition: 1 })
  expect(short([(await second).value ?? {}])).toEqual([[1_000, 3]])
  await stream.close()
})

test('a query ends by its signal, by close and with its loop, and lets go of what it read', async () => {
  await using db = await clickLog()
  await db.log('clicks').append(at(100, 1_100, 2_100))
  const controller = new AbortController()
  const aborted = db.streamSql(COUNTS, { signal: controller.signal })
  const seen: StreamRow[] = []
  for await (const row of aborted) {
    seen.push(row)
    if (seen.length === 2) controller.abort()
  }
  expect(seen).toHaveLength(2)
  const closed = db.streamSql(COUNTS)
  const reading = allOf(closed)
  await eventually(() => closed.stats?.rows).toBe(2)
  await closed.close()
  expect(await reading).toHaveLength(2)
  for await (const row of db.streamSql(COUNTS)) {
    expect(row['n']).toBe(1)
    break
  }
  const early = db.streamSql(COUNTS, { signal: AbortSignal.abort() })
  expect(await allOf(early)).toEqual([])
  await expectError(allOf(closed), 'argument_invalid')
})

test('closing the engine, and taking the log away, end a query with the reason', async () => {
  const dataDir = await temporaryDirectory()
  const db = await Stratalog.open({
    dataDir: `${dataDir}/data`,
    archive: `file://${dataDir}/archive`,
  })
  const log = await db.createLog('clicks', { timeColumn: 'timestamp' })
  await log.append(at(100, 1_100))
  const detached = db.streamSql(COUNTS)
  const waiting = expectError(allOf(detached), 'log_not_found')
  await eventually(() => detached.stats?.rows).toBe(1)
  await db.tier.now({ to: 'object' })
  await db.tier.detach('clicks')
  await waiting
  await (await db.createLog('more', { timeColumn: 'timestamp' })).append(at(100, 1_100))
  const left = db.streamSql(COUNTS.replace('clicks', 'more'))
  const ending = expectError(allOf(left), 'engine_closed')
  await eventually(() => left.stats?.rows).toBe(1)
  await db.close()
  await ending
  expect(() => db.streamSql(COUNTS)).toThrow(expect.objectContaining({ code: 'engine_closed' }))
})

test('columns that are added and widened on the way are there from then on', async () => {
  await using db = await Stratalog.memoryOnly()
  const log = await db.createLog('clicks', { timeColumn: 'timestamp' })
  const sql =
    'SELECT sum(amount) AS total, count(*) AS n FROM clicks GROUP BY TUMBLE(timestamp, INTERVAL 1 SECOND)'
  const stream = db.streamSql(sql)
  const rows = stream[Symbol.asyncIterator]()
  const when = (ms: number): Date => new Date(START + ms)
  const first = rows.next()
  await log.append([
    { timestamp: when(0), amount: 1 },
    { timestamp: when(1_000), amount: 2 },
  ])
  expect((await first).value).toMatchObject({ total: 1, n: 1 })
  await log.append([
    { timestamp: when(1_500), amount: 2.5, place: 'Wien' },
    { timestamp: when(2_000), amount: 0 },
  ])
  expect((await rows.next()).value).toMatchObject({ total: 4.5, n: 2 })
  await stream.close()
  const later =
    'SELECT place, count(*) AS n FROM clicks GROUP BY place, TUMBLE(timestamp, INTERVAL 1 SECOND)'
  expect((await rowsOf(db, later)).map(({ place, n }) => [place, n])).toEqual([
    [null, 1],
    ['Wien', 1],
    [null, 1],
    [null, 1],
  ])
})

test('a log without a time column has the windows of its appends', async () => {
  const clock = new VirtualClock(START)
  await using db = await Stratalog.memoryOnly({}, { clock })
  const stream = db.streamSql(
    'SELECT max(n) AS n FROM events GROUP BY TUMBLE(_time, INTERVAL 1 SECOND)',
  )
  await db.createLog('events')
  const rows = stream[Symbol.asyncIterator]()
  const first = rows.next()
  for (let n = 0; n < 4; n++) {
    await db.produce('events', { n })
    clock.advance(600)
  }
  expect((await first).value).toMatchObject({ window_start: new Date(START), n: 1 })
  await stream.close()
})

test("batches are in Arrow's layout", async () => {
  await using db = await clickLog()
  await db.log('clicks').append(at(100, 200, 1_100))
  const found: unknown[] = []
  for await (const { schema, length, columns } of db.streamSql(COUNTS, { live: false }).batches()) {
    expect(columns).toHaveLength(schema.fields.length)
    found.push([length, schema.fields.map(({ name, type }) => [name, type])])
  }
  const fields = [
    ['window_start', 'timestamp[us]'],
    ['window_end', 'timestamp[us]'],
    ['n', 'int64'],
  ]
  expect(found).toEqual([
    [1, fields],
    [1, fields],
  ])
})

test('it begins where it is asked to', async () => {
  await using db = await clickLog()
  const log = db.log('clicks')
  await log.append(at(100, 200, 1_100, 1_900, 2_100))
  expect(short(await rowsOf(db, COUNTS, { from: 1 }))).toEqual([
    [0, 1],
    [1_000, 2],
    [2_000, 1],
  ])
  expect(short(await rowsOf(db, COUNTS, { since: new Date(START + 1_500) }))).toEqual([
    [1_000, 1],
    [2_000, 1],
  ])
  expect(await rowsOf(db, COUNTS, { from: 'now' })).toEqual([])
  await db.createLog('wide', { partitions: 2, timeColumn: 'timestamp' })
  await expectError(rowsOf(db, COUNTS.replace('clicks', 'wide'), { from: 1 }), 'argument_invalid')
})

test('records that memory let go of before their window closed end a query, unless gaps are passed over', async () => {
  await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '4MB' })
  const log = await db.createLog('clicks', { timeColumn: 'timestamp' })
  const append = async (from: number): Promise<void> => {
    const rows = Array.from({ length: 2_000 }, (_, index) => ({
      timestamp: new Date(START + (from + index) * 10),
      text: String(index).padStart(200, 'x'),
    }))
    await log.append(rows)
  }
  const sql = COUNTS.replace('1 SECOND', '1 DAY')
  const streams = (['fail', 'skip'] as const).map((onGap) => db.streamSql(sql, { onGap }))
  const [failing, skipping] = streams.map((stream) => allOf(stream))
  await append(0)
  for (const stream of streams) await eventually(() => stream.stats?.records).toBe(2_000)
  for (let from = 2_000; from < 40_000; from += 2_000) {
    await append(from)
    for (const stream of streams) await eventually(() => stream.stats?.records).toBe(from + 2_000)
  }
  await log.append({ timestamp: new Date(START + 86_400_000), text: '' })
  const { details } = await expectError(failing ?? Promise.reject(new Error('none')), 'offset_gap')
  expect(details).toMatchObject({ log: 'clicks', from: 0, cause: 'evicted' })
  await eventually(() => streams[1]?.stats?.rows).toBe(1)
  await streams[1]?.close()
  const [row] = (await skipping) ?? []
  expect(Number(row?.['n'])).toBeLessThan(40_000)
})

test('rows that are due together are bounded', async () => {
  await using db = await clickLog()
  await db.log('clicks').append(clicks(20_000, 0))
  const sql =
    'SELECT _offset, count(*) AS n FROM clicks GROUP BY _offset, TUMBLE(_time, INTERVAL 1 HOUR)'
  await expectError(rowsOf(db, sql, { maxStateBytes: '64KB' }), 'query_limit')
  expect(await rowsOf(db, sql)).toHaveLength(20_000)
})

test('parameters count in WHERE, in the groups and in HAVING, also of a log whose name is quoted', async () => {
  await using db = await Stratalog.memoryOnly()
  const log = await db.createLog('shop.orders', { timeColumn: 'timestamp' })
  await log.append(at(0, 100, 200, 900, 1_500, 3_000, 3_100, 3_200))
  const sql = `SELECT user_id % $slices AS slice, sum(o.user_id) AS total FROM "shop.orders" AS o
    WHERE user_id >= $least GROUP BY 1, SESSION(o.timestamp, INTERVAL 1 SECOND) HAVING count(*) > $more`
  const parameters = { slices: 200, least: 100, more: 1 }
  const stream = db.streamSql(sql, { parameters, live: false })
  const rows = (await allOf(stream)).map((row) => [row['slice'], row['total']])
  expect(rows).toEqual([
    [100, 2_500],
    [0, 6_200],
  ])
  await expectError(rowsOf(db, sql, { parameters: { slices: 200 } }), 'query_invalid')
})

test('an engine that only reads gives the windows of what it sees', async () => {
  const dataDir = await temporaryDirectory()
  await using db = await Stratalog.open({ dataDir })
  const log = await db.createLog('clicks', { timeColumn: 'timestamp' })
  await log.append(at(100, 1_100))
  await using reader = await Stratalog.openReadOnly({ dataDir })
  expect(short(await rowsOf(reader, COUNTS))).toEqual([
    [0, 1],
    [1_000, 1],
  ])
})

test('an engine that only reads follows what another appends to the directory, in all partitions', async () => {
  const dataDir = await temporaryDirectory()
  await using db = await Stratalog.open({ dataDir })
  const log = await db.createLog('clicks', { timeColumn: 'timestamp', partitions: 2 })
  const append = async (...times: readonly number[]): Promise<void> => {
    for (const partition of [0, 1]) await log.append(at(...times), { partition })
  }
  await append(100, 1_100)
  await using reader = await Stratalog.openReadOnly({ dataDir })
  const stream = reader.streamSql(COUNTS)
  const rows = stream[Symbol.asyncIterator]()
  const next = async (): Promise<unknown> => short([(await rows.next()).value as StreamRow])
  expect(await next()).toEqual([[0, 2]])
  await append(2_200)
  expect(await next()).toEqual([[1_000, 2]])
  await append(3_300)
  expect(await next()).toEqual([[2_000, 2]])
  expect(stream.columns?.map(({ name }) => name)).toContain('window_start')
  await rows.return?.()
})
