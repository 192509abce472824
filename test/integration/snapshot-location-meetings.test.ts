/** Snapshots at a place of their own that meet each other, and deletions of them. */
import { expect, test } from 'vitest'
import { MemoryLogger } from '../../src/base/logger.ts'
import { Stratalog, VirtualClock, verifyFiles } from '../../src/index.ts'
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
