/** `keep: 'latest'`: old versions of a key go from aged segments, offsets and the latest view stay. */
import { expect, test } from 'vitest'
import {
  Stratalog,
  VirtualClock,
  drillArchive,
  restoreArchive,
  verifyFiles,
} from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const HOUR = 3_600_000

interface Place {
  readonly dataDir: string
  readonly archive: string
}

async function place(): Promise<Place> {
  const root = await temporaryDirectory()
  return { dataDir: `${root}/data`, archive: `file://${root}/archive` }
}

/** Segments of ten records of three keys each, all of them out of RAM. */
async function written(
  db: Stratalog,
  clock: VirtualClock,
  segments: number,
  storage: object = {},
): Promise<void> {
  const log = await db.createLog('log', {
    keyColumn: 'key',
    schema: { key: 'utf8', n: 'int32', _deleted: 'bool' },
    storage: { keep: 'latest', memoryTtl: '1m', diskAfter: '1m', archiveAfter: '1m', ...storage },
  })
  for (let part = 0; part < segments; part++) {
    const rows = Array.from({ length: 10 }, (_, row) => part * 10 + row)
    await log.append(rows.map((n) => ({ key: `k${n % 3}`, n, _deleted: null })))
    await db.tier.now()
  }
  clock.advance(HOUR)
  await settled(db)
}

async function settled(db: Stratalog): Promise<void> {
  while ((await db.tier.run()).length > 0);
}

async function offsets(db: Stratalog, from = 0): Promise<unknown[]> {
  return (await db.log('log').read({ from }).toArray()).map((row) => row['_offset'])
}

test('superseded records go, and the latest view stays', async () => {
  const clock = new VirtualClock()
  const at = await place()
  let hash = ''
  {
    await using db = await Stratalog.open(at, { clock })
    await db.tier.pause()
    await written(db, clock, 4)
    const log = db.log('log')
    hash = await log.latestHash()
    await db.tier.resume()
    await settled(db)
    await db.tier.compact()
    expect(await offsets(db)).toEqual([37, 38, 39])
    expect(await log.latestHash()).toBe(hash)
  }
  expect(await verifyFiles(at)).toMatchObject({ verdict: 'PASS', notes: [] })
  await using db = await Stratalog.open(at, { clock })
  const log = db.log('log')
  expect(await log.latestHash()).toBe(hash)
  expect(await offsets(db)).toEqual([37, 38, 39])
})

test('half of a segment has to go before the policy has it written again', async () => {
  const clock = new VirtualClock()
  await using db = await Stratalog.open(await place(), { clock })
  await db.tier.pause()
  await written(db, clock, 4)
  const log = db.log('log')
  const hash = await log.latestHash()
  await db.tier.resume()
  await settled(db)
  // The last record of a segment stays in it.
  expect(await offsets(db)).toEqual([9, 19, 29, 37, 38, 39])
  const segments = (): Promise<unknown[]> =>
    db
      .query(
        'SELECT start_offset::INT AS f, end_offset::INT AS t, records::INT AS n FROM stratalog_segments()',
      )
      .then((result) => result.toArray())
  expect(await segments()).toEqual([
    { f: 0, t: 10, n: 1 },
    { f: 10, t: 20, n: 1 },
    { f: 20, t: 30, n: 1 },
    { f: 30, t: 40, n: 3 },
  ])
  expect(db.status().logs[0]?.partitions[0]?.tiers).toMatchObject({
    disk: { records: 6, segments: 4 },
    object: { records: 6, segments: 4 },
  })
  expect(await log.latestHash()).toBe(hash)
  // Nothing new came: nothing is due, whatever the time.
  clock.advance(100 * HOUR)
  await settled(db)
  expect(await offsets(db)).toHaveLength(6)
  // Few new records are no reason to look at all again; as many as there are are one.
  await log.append([{ key: 'k0', n: 100, _deleted: null }])
  await db.tier.now()
  clock.advance(HOUR)
  await settled(db)
  expect((await segments()).length).toBe(5)
  expect((await segments()).at(3)).toEqual({ f: 30, t: 40, n: 3 })
})

test('readers go over what is gone, by offset, by time, live and in SQL', async () => {
  const clock = new VirtualClock()
  for (const segmentFormat of ['arrow', 'parquet'] as const) {
    await using db = await Stratalog.open(await place(), { clock })
    await written(db, clock, 4, { segmentFormat })
    await db.tier.compact()
    const log = db.log('log')
    await log.append([{ key: 'k3', n: 40, _deleted: null }])
    expect(await offsets(db)).toEqual([37, 38, 39, 40])
    expect(await offsets(db, 12)).toEqual([37, 38, 39, 40])
    expect(await log.read({ from: 38, to: 39, columns: ['n'] }).toArray()).toMatchObject([
      { n: 38 },
    ])
    expect(await log.read({ from: 3, to: 30 }).toArray()).toEqual([])
    expect([await log.get(12), await log.get(38)]).toMatchObject([null, { n: 38, _offset: 38 }])
    const since = new Date(clock.now() - 3 * HOUR)
    expect(await log.read({ since }).toArray()).toHaveLength(4)
    const gaps: unknown[] = []
    await log.read({ onGap: (gap) => gaps.push(gap) }).toArray()
    expect(gaps).toEqual([])
    const live = log.read({ live: true, from: 5, partition: 0 })[Symbol.asyncIterator]()
    expect((await live.next()).value?.toRows()).toMatchObject([{ n: 37 }, { n: 38 }, { n: 39 }])
    await live.return?.()
    const rows = async (sql: string): Promise<unknown[]> => (await db.query(sql)).toArray()
    expect(await rows('SELECT _offset::INT AS o, n, key FROM log ORDER BY 1')).toEqual([
      { o: 37, n: 37, key: 'k1' },
      { o: 38, n: 38, key: 'k2' },
      { o: 39, n: 39, key: 'k0' },
      { o: 40, n: 40, key: 'k3' },
    ])
    expect(await rows('SELECT n FROM log WHERE _offset BETWEEN 38 AND 39 ORDER BY 1')).toEqual([
      { n: 38 },
      { n: 39 },
    ])
    expect(await rows('SELECT count(*)::INT AS c FROM log')).toEqual([{ c: 4 }])
    expect(await rows('SELECT _offset::INT AS o FROM log$latest ORDER BY 1')).toEqual([
      { o: 37 },
      { o: 38 },
      { o: 39 },
      { o: 40 },
    ])
    expect(await rows(`SELECT records::INT AS r FROM stratalog_logs() WHERE name = 'log'`)).toEqual(
      [{ r: 4 }],
    )
    expect(await log.read({ last: 2 }).toArray()).toMatchObject([{ n: 39 }, { n: 40 }])
  }
})

test('a tombstone goes when what it deleted is gone, and the look after', async () => {
  const clock = new VirtualClock()
  await using db = await Stratalog.open(await place(), { clock })
  await db.tier.pause()
  await written(db, clock, 2)
  const log = db.log('log')
  const age = async (): Promise<void> => {
    await db.tier.now()
    clock.advance(HOUR)
    await settled(db)
  }
  await log.append([{ key: 'k0', n: 20, _deleted: true }])
  await log.append([{ key: 'none', n: 21, _deleted: true }])
  await age()
  const hash = await log.latestHash()
  await db.tier.compact()
  expect(await offsets(db)).toEqual([17, 19, 20, 21])
  expect(await log.latestHash()).toBe(hash)
  await db.tier.compact()
  expect(await offsets(db)).toEqual([17, 19])
  expect(await log.latestHash()).toBe(hash)
  expect(await log.getLatest('k0')).toBeNull()
  // What is written under the key again is there, and nothing brings the old record back.
  await log.append([{ key: 'k0', n: 22, _deleted: null }])
  await age()
  await db.tier.compact()
  expect(await log.getLatest('k0')).toMatchObject({ n: 22 })
})

test('a snapshot keeps its latest view, and a restore of it has that', async () => {
  const clock = new VirtualClock()
  const at = await place()
  let hash = ''
  {
    await using db = await Stratalog.open(at, { clock })
    await db.tier.pause()
    await written(db, clock, 2)
    const log = db.log('log')
    hash = await log.latestHash()
    await db.snapshot({ name: 'early' })
    await log.append([
      { key: 'k0', n: 20, _deleted: true },
      { key: 'k1', n: 21, _deleted: null },
    ])
    await db.tier.now()
    clock.advance(HOUR)
    await settled(db)
    await db.tier.compact()
    await db.tier.compact()
    // The newest of each key at the snapshot, and now.
    expect(await offsets(db)).toEqual([17, 18, 19, 20, 21])
    expect(await log.latestHash({ asOf: 'early' })).toBe(hash)
    clock.advance(3 * HOUR)
    await db.tier.collect()
  }
  const restored = { archive: at.archive, dataDir: `${at.dataDir}-early`, snapshot: 'early' }
  expect(await restoreArchive(restored)).toMatchObject({ records: 3, verified: true })
  {
    await using db = await Stratalog.open({ dataDir: restored.dataDir })
    expect(await db.log('log').latestHash()).toBe(hash)
    expect(await offsets(db)).toEqual([17, 18, 19])
  }
  await using db = await Stratalog.open(at, { clock })
  const [early] = await db.snapshots()
  await db.deleteSnapshot(early?.id ?? '')
  await db.tier.compact()
  await db.tier.compact()
  expect(await offsets(db)).toEqual([17, 21])
})

test('an older moment, a replay and a drill have what is kept, and say so', async () => {
  const clock = new VirtualClock()
  const at = await place()
  const db = await Stratalog.open(at, { clock })
  await db.tier.pause()
  await written(db, clock, 2)
  const log = db.log('log')
  const before = clock.now()
  clock.advance(1_000)
  await log.append([20, 21, 22].map((n) => ({ key: `k${n % 3}`, n, _deleted: null })))
  await db.tier.now()
  clock.advance(HOUR)
  await settled(db)
  const hash = await log.latestHash()
  await db.tier.compact()
  // k1 and k2 came after the moment, and what they were then is gone.
  expect(await log.read({ asOf: before }).toArray()).toEqual([])
  expect(await offsets(db)).toEqual([20, 21, 22])
  await using target = await Stratalog.memoryOnly()
  const report = await target.replayFromArchive(at.archive)
  expect(report.logs[0]).toMatchObject({
    records: 3,
    gaps: [],
    latestHash: hash,
    compacted: [{ partition: 0, from: 0, to: 23, records: 3 }],
  })
  expect(await offsets(target)).toEqual([20, 21, 22])
  await db.close()
  const drill = await drillArchive({ archive: at.archive, against: at.dataDir })
  expect(drill).toMatchObject({ verdict: 'PASS', coverage: 1, hashEqual: true, latestEqual: true })
})

test('a fork and a restore up to an offset have what is kept before it', async () => {
  const clock = new VirtualClock()
  const at = await place()
  {
    await using db = await Stratalog.open(at, { clock })
    await db.tier.pause()
    await written(db, clock, 2)
    await db.tier.compact()
    const fork = await db.fork('log', 'fork', { atOffset: 19 })
    expect((await fork.read().toArray()).map((row) => row['n'])).toEqual([17, 18])
    // Where nothing is kept before an offset, a fork there is empty, and goes on as any other.
    const empty = await db.fork('log', 'empty', { atOffset: 12 })
    expect(await empty.read().toArray()).toEqual([])
    await empty.append({ key: 'k0', n: 1, _deleted: null })
    await fork.append({ key: 'k0', n: 2, _deleted: null })
    await db.tier.now()
    expect((await empty.read().toArray()).map((row) => row['n'])).toEqual([1])
    expect((await fork.read().toArray()).map((row) => row['n'])).toEqual([17, 18, 2])
  }
  expect(await verifyFiles(at)).toMatchObject({ verdict: 'PASS', problems: [] })
  for (const [offset, kept] of [
    [19, [17, 18]],
    [12, []],
  ] as const) {
    const dataDir = `${at.dataDir}-${offset}`
    const toOffsets = [{ log: 'log', partition: 0, offset }]
    await restoreArchive({ archive: at.archive, dataDir, logs: ['log'], toOffsets })
    await using db = await Stratalog.open({ dataDir })
    expect((await db.log('log').read().toArray()).map((row) => row['n'])).toEqual(kept)
  }
})

test('it is refused for a log without a key and for one in RAM, and told where it is', async () => {
  await using db = await Stratalog.open(await place())
  const storage = { keep: 'latest' } as const
  const refused = await expectError(db.createLog('keyless', { storage }), 'config_invalid')
  expect(refused.message).toContain('keyColumn')
  const inRam = { mode: 'memory', keep: 'latest' } as const
  await expectError(db.createLog('ram', { keyColumn: 'key', storage: inRam }), 'config_invalid')
  const other = { keep: 'newest' as 'latest' }
  await expectError(db.createLog('log', { keyColumn: 'key', storage: other }), 'config_invalid')
  await db.createLog('keyless')
  await expectError(db.alterLog('keyless', { storage }), 'config_invalid')
  const log = await db.createLog('log', { keyColumn: 'key' })
  expect(log.describe().policy.keep).toBe('all')
  await db.alterLog('log', { storage })
  expect(log.describe().policy.keep).toBe('latest')
  await db.alterLog('log', { storage: { keep: null } })
  expect(log.describe().policy.keep).toBe('all')
})

test('as a default it counts for logs with a key', async () => {
  await using db = await Stratalog.open({ ...(await place()), defaults: { keep: 'latest' } })
  const keyed = await db.createLog('keyed', { keyColumn: 'key' })
  const keyless = await db.createLog('keyless')
  expect([keyed, keyless].map((log) => log.describe().policy.keep)).toEqual(['latest', 'all'])
})

test('a log that kept all lets go once it is changed, and keeps what is left when it is changed back', async () => {
  const clock = new VirtualClock()
  await using db = await Stratalog.open(await place(), { clock })
  await db.tier.pause()
  await written(db, clock, 2, { keep: 'all' })
  await db.tier.compact()
  expect(await offsets(db)).toHaveLength(20)
  await db.alterLog('log', { storage: { keep: 'latest' } })
  await db.tier.resume()
  await settled(db)
  expect(await offsets(db)).toEqual([17, 18, 19])
  await db.alterLog('log', { storage: { keep: 'all' } })
  await db
    .log('log')
    .append(Array.from({ length: 30 }, (_, n) => ({ key: 'k1', n, _deleted: null })))
  await db.tier.now()
  clock.advance(HOUR)
  await settled(db)
  await db.tier.compact()
  expect(await offsets(db)).toHaveLength(33)
})
