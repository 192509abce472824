/** Snapshots at a place of their own: an engine in RAM, and one with a disk and no archive, come back from them. */
import { readdir, rm, writeFile, readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { MemoryLogger } from '../../src/base/logger.ts'
import {
  Stratalog,
  type StratalogOptions,
  VirtualClock,
  restoreArchive,
  verifyFiles,
} from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const HOUR = 3_600_000

interface Place {
  readonly root: string
  readonly snapshotLocation: string
  readonly clock: VirtualClock
  readonly logger: MemoryLogger
}

async function place(): Promise<Place> {
  const root = await temporaryDirectory()
  const snapshotLocation = `${root}/snapshots`
  return { root, snapshotLocation, clock: new VirtualClock(), logger: new MemoryLogger() }
}

function open(
  { snapshotLocation, clock, logger }: Place,
  options: StratalogOptions = {},
): Promise<Stratalog> {
  return Stratalog.open({ snapshotLocation, ...options }, { clock, logger })
}

function rows(from: number, count: number): Array<{ n: number; text: string }> {
  return Array.from({ length: count }, (_, index) => ({
    n: from + index,
    text: `text ${(from + index) % 7}`,
  }))
}

async function all(db: Stratalog, log = 'log'): Promise<readonly unknown[]> {
  return db.log(log).read({ onGap: 'skip' }).toArray()
}

async function offsets(db: Stratalog): Promise<readonly unknown[]> {
  return (await db.log('log').read({ onGap: 'skip' }).toArray()).map((row) => row['_offset'])
}

async function segmentsIn({ snapshotLocation }: Place): Promise<readonly string[]> {
  const names = await readdir(snapshotLocation, { recursive: true })
  return names.filter((name) => name.endsWith('.arrow')).toSorted()
}

describe('an engine in RAM', () => {
  test('comes back as it was, with offsets, times, schemas and policy, and goes on', async () => {
    const at = await place()
    let before: readonly unknown[]
    {
      await using db = await open(at)
      const log = await db.createLog('log', {
        partitions: 2,
        storage: { evictionPolicy: 'lru', maxMemoryBytes: '4MB' },
      })
      await log.append(rows(0, 100), { partition: 0 })
      at.clock.advance(HOUR)
      await log.append([{ n: 1, text: 'x', more: true }], { partition: 1 })
      await db.snapshot({ name: 'one' })
      before = await all(db)
      await log.append(rows(100, 5), { partition: 0 })
    }
    await using db = await open(at)
    expect(await all(db)).toEqual(before)
    const log = db.log('log')
    expect(log.describe()).toMatchObject({
      partitions: 2,
      policy: { evictionPolicy: 'lru', maxMemoryBytes: 4 * 1024 * 1024 },
    })
    expect(log.describe().schema.map(({ name }) => name)).toContain('more')
    // What came after the snapshot is gone, as it is for a crash; its offsets are given again.
    expect((await log.append(rows(100, 5), { partition: 0 })).offset).toBe(100)
    expect((await db.createLog('other')).name).toBe('other')
    await db.snapshot({ name: 'two' })
    expect((await db.snapshots()).map(({ name }) => name)).toEqual(['one', 'two'])
    const { rows: counted } = await query(db, 'SELECT count(*)::INT AS n FROM log')
    expect(counted).toEqual([{ n: 106 }])
  })

  test('a second snapshot stores only what is new', async () => {
    const at = await place()
    await using db = await open(at)
    const log = await db.createLog('log')
    await log.append(rows(0, 1_000))
    const first = await db.snapshot({ name: 'first' })
    const same = await db.snapshot({ name: 'same' })
    await log.append(rows(1_000, 10))
    const more = await db.snapshot({ name: 'more' })
    expect(first.newBytes).toBe(first.bytes)
    expect(same).toMatchObject({ newBytes: 0, bytes: first.bytes })
    expect(more.newBytes).toBeLessThan(first.bytes / 2)
    expect(more.bytes).toBe(first.bytes + more.newBytes)
    expect(await segmentsIn(at)).toHaveLength(2)
  })

  test('a damaged snapshot is reported, and the one before it is used', async () => {
    const at = await place()
    {
      await using db = await open(at)
      const log = await db.createLog('log')
      await log.append(rows(0, 10))
      await db.snapshot({ name: 'good' })
      await log.append(rows(10, 10))
      await db.snapshot({ name: 'bad' })
    }
    const [, newer = ''] = await segmentsIn(at)
    const path = `${at.snapshotLocation}/${newer}`
    const bytes = await readFile(path)
    const middle = bytes.length >> 1
    bytes[middle] = (bytes[middle] ?? 0) ^ 1
    await writeFile(path, bytes)
    {
      await using db = await open(at)
      expect(await all(db)).toHaveLength(10)
      // Those offsets lie in a segment there: they are given to no other records.
      expect((await db.log('log').append(rows(0, 1))).offset).toBe(20)
      const told = at.logger.entries.filter(({ level }) => level === 'error')
      expect(told).toHaveLength(1)
      expect(told[0]?.message).toContain('the one before it is used')
    }
    expect((await verifyFiles({ archive: `file://${at.snapshotLocation}` })).verdict).toBe('FAIL')
    await rm(path)
    await using db = await open(at)
    expect(await all(db)).toHaveLength(10)
  })

  test('what is appended after a damaged snapshot was passed over is in the ones that come', async () => {
    const at = await place()
    {
      await using db = await open(at)
      const log = await db.createLog('log')
      await log.append(rows(0, 10))
      await db.snapshot({ name: 'good' })
      await log.append(rows(10, 10))
      await db.snapshot({ name: 'bad' })
    }
    const [, newer = ''] = await segmentsIn(at)
    await rm(`${at.snapshotLocation}/${newer}`)
    {
      await using db = await open(at)
      await db.log('log').append(rows(20, 10))
      await db.snapshot({ name: 'after' })
    }
    await using db = await open(at)
    const numbers = (await db.log('log').read({ onGap: 'skip' }).toArray()).map((row) => row['n'])
    expect(numbers).toEqual([...rows(0, 10), ...rows(20, 10)].map(({ n }) => n))
    expect((await db.snapshots()).map(({ name }) => name)).toEqual(['good', 'bad', 'after'])
  })

  test('what expired meanwhile does not come back', async () => {
    const at = await place()
    {
      await using db = await open(at)
      const log = await db.createLog('log', { storage: { ttl: '2h' } })
      await log.append(rows(0, 10))
      at.clock.advance(HOUR)
      await log.append(rows(10, 10))
      await db.snapshot({ name: 'one' })
    }
    at.clock.advance(HOUR + 1)
    await using db = await open(at)
    expect(await all(db)).toHaveLength(10)
    at.clock.advance(HOUR)
    expect(await all(db)).toHaveLength(0)
  })

  test('a record keeps its own ttl and priority', async () => {
    const at = await place()
    {
      await using db = await open(at, { snapshotOnClose: true })
      const log = await db.createLog('log', { storage: { evictionPolicy: 'priority' } })
      await log.append(rows(0, 3), { ttl: '1h' })
      await log.append(rows(3, 3), { priority: 5 })
      await log.append(rows(6, 3), { ttl: '3h', priority: -5 })
      await log.append(rows(9, 3))
    }
    at.clock.advance(2 * HOUR)
    {
      await using db = await open(at, { snapshotOnClose: true })
      expect(await offsets(db)).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11])
    }
    at.clock.advance(HOUR)
    await using db = await open(at, { maxMemoryBytes: '256KB' })
    expect(await offsets(db)).toEqual([3, 4, 5, 9, 10, 11])
    // A budget that is used up takes what has the lowest priority first.
    for (let append = 0; append < 30; append++)
      await db.log('log').append(rows(0, 2_000), { priority: 1 })
    expect((await offsets(db)).slice(0, 4)).toEqual([3, 4, 5, expect.any(Number)])
    expect(await offsets(db)).not.toContain(9)
  })

  test('by interval and at closing; what no snapshot holds any more is let go of', async () => {
    const at = await place()
    const options = { snapshotOnClose: true, snapshotKeep: 1 } as const
    for (let life = 0; life < 3; life++) {
      await using db = await open(at, options)
      if (life === 0) await db.createLog('log', { storage: { ttl: '30m' } })
      await db.log('log').append(rows(life * 10, 10))
      at.clock.advance(2 * HOUR)
      await db.log('log').append(rows(life * 10 + 5, 1))
    }
    await using db = await open(at)
    expect(await db.snapshots()).toHaveLength(1)
    expect(await all(db)).toHaveLength(1)
    // The first life's segments were retired at the end of the second, and collected an hour later.
    expect(await segmentsIn(at)).toHaveLength(2)
  })

  test('restoreOnOpen: false begins empty, behind what was there', async () => {
    const at = await place()
    {
      await using db = await open(at, { snapshotOnClose: true })
      await (await db.createLog('log')).append(rows(0, 10))
    }
    await using db = await open(at, { restoreOnOpen: false })
    expect(await all(db)).toEqual([])
    expect((await db.log('log').append(rows(0, 1))).offset).toBe(10)
    await db.snapshot({ name: 'after' })
    expect((await db.snapshots()).map(({ name }) => name).at(-1)).toBe('after')
  })

  test('producers are known again', async () => {
    const at = await place()
    const producer = { producerId: 'p', epoch: 1, sequence: 0 }
    {
      await using db = await open(at, { snapshotOnClose: true })
      await (await db.createLog('log')).append(rows(0, 10), { producer })
    }
    await using db = await open(at)
    const again = await db.log('log').append(rows(0, 10), { producer })
    expect(again).toMatchObject({ offset: 0, isDuplicate: true })
    expect(await all(db)).toHaveLength(10)
  })

  test('what does not fit under reject is an error that says so, and nothing there is touched', async () => {
    const at = await place()
    {
      await using db = await open(at, { snapshotOnClose: true, evictionPolicy: 'reject' })
      await (await db.createLog('log')).append(rows(0, 50_000))
    }
    await expectError(open(at, { maxMemoryBytes: '256KB' }), 'memory_full')
    await using db = await open(at)
    expect(await all(db)).toHaveLength(50_000)
  })

  test('a second engine takes the location over; the first one makes no snapshot there any more', async () => {
    const at = await place()
    await using first = await open(at)
    await (await first.createLog('log')).append(rows(0, 1))
    await first.snapshot({ name: 'one' })
    await using second = await open(at)
    await second.log('log').append(rows(1, 1))
    await expectError(first.snapshot({ name: 'late' }), 'writer_fenced')
    await second.snapshot({ name: 'two' })
    expect((await second.snapshots()).map(({ name }) => name)).toEqual(['one', 'two'])
  })
})

describe('an engine with a disk and no archive', () => {
  test('logs on disk and in RAM are in one snapshot, which restores on an empty machine', async () => {
    const at = await place()
    const dataDir = `${at.root}/data`
    {
      await using db = await open(at, { dataDir })
      const disk = await db.createLog('disk', { storage: { mode: 'persistent' } })
      const cache = await db.createLog('cache', { storage: { mode: 'memory' } })
      await disk.append(rows(0, 10))
      await db.tier.now({ to: 'disk' })
      await disk.append(rows(10, 10))
      await cache.append(rows(0, 5))
      await db.snapshot({ name: 'one' })
      await disk.append(rows(20, 10))
      await cache.append(rows(5, 5))
    }
    {
      await using db = await open(at, { dataDir })
      expect(await all(db, 'disk')).toHaveLength(30)
      expect(await all(db, 'cache')).toHaveLength(5)
      expect((await db.log('cache').append(rows(5, 1))).offset).toBe(5)
      await db.snapshot({ name: 'two' })
    }
    const archive = `file://${at.snapshotLocation}`
    expect((await verifyFiles({ archive })).verdict).toBe('PASS')
    const restored = `${at.root}/restored`
    await restoreArchive({ archive, dataDir: restored, snapshot: 'one' })
    await using db = await Stratalog.openReadOnly({ dataDir: restored })
    expect(await all(db, 'disk')).toHaveLength(20)
    expect(await all(db, 'cache')).toHaveLength(5)
  })

  test('segments that were merged since the last snapshot add only what is new', async () => {
    const at = await place()
    await using db = await open(at, { dataDir: `${at.root}/data` })
    const log = await db.createLog('log', { storage: { mode: 'persistent' } })
    await log.append(rows(0, 10))
    await db.snapshot({ name: 'one' })
    await log.append(rows(10, 10))
    await db.tier.now({ to: 'disk' })
    await db.tier.compact()
    await db.snapshot({ name: 'two' })
    expect((await segmentsIn(at)).map((path) => /\/0*(\d*)-/.exec(path)?.[1])).toEqual(['', '10'])
    expect((await verifyFiles({ archive: `file://${at.snapshotLocation}` })).verdict).toBe('PASS')
  })

  test('a location of another engine is refused, and left alone', async () => {
    const at = await place()
    {
      await using db = await open(at, { dataDir: `${at.root}/one`, snapshotOnClose: true })
      await db.createLog('log', { storage: { mode: 'persistent' } })
    }
    await expectError(open(at, { dataDir: `${at.root}/two` }), 'archive_foreign')
    const error = await expectError(open(at), 'archive_foreign')
    expect(error.message).toContain('its dataDir')
  })

  test('a location that is the archive is the archive', async () => {
    const at = await place()
    const archive = `file://${at.snapshotLocation}`
    await using db = await open(at, { dataDir: `${at.root}/data`, archive })
    await (await db.createLog('log')).append(rows(0, 10))
    await db.snapshot({ name: 'one' })
    expect(db.status().logs[0]?.partitions[0]?.archivedOffset).toBe(10)
  })

  test('what cannot be is refused when the engine is opened', async () => {
    const problems = async (options: StratalogOptions): Promise<unknown> => {
      const error = await expectError(Stratalog.open(options), 'config_invalid')
      return (error.details['problems'] as Array<{ path: string }>).map(({ path }) => path)
    }
    expect(await problems({ restoreOnOpen: false })).toEqual(['restoreOnOpen'])
    expect(await problems({ snapshotLocation: 'http://x/y' })).toEqual(['snapshotLocation'])
    expect(await problems({ snapshotLocation: '/x', snapshotKeep: 1 })).toEqual(['snapshotKeep'])
  })
})

async function query(db: Stratalog, sql: string): Promise<{ readonly rows: readonly unknown[] }> {
  return { rows: await (await db.query(sql)).toArray() }
}
