/** System calls that fail in a real process: the engine ends its epoch, recovers by itself, and loses nothing. */
import { expect, onTestFinished, test, vi } from 'vitest'
import { StratalogError } from '../../src/base/errors.ts'
import { Stratalog } from '../../src/index.ts'
import { NodeFileSystem } from '../../src/storage/node-file-system.ts'
import { traced } from '../soak/disk.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const APPENDS = 120

async function numbers(db: Stratalog, name: string): Promise<number[]> {
  return (await db.log(name).read().toArray()).map((row) => Number(row['n']))
}

test.each([
  ['one fdatasync of each WAL thread', 'fdatasync:error=EIO:when=45'],
  ['each fdatasync of a WAL thread after its 40th', 'fdatasync:error=EIO:when=41+'],
  ['each 60th write of the WAL', 'pwrite64:error=EIO:when=60'],
])('%s fails: a new epoch recovers, with every acknowledged record', async (_name, inject) => {
  const root = await temporaryDirectory()
  const { states, held, told } = await traced(root, inject)
  expect(states.slice(0, 3)).toEqual(['failed', 'reopening', 'working'])
  expect(told.get('orders ack')?.length).toBeGreaterThan(APPENDS / 4)
  // A log in RAM did not notice.
  expect(held).toEqual(Array.from({ length: APPENDS }, (_, n) => n))
  await using db = await Stratalog.open({ dataDir: `${root}/data` })
  for (const name of ['orders', 'fast']) {
    const seen = await numbers(db, name)
    expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b))
    const there = new Set(seen)
    for (const n of told.get(`${name} ack`) ?? []) expect(there).toContain(n)
    for (const n of told.get(`${name} not_applied`) ?? []) expect(there).not.toContain(n)
  }
})

test('a sync that fails beside the WAL ends the epoch too, and the engine recovers under the next', async () => {
  const dataDir = `${await temporaryDirectory()}/data`
  const db = await Stratalog.open({ dataDir, logLevel: 'silent' })
  const orders = await db.createLog('orders')
  const cache = await db.createLog('cache', { storage: { mode: 'memory' } })
  await orders.append({ n: 0 })
  await cache.append({ n: 0 })
  const failing = vi.spyOn(NodeFileSystem.prototype, 'syncDirectory')
  failing.mockImplementation(async (path) => {
    const details = { path, operation: 'sync the directory', errno: 'EIO' }
    throw new StratalogError('file_system_failed', `Cannot sync ${path}: EIO`, { details })
  })
  onTestFinished(() => failing.mockRestore())
  await expectError(db.createLog('more'), 'file_system_failed')
  await expect.poll(() => db.status().disk?.state).toBe('failed')
  const refused = await expectError(orders.append({ n: 1 }), 'disk_failed')
  expect(refused.details['fate']).toBe('not_applied')
  await expectError(db.createLog('other'), 'disk_failed')
  expect(await orders.read().toArray()).toMatchObject([{ n: 0 }])
  failing.mockRestore()
  await expect.poll(() => db.status().disk?.state, { timeout: 20_000 }).toBe('working')
  // The handles of before are good, and what was half done is done once.
  await orders.append({ n: 2 })
  await (await db.createLog('more')).append({ n: 3 })
  expect(await cache.read().toArray()).toMatchObject([{ n: 0 }])
  await db.close()
  await using again = await Stratalog.open({ dataDir })
  expect(again.logs().map(({ name }) => name)).toEqual(['orders', 'cache', 'more'])
  expect(await again.log('orders').read().toArray()).toMatchObject([{ n: 0 }, { n: 2 }])
  expect(await again.log('more').read().toArray()).toMatchObject([{ n: 3 }])
})
