import { cp, readdir } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import {
  Stratalog,
  type StratalogOptions,
  VirtualClock,
  restoreArchive,
  verifyFiles,
} from '../../src/index.ts'
import type { ErrorCode, StratalogError } from '../../src/base/errors.ts'
import { expectError } from '../support/expect-error.ts'
import { UP_TO, append, numbers } from '../support/number-logs.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const HOUR = 3_600_000

async function filesBelow(directory: string, part: string): Promise<string[]> {
  const names = await readdir(directory, { recursive: true })
  return names.filter((name) => name.startsWith(part) && name.includes('.'))
}

/** What a call throws, or its promise. */
function refused(call: () => unknown, code: ErrorCode): Promise<StratalogError> {
  return expectError(Promise.resolve().then(call), code)
}

interface Place {
  readonly root: string
  readonly dataDir: string
  readonly archive: string
  readonly clock: VirtualClock
}

async function place(): Promise<Place> {
  const root = await temporaryDirectory()
  const clock = new VirtualClock(1_700_000_000_000)
  return { root, dataDir: `${root}/data`, archive: `file://${root}/archive`, clock }
}

function open(
  { dataDir, archive, clock }: Place,
  options: Partial<StratalogOptions> = {},
  hasArchive = true,
): Promise<Stratalog> {
  return Stratalog.open({ dataDir, ...(hasArchive ? { archive } : {}), ...options }, { clock })
}

/** Lets what is due be done. */
async function rounds({ clock }: Place, count: number): Promise<void> {
  for (let round = 0; round < count; round++) {
    clock.advance(500)
    await new Promise(setImmediate)
  }
}

describe('in RAM', () => {
  test('a deleted log is gone, its handles say so, and its name begins anew', async () => {
    await using db = await Stratalog.memoryOnly()
    const old = await db.createLog('log')
    await append(old, 0, 3)
    await db.deleteLog('log')
    expect(db.logs()).toEqual([])
    await refused(() => db.log('log'), 'log_not_found')
    await refused(() => old.append({ n: 1 }), 'log_deleted')
    await refused(() => old.get(0), 'log_deleted')
    await refused(() => old.getHot(0), 'log_deleted')
    await refused(() => old.range(), 'log_deleted')
    await refused(() => old.read().toArray(), 'log_deleted')
    await refused(() => db.query('SELECT * FROM log'), 'log_not_found')
    const log = await db.createLog('log', { schema: { word: 'utf8' } })
    expect(await log.append({ word: 'a' })).toEqual({ partition: 0, offset: 0, count: 1 })
    expect((await (await db.query('SELECT word FROM log')).toJson()).rows).toEqual([['a']])
    await refused(() => old.append({ n: 1 }), 'log_deleted')
    expect(db.memoryMetrics().recordCount).toBe(1)
  })

  test('a name that there is not is refused with the nearest that there is', async () => {
    await using db = await Stratalog.memoryOnly()
    await db.createLog('orders')
    const error = await refused(() => db.deleteLog('order'), 'log_not_found')
    expect(error.details).toMatchObject({ nearest: 'orders' })
    await refused(() => db.deleteLog('No such name'), 'log_name_invalid')
  })

  test('of two deletions that meet one does it', async () => {
    await using db = await Stratalog.memoryOnly()
    await db.createLog('log')
    const second = Promise.allSettled([db.deleteLog('log'), db.deleteLog('log')])
    expect((await second).map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
  })

  test('what reads it ends with log_deleted, and what it has is left whole', async () => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('log')
    await append(log, 0, 3)
    const tail = log.read({ live: true, from: 0 }).rows()
    expect(await tail.next()).toMatchObject({ value: { n: 0 } })
    await tail.next()
    await tail.next()
    const waiting = tail.next()
    const arrival = log.arrival(7, new AbortController().signal)
    await db.deleteLog('log')
    await refused(() => waiting, 'log_deleted')
    await arrival
  })

  test('a log that did not fit is deleted, and there is room for others', async () => {
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '8MB', evictionPolicy: 'reject' })
    const log = await db.createLog('log')
    const fill = async (): Promise<void> => {
      for (;;) await log.append(UP_TO(10_000).map((n) => ({ n, text: 'x'.repeat(50) })))
    }
    await refused(fill, 'memory_full')
    await db.deleteLog('log')
    expect(db.memoryMetrics().usedBytes).toBe(0)
    await append(await db.createLog('log'), 0, 1_000)
  })
})

describe('in a data directory', () => {
  const modes = {
    persistent: { mode: 'persistent' },
    hybrid: { mode: 'hybrid' },
    'without a WAL': { mode: 'hybrid', wal: false },
    'without a local disk': { mode: 'hybrid', localDisk: false },
    memory: { mode: 'memory' },
  } as const
  test.each(Object.entries(modes))('a log is gone for good: %s', async (_, storage) => {
    const at = await place()
    {
      await using db = await open(at)
      const old = await db.createLog('log', { storage, partitions: 2 })
      for (const partition of [0, 1]) await old.append({ n: partition }, { partition })
      await db.tier.now()
      for (const partition of [0, 1]) await old.append({ n: partition }, { partition })
      await db.deleteLog('log')
      expect(await filesBelow(`${at.dataDir}/segments`, '')).toEqual([])
      const log = await db.createLog('log', { schema: { word: 'utf8' }, storage })
      expect(await log.append({ word: 'a' })).toMatchObject({ offset: 0 })
    }
    await using db = await open(at)
    expect(db.logs().map(({ name }) => name)).toEqual(['log'])
    const expected = storage.mode === 'memory' ? [] : [{ _offset: 0, word: 'a' }]
    expect(await db.log('log').read().toArray()).toMatchObject(expected)
    await append(await db.createLog('other'), 0, 1)
    await db.deleteLog('log')
    await db.deleteLog('other')
    expect(await verifyFiles({ dataDir: at.dataDir, archive: at.archive })).toMatchObject({
      verdict: 'PASS',
    })
  })

  test('what was appended before is acknowledged, and what waits or comes after is refused', async () => {
    const at = await place()
    await using db = await open(at)
    const log = await db.createLog('log', { storage: { mode: 'hybrid' } })
    const before = log.append({ n: 1 })
    const archived = log.append({ n: 2 }, { ack: 'object' })
    const appending = (async (): Promise<void> => {
      for (let n = 3; ; n++) await log.append({ n })
    })()
    const appends = refused(() => appending, 'log_deleted')
    const waiting = refused(() => archived, 'log_deleted')
    await db.deleteLog('log')
    await appends
    expect(await before).toMatchObject({ offset: 0 })
    await rounds(at, 3)
    await waiting
  })

  test('a retry of a producer is refused, and the log that follows knows of no producer', async () => {
    const at = await place()
    await using db = await open(at)
    const producer = { producerId: 'p', epoch: 3, sequence: 0 }
    const old = await db.createLog('log')
    await old.append({ n: 1 }, { producer })
    await db.deleteLog('log')
    await refused(() => old.append({ n: 1 }, { producer }), 'log_deleted')
    const log = await db.createLog('log')
    expect(log.producer('p')).toBeNull()
    expect(await log.append({ n: 2 }, { producer: { ...producer, epoch: 0 } })).toEqual({
      partition: 0,
      offset: 0,
      count: 1,
    })
  })

  test('its frames neither pin the WAL nor come back', async () => {
    const at = await place()
    {
      await using db = await open(at, {}, false)
      await append(await db.createLog('log'), 0, 5)
      await append(await db.createLog('kept'), 0, 5)
      await db.deleteLog('log')
    }
    await using db = await open(at, {}, false)
    expect(await numbers(db.log('kept'))).toEqual(UP_TO(5))
    await db.tier.now({ to: 'disk' })
    await append(db.log('kept'), 5, 1)
    expect(db.logs()).toHaveLength(1)
  })

  test('a change of it that waits is refused', async () => {
    const at = await place()
    await using db = await open(at)
    await append(await db.createLog('log'), 0, 5)
    const storage = { memoryTtl: '2h' }
    const again = async (change: () => Promise<unknown>): Promise<unknown> => {
      for (;;) await change()
    }
    const changes = Promise.allSettled([
      again(() => db.alterLog('log', { storage })),
      again(() => db.tier.pause({ logs: ['log'] })),
      again(() => db.fork('log', 'fork').then(() => db.deleteLog('fork'))),
    ])
    const [first, second] = await Promise.allSettled([db.deleteLog('log'), db.deleteLog('log')])
    expect([first.status, second]).toMatchObject(['fulfilled', { reason: { code: 'log_deleted' } }])
    for (const outcome of await changes)
      expect(String(outcome.status === 'rejected' && outcome.reason.code)).toMatch(
        /^log_(deleted|not_found)$/,
      )
    await append(await db.createLog('log'), 0, 1)
  })

  test('who only reads the directory may not, and sees its live tail end', async () => {
    const at = await place()
    await using db = await open(at, {}, false)
    await append(await db.createLog('log'), 0, 2)
    const clock = new VirtualClock(at.clock.now())
    await using reader = await Stratalog.openReadOnly({ dataDir: at.dataDir }, { clock })
    await refused(() => reader.deleteLog('log'), 'argument_invalid')
    const tail = reader.log('log').read({ live: true, from: 0 }).rows()
    await tail.next()
    await tail.next()
    const end = refused(() => tail.next(), 'log_deleted')
    await db.deleteLog('log')
    await append(await db.createLog('log'), 10, 9)
    for (let isOver = false; !isOver;) {
      void end.then(() => (isOver = true))
      clock.advance(1_000)
      await new Promise(setImmediate)
    }
    await end
  })
})

describe('what others count on', () => {
  test('forks of it, and forks of these, go on being read', async () => {
    const at = await place()
    {
      await using db = await open(at)
      const log = await db.createLog('log', { storage: { mode: 'hybrid' } })
      await append(log, 0, 10)
      await db.tier.now()
      await append(log, 10, 10)
      await db.fork('log', 'fork')
      await append(db.log('fork'), 100, 1)
      await db.fork('fork', 'again', { atOffset: 15 })
      await append(log, 20, 10)
      await db.tier.now()
      await db.deleteLog('log')
      await db.deleteLog('fork')
      expect(await numbers(db.log('again'))).toEqual(UP_TO(15))
      at.clock.advance(2 * HOUR)
      await db.tier.now()
      await db.tier.collect({ grace: 0 })
      expect(await numbers(db.log('again'))).toEqual(UP_TO(15))
    }
    const report = { verdict: 'PASS', problems: [] }
    expect(await verifyFiles({ dataDir: at.dataDir, archive: at.archive })).toMatchObject(report)
    await using db = await open(at)
    expect(await numbers(db.log('again'))).toEqual(UP_TO(15))
    await db.deleteLog('again')
    await db.tier.collect({ grace: 0 })
    expect(await filesBelow(`${at.dataDir}/segments`, '')).toEqual([])
    expect(await filesBelow(`${at.root}/archive/segments`, '')).toEqual([])
  })

  test('a snapshot restores it, and what no snapshot names is collected', async () => {
    const at = await place()
    await using db = await open(at)
    const log = await db.createLog('log', { storage: { mode: 'hybrid' } })
    await append(log, 0, 10)
    await db.snapshot({ name: 'then' })
    await append(log, 10, 10)
    await db.tier.now()
    await append(await db.createLog('kept'), 0, 1)
    await db.tier.now()
    await db.deleteLog('log')
    const other = await db.createLog('log', { schema: { word: 'utf8' } })
    await other.append({ word: 'new' })
    await db.tier.now()
    await refused(() => other.read({ asOf: 'then' }).toArray(), 'log_not_found')
    await refused(() => db.fork('log', 'f', { snapshot: 'then' }), 'snapshot_not_found')
    at.clock.advance(2 * HOUR)
    expect((await db.tier.collect()).collected).toMatchObject([{ log: 'log', from: 10, to: 20 }])
    const archive = await Stratalog.openArchive(at.archive)
    expect(archive.logs().map(({ name }) => name)).toEqual(['kept', 'log'])
    expect(await archive.log('log').read().toArray()).toMatchObject([{ word: 'new' }])
    await archive.close()
    const then = `${at.root}/then`
    await restoreArchive({ archive: at.archive, dataDir: then, snapshot: 'then', eager: true })
    {
      await using restored = await Stratalog.open({ dataDir: then })
      expect(await numbers(restored.log('log'))).toEqual(UP_TO(10))
    }
    const now = `${at.root}/now`
    await restoreArchive({ archive: at.archive, dataDir: now })
    {
      await using restored = await Stratalog.open({ dataDir: now })
      expect(restored.logs().map(({ name }) => name)).toEqual(['kept', 'log'])
    }
    await db.deleteSnapshot('then')
    expect((await db.tier.collect()).collected).toMatchObject([{ log: 'log', from: 0, to: 10 }])
    expect((await db.tier.collect()).collected).toEqual([])
  })

  test('a snapshot that is made meanwhile leaves it out, unless it was asked for by name', async () => {
    const at = await place()
    await using db = await open(at)
    await append(await db.createLog('log', { storage: { mode: 'hybrid' } }), 0, 10)
    await append(await db.createLog('kept', { storage: { mode: 'hybrid' } }), 0, 10)
    const [all, named] = await Promise.allSettled([
      db.snapshot({ name: 'all' }),
      db.snapshot({ name: 'named', logs: ['log'] }),
      db.deleteLog('log'),
    ])
    const held = all.status === 'fulfilled' ? all.value.logs.map(({ name }) => name) : []
    expect(held).toContain('kept')
    if (named.status === 'rejected') expect(named.reason).toMatchObject({ code: 'log_deleted' })
    for (const { name } of await db.snapshots()) {
      const dataDir = `${at.root}/${name}`
      await restoreArchive({ archive: at.archive, dataDir, snapshot: name })
    }
  })
})

describe('the archive', () => {
  test('is told when it is there again, before another log of the name comes to it', async () => {
    const at = await place()
    {
      await using db = await open(at)
      await append(await db.createLog('log', { storage: { mode: 'hybrid' } }), 0, 10)
      await db.tier.now()
    }
    {
      await using db = await open(at, {}, false)
      await db.deleteLog('log')
    }
    await using db = await open(at)
    await refused(() => db.tier.attach('log'), 'log_not_found')
    await append(await db.createLog('log', { storage: { mode: 'hybrid' } }), 100, 1)
    await db.tier.now()
    const archive = await Stratalog.openArchive(at.archive)
    expect(archive.logs()).toHaveLength(1)
    expect((await archive.log('log').read().toArray()).map(({ n }) => n)).toEqual([100])
    await archive.close()
  })

  test('is told by itself', async () => {
    const at = await place()
    {
      await using db = await open(at)
      await append(await db.createLog('log', { storage: { mode: 'hybrid' } }), 0, 10)
      await db.tier.now()
    }
    {
      await using db = await open(at, {}, false)
      await db.deleteLog('log')
    }
    await using db = await open(at)
    const left = async (): Promise<number> => {
      const archive = await Stratalog.openArchive(at.archive)
      await archive.close()
      return archive.logs().length
    }
    expect(db.logs()).toEqual([])
    while ((await left()) > 0) await rounds(at, 1)
  })

  test('an old copy of the directory, which has the log still, is refused', async () => {
    const at = await place()
    {
      await using db = await open(at)
      await append(await db.createLog('log', { storage: { mode: 'hybrid' } }), 0, 10)
      await db.tier.now()
    }
    await cp(at.dataDir, `${at.root}/copy`, { recursive: true })
    {
      await using db = await open(at)
      await db.deleteLog('log')
    }
    await refused(() => open({ ...at, dataDir: `${at.root}/copy` }), 'archive_diverged')
  })

  test('a snapshotLocation does not bring it back', async () => {
    const at = await place()
    const snapshotLocation = `${at.root}/snapshots`
    const storage = { mode: 'memory' } as const
    {
      await using db = await Stratalog.open({ snapshotLocation }, at)
      await append(await db.createLog('log', { storage }), 0, 10)
      await append(await db.createLog('kept', { storage }), 0, 10)
      await db.snapshot({ name: 'then' })
      await db.deleteLog('log')
    }
    {
      await using db = await Stratalog.open({ snapshotLocation }, at)
      expect(db.logs().map(({ name }) => name)).toEqual(['kept'])
      await append(await db.createLog('log', { storage }), 50, 1)
      await db.snapshot({ name: 'now' })
      await db.deleteLog('kept')
    }
    await using db = await Stratalog.open({ snapshotLocation }, at)
    expect(await numbers(db.log('log'))).toEqual([50])
    const then = `${at.root}/then`
    await restoreArchive({ archive: `file://${snapshotLocation}`, dataDir: then, snapshot: 'then' })
    await using restored = await Stratalog.open({ dataDir: then })
    expect(await numbers(restored.log('log'))).toEqual(UP_TO(10))
  })
})
