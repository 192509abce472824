/** Snapshots at a place of their own that meet each other, and deletions of them. */
import { expect, test } from 'vitest'
import { MemoryLogger } from '../../src/base/logger.ts'
import { Stratalog, VirtualClock, restoreArchive, verifyFiles } from '../../src/index.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const HOUR = 3_600_000

async function open(
  snapshotLocation: string,
  clock: VirtualClock = new VirtualClock(),
): Promise<Stratalog> {
  return Stratalog.open({ snapshotLocation }, { clock, logger: new MemoryLogger() })
}

function rows(count: number): Array<{ n: number }> {
  return Array.from({ length: count }, (_, n) => ({ n }))
}

test('two snapshots at the same time are both good', async () => {
  const snapshotLocation = `${await temporaryDirectory()}/snapshots`
  {
    await using db = await open(snapshotLocation)
    const log = await db.createLog('log')
    await log.append(rows(100))
    const first = db.snapshot({ name: 'first' })
    await log.append(rows(10))
    await Promise.all([first, db.snapshot({ name: 'second' })])
    expect((await db.snapshots()).map(({ name }) => name)).toEqual(['first', 'second'])
  }
  expect((await verifyFiles({ archive: `file://${snapshotLocation}` })).verdict).toBe('PASS')
  await using db = await open(snapshotLocation)
  expect(await db.log('log').read().toArray()).toHaveLength(110)
})

test('what was let go of with the last snapshot that held it comes back with the next', async () => {
  const snapshotLocation = `${await temporaryDirectory()}/snapshots`
  const clock = new VirtualClock()
  {
    await using db = await open(snapshotLocation, clock)
    await (await db.createLog('log')).append(rows(10))
    await (await db.createLog('other')).append(rows(10))
    await db.snapshot({ name: 'all' })
    await db.snapshot({ name: 'other', logs: ['other'] })
    await db.deleteSnapshot('all')
    clock.advance(2 * HOUR)
    await db.deleteSnapshot('other')
    await db.log('log').append(rows(10))
    await db.snapshot({ name: 'again' })
  }
  await using db = await open(snapshotLocation, clock)
  expect(await db.log('log').read().toArray()).toHaveLength(20)
  expect(await db.log('other').read().toArray()).toHaveLength(10)
})

test('a snapshot needs no room on the disk for records that the WAL has', async () => {
  const root = await temporaryDirectory()
  const options = { dataDir: `${root}/data`, snapshotLocation: `${root}/snapshots` }
  const ports = { clock: new VirtualClock(), logger: new MemoryLogger() }
  {
    await using db = await Stratalog.open({ ...options, maxDiskBytes: '16KB' }, ports)
    const log = await db.createLog('log', { storage: { mode: 'persistent' } })
    for (let count = 0; count < 20; count++) {
      await log.append(Array.from({ length: 500 }, (_, n) => ({ n: Math.sin(count * 500 + n) })))
      await db.tier.now({ to: 'disk' })
    }
    expect((await db.tier.now({ to: 'disk' })).failed).toMatchObject([{ code: 'disk_budget_full' }])
    await db.snapshot({ name: 'full' })
  }
  const archive = `file://${options.snapshotLocation}`
  const restored = `${root}/restored`
  await restoreArchive({ archive, dataDir: restored, snapshot: 'full' })
  await using db = await Stratalog.openReadOnly({ dataDir: restored })
  expect(await db.log('log').read().toArray()).toHaveLength(10_000)
})
