/** The disk is full while a directory that was restored without its bytes is being filled. */
import { readdir } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { Stratalog, VirtualClock, restoreArchive, verifyFiles } from '../../src/index.ts'
import { smallDisk } from '../support/small-disk.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const SEGMENTS = 40
const ROWS = 200

test('a disk that is full while it is filled keeps reads going, and is filled on when there is room', async () => {
  const root = await temporaryDirectory()
  const archive = `file://${root}/archive`
  const clock = new VirtualClock(1_700_000_000_000)
  {
    await using db = await Stratalog.open({ dataDir: `${root}/data`, archive }, { clock })
    const log = await db.createLog('orders', { storage: { diskTtl: '30d' } })
    for (let segment = 0; segment < SEGMENTS; segment++) {
      const text = (n: number): string => `${segment} ${n} `.repeat(40)
      await log.append(Array.from({ length: ROWS }, (_, n) => ({ n, text: text(n) })))
      await db.tier.now({ to: 'object' })
    }
  }
  const disk = await smallDisk(48 * 1024 * 1024)
  const dataDir = `${disk.path}/restored`
  await restoreArchive({ archive, dataDir }, { clock })
  const sum = [[SEGMENTS * ROWS, (SEGMENTS * ROWS * (ROWS - 1)) / 2]]
  {
    await using db = await Stratalog.open({ dataDir }, { clock })
    disk.fill()
    for (let round = 0; round < 3; round++) {
      clock.advance(60_000)
      await db.tier.run().catch(() => {})
    }
    if (disk.isMounted) {
      const { pending } = db.status().restore ?? { pending: { segments: 0 } }
      expect(pending.segments).toBeGreaterThan(0)
      expect(db.status().logs[0]?.partitions[0]?.lastError).toContain('space')
    }
    expect(await db.log('orders').read().toArray()).toHaveLength(SEGMENTS * ROWS)
    expect(await readdir(`${dataDir}/tmp`)).toEqual([])
    disk.free()
    for (let round = 0; db.status().restore?.pending.segments !== 0; round++) {
      expect(round).toBeLessThan(100)
      clock.advance(60_000)
      await db.tier.run()
    }
    const answer = await db.query('SELECT count(*)::INT, sum(n)::INT FROM orders')
    expect((await answer.toJson()).rows).toEqual(sum)
    await db.log('orders').append({ n: 0, text: 'on' })
  }
  expect(await verifyFiles({ dataDir })).toMatchObject({ verdict: 'PASS', problems: [] })
})

test('a lazy restore onto a full disk says so, is no data directory, and is finished when there is room', async () => {
  const root = await temporaryDirectory()
  const archive = `file://${root}/archive`
  {
    await using db = await Stratalog.open({ dataDir: `${root}/data`, archive })
    await db.produce('orders', { n: 1 })
    await db.tier.now({ to: 'object' })
  }
  const disk = await smallDisk(16 * 1024 * 1024)
  const dataDir = `${disk.path}/restored`
  disk.fill()
  const outcome = await restoreArchive({ archive, dataDir }).then(
    () => null,
    (error: unknown) => error,
  )
  if (disk.isMounted) expect(outcome).toMatchObject({ code: 'disk_full' })
  disk.free()
  if (outcome !== null) await restoreArchive({ archive, dataDir })
  await using db = await Stratalog.openReadOnly({ dataDir })
  expect(await db.log('orders').read().toArray()).toMatchObject([{ n: 1 }])
})
