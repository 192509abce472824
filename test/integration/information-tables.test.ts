/** The information tables of SQL: what they show of an engine and of an archive, and that they fit the statement. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type ArchiveReader, Stratalog, VirtualClock } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'

let root = ''
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'stratalog-test-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const T0 = Date.UTC(2026, 0, 1)

const rowsOf = async (
  db: Stratalog | ArchiveReader,
  sql: string,
  asOf: { readonly asOf?: string | number } = {},
) => (await (await db.query(sql, [], asOf)).toJson()).rows

/** Each segment with the records that the log has in its offsets. */
const JOINED = `SELECT s.start_offset, s.end_offset, s.records, count(*) AS n, s.disk_file IS NOT NULL, s.object_key IS NOT NULL
  FROM stratalog_segments() s JOIN orders o
    ON o._partition = s.partition AND o._offset >= s.start_offset AND o._offset < s.end_offset
  WHERE s.log = 'orders' GROUP BY ALL ORDER BY 1`

test('logs, segments and snapshots are those of the state that is asked', async () => {
  const clock = new VirtualClock(T0)
  const archive = pathToFileURL(join(root, 'archive')).href
  await using db = await Stratalog.open({ dataDir: join(root, 'data'), archive }, { clock })
  const orders = await db.createLog('orders', { keyColumn: 'id' })
  for (const tier of ['object', 'disk'] as const) {
    await orders.append(Array.from({ length: 10 }, (_, n) => ({ id: n })))
    await db.tier.now({ to: tier })
    if (tier === 'object') await db.snapshot({ name: 'first' })
    clock.advance(1_000)
  }
  await orders.append([{ id: 1 }, { id: 2 }])
  clock.advance(1_000)
  await db.createLog('late', { partitions: 2, storage: { mode: 'memory' } })

  const logs = `SELECT name, id, mode, partitions, time_column, key_column, created_at, records, segments,
    ranges, policy->>'mode' FROM stratalog_logs() ORDER BY name`
  const ranges = [{ partition: 0, start_offset: 0, end_offset: 22 }]
  const created = '2026-01-01T00:00:00.000Z'
  expect(await rowsOf(db, logs)).toEqual([
    [
      'late',
      2,
      'memory',
      2,
      null,
      null,
      '2026-01-01T00:00:03.000Z',
      0,
      0,
      [0, 1].map((partition) => ({ partition, start_offset: 0, end_offset: 0 })),
      'memory',
    ],
    ['orders', 1, 'hybrid', 1, null, 'id', created, 22, 2, ranges, 'hybrid'],
  ])
  expect(await rowsOf(db, JOINED)).toEqual([
    [0, 10, 10, 10, true, true],
    [10, 20, 10, 10, true, false],
  ])
  expect(await rowsOf(db, JOINED, { asOf: 'first' })).toEqual([[0, 10, 10, 10, true, true]])
  const names = 'SELECT name, records FROM stratalog_logs() ORDER BY name'
  expect(await rowsOf(db, names, { asOf: 'first' })).toEqual([['orders', 10]])
  expect(await rowsOf(db, names, { asOf: T0 + 1_000 })).toEqual([['orders', 20]])
  expect(await rowsOf(db, names, { asOf: T0 - 1 })).toEqual([])

  const snapshots = `SELECT name, time, records, r.log, r.end_offset
    FROM (SELECT *, unnest(ranges) AS r FROM stratalog_snapshots())`
  expect(await rowsOf(db, snapshots)).toEqual([['first', created, 10, 'orders', 10]])
  expect(await rowsOf(db, snapshots, { asOf: T0 - 1 })).toEqual([])

  const { stats } = await (await db.query('SELECT * FROM stratalog_segments()')).toJson()
  expect(stats.recordsByTier).toEqual({ memory: 0, disk: 0, object: 0 })
  await expectError(db.query('SELECT * FROM stratalog_none()'), 'query_invalid')
  await expectError(db.query('SELECT * FROM stratalog_logs(1)'), 'query_invalid')

  await using reader = await Stratalog.openArchive(archive)
  expect(await rowsOf(reader, JOINED)).toEqual([[0, 10, 10, 10, false, true]])
  expect(await rowsOf(reader, snapshots)).toEqual([['first', created, 10, 'orders', 10]])
  expect(await rowsOf(reader, names, { asOf: 'first' })).toEqual([['orders', 10]])
})

test('what is gone is no record, and what moves meanwhile changes nothing', async () => {
  const clock = new VirtualClock(T0)
  await using db = await Stratalog.memoryOnly({}, { clock })
  const log = await db.createLog('events', { storage: { ttl: '1h' } })
  await log.append({ n: 1 }, { ttl: 1 })
  await log.append([{ n: 2 }, { n: 3 }])
  clock.advance(10)
  const both = 'SELECT records, (SELECT count(*) FROM events) FROM stratalog_logs()'
  expect(await rowsOf(db, both)).toEqual([[2, 2]])
  const result = await db.query(
    'SELECT l.records, count(*) FROM stratalog_logs() l, events GROUP BY 1',
  )
  await log.append({ n: 4 })
  expect(await result.toArray()).toEqual([{ records: 2, 'count_star()': 2 }])
})

test('as of a snapshot a log that was made anew under its name is not there', async () => {
  const archive = pathToFileURL(join(root, 'archive')).href
  await using db = await Stratalog.open({ dataDir: join(root, 'data'), archive })
  for (const name of ['kept', 'again']) await (await db.createLog(name)).append({ n: 1 })
  await db.snapshot({ name: 'first' })
  await db.deleteLog('again')
  await (await db.createLog('again')).append({ n: 2 })
  const names = 'SELECT name FROM stratalog_logs() ORDER BY name'
  expect(await rowsOf(db, names)).toEqual([['again'], ['kept']])
  expect(await rowsOf(db, names, { asOf: 'first' })).toEqual([['kept']])
})
