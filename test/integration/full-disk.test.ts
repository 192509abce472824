/** A disk without room, for real: what was acknowledged stays readable, and appends go on by themselves. */
import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { isStratalogError } from '../../src/base/errors.ts'
import { MemoryLogger } from '../../src/base/logger.ts'
import { MemoryMetrics } from '../../src/base/metrics.ts'
import { type Log, Stratalog } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { smallDisk } from '../support/small-disk.ts'

const TEXT = 'x'.repeat(2_000)
const IN_FLIGHT = 8

interface Told {
  readonly acknowledged: number[]
  readonly unknown: number[]
  readonly notApplied: number[]
  next: number
}

/** Appends, some at a time, until `isOver` says so after one was refused or acknowledged. */
async function appendUntil(log: Log, told: Told, isOver: () => boolean): Promise<void> {
  const one = async (): Promise<void> => {
    while (!isOver()) {
      const n = told.next++
      try {
        await log.append({ n, text: TEXT })
        told.acknowledged.push(n)
      } catch (error) {
        if (!isStratalogError(error)) throw error
        expect(error.code).toBe('disk_full')
        if (error.details['fate'] === 'not_applied') told.notApplied.push(n)
        else told.unknown.push(n)
      }
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, one))
}

async function numbers(log: Log): Promise<number[]> {
  return (await log.read().toArray()).map((row) => Number(row['n']))
}

test('a full disk refuses appends and keeps reading, and appends go on in place when there is room', async () => {
  const disk = await smallDisk(48 * 1024 * 1024)
  const dataDir = `${disk.path}/data`
  const logger = new MemoryLogger()
  const metrics = new MemoryMetrics()
  const db = await Stratalog.open({ dataDir }, { logger, metrics })
  const orders = await db.createLog('orders')
  const cache = await db.createLog('cache', { storage: { mode: 'memory' } })
  const told: Told = { acknowledged: [], unknown: [], notApplied: [], next: 0 }
  await appendUntil(orders, told, () => told.next > 100)
  const epochs = readdirSync(`${dataDir}/manifest`).length
  for (let round = 0; round < 3; round++) {
    disk.fill()
    // What was zeroed ahead still takes appends.
    const before = told.acknowledged.length
    await appendUntil(orders, told, () => db.status().disk?.state !== 'working')
    if (disk.isMounted) expect(told.acknowledged.length).toBeGreaterThan(before)
    const { disk: status, failure } = db.status()
    expect(status).toMatchObject({ state: 'full' })
    expect(status?.reason).toMatch(/ENOSPC|EFBIG/)
    expect(failure).toContain('no space left')
    const refused = await expectError(orders.append({ n: -1, text: '' }), 'disk_full')
    expect(refused.kind).toBe('unavailable')
    expect(refused.details['fate']).toBe('not_applied')
    expect(await numbers(orders)).toEqual([...told.acknowledged].sort((a, b) => a - b))
    const counted = await db.query('SELECT count(*) AS n FROM orders')
    expect(await counted.toArray()).toEqual([{ n: told.acknowledged.length }])
    await cache.append({ round })
    disk.free()
    await expect.poll(() => db.status().disk?.state, { timeout: 20_000 }).toBe('working')
    await orders.append({ n: told.next, text: TEXT })
    told.acknowledged.push(told.next++)
  }
  // Nothing was reopened: no new epoch was claimed.
  expect(readdirSync(`${dataDir}/manifest`).length).toBe(epochs)
  // A limit on the length of files also keeps what is there from being erased, so nothing is certain then.
  expect(disk.isMounted ? told.unknown : told.notApplied).toEqual([])
  expect(told.notApplied.length + told.unknown.length).toBeGreaterThan(0)
  expect(await cache.read().toArray()).toHaveLength(3)
  expect(metrics.value('stratalog_disk_state', { state: 'working' })).toBe(1)
  expect(metrics.value('stratalog_disk_state_changes_total', { from: 'working', to: 'full' })).toBe(
    3,
  )
  const said = logger.entries.filter(({ fields }) => fields['to'] === 'full')
  expect(said).toHaveLength(3)
  const expected = [...told.acknowledged].sort((a, b) => a - b)
  expect(await numbers(orders)).toEqual(expected)
  await db.close()
  await using again = await Stratalog.open({ dataDir })
  expect(await numbers(again.log('orders'))).toEqual(expected)
})

test('a disk too full for a flush does not stop appends that the WAL has room for', async () => {
  const disk = await smallDisk(48 * 1024 * 1024)
  if (!disk.isMounted) return
  const dataDir = `${disk.path}/data`
  await using db = await Stratalog.open({ dataDir, logLevel: 'silent' })
  const orders = await db.createLog('orders')
  await orders.append(Array.from({ length: 200 }, (_, n) => ({ n, text: `${n}${TEXT}` })))
  disk.fill()
  const report = await db.tier.now({ to: 'disk' })
  expect(report.failed).toMatchObject([{ log: 'orders', code: 'disk_full' }])
  expect(db.status().logs[0]?.partitions[0]?.lastError).toMatch(/ENOSPC|EFBIG/)
  await orders.append({ n: 200, text: 'after' })
  expect(db.status().disk).toMatchObject({ state: 'working', reason: null })
  disk.free()
  expect((await db.tier.now({ to: 'disk' })).failed).toEqual([])
  expect(await numbers(orders)).toEqual(Array.from({ length: 201 }, (_, n) => n))
})

test('a read-only file system can be read, and says that it cannot be written', async () => {
  const disk = await smallDisk(16 * 1024 * 1024)
  if (!disk.isMounted) return
  const dataDir = `${disk.path}/data`
  const db = await Stratalog.open({ dataDir })
  await (await db.createLog('orders')).append([{ n: 0 }, { n: 1 }])
  await db.close()
  disk.setReadOnly(true)
  const reader = await Stratalog.openReadOnly({ dataDir })
  expect(await numbers(reader.log('orders'))).toEqual([0, 1])
  expect(reader.status()).toMatchObject({ disk: null, writer: null })
  await reader.close()
  const refused = await expectError(Stratalog.open({ dataDir }), 'disk_read_only')
  expect(refused.message).toContain('EROFS')
  disk.setReadOnly(false)
  await using again = await Stratalog.open({ dataDir })
  expect(await numbers(again.log('orders'))).toEqual([0, 1])
})
