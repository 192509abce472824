/** Policies that change on a running engine, on real files, and on the command line. */
import { cp, readdir, rm } from 'node:fs/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import {
  type Log,
  type StorageChanges,
  Stratalog,
  VirtualClock,
  restoreArchive,
} from '../../src/index.ts'
import { MemoryGovernor } from '../../src/tiering/governor.ts'
import { runCli } from '../support/cli.ts'
import { eventually } from '../support/eventually.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

async function numbers(log: Log): Promise<unknown[]> {
  return (await log.read({ onGap: 'skip' }).toArray()).map((row) => row['n'])
}

/** Copies a directory that is in use: a file that went while it was copied was on its way to another name. */
async function copyLive(from: string, to: string): Promise<void> {
  for (let attempts = 20; ; attempts--) {
    try {
      await cp(from, to, { recursive: true })
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || attempts === 1) throw error
      await rm(to, { recursive: true, force: true })
    }
  }
}

/** What a kill at this moment leaves. */
async function afterKill(root: string, life: number): Promise<unknown[]> {
  const dataDir = `${root}/killed-${life}`
  await copyLive(`${root}/data`, dataDir)
  await using db = await Stratalog.open({ dataDir })
  return await numbers(db.log('log'))
}

test('an append that waits for room is refused when its log comes to have no WAL', async () => {
  const room = Promise.withResolvers<void>()
  const admitting = vi.spyOn(MemoryGovernor.prototype, 'admit')
  onTestFinished(() => admitting.mockRestore())
  await using db = await Stratalog.open({ dataDir: `${await temporaryDirectory()}/data` })
  const log = await db.createLog('log')
  await log.append({ n: 0 })
  admitting.mockReturnValueOnce(room.promise)
  const refused = expectError(log.append({ n: 1 }, { ack: 'disk' }), 'argument_invalid')
  await db.alterLog('log', { storage: { wal: false } })
  room.resolve()
  await refused
  expect(await numbers(log)).toEqual([0])
})

test('a log in RAM that becomes persistent is on disk soon, and its appends are at once', async () => {
  const root = await temporaryDirectory()
  await using db = await Stratalog.open({ dataDir: `${root}/data` })
  const log = await db.createLog('log', { storage: { mode: 'memory' } })
  await log.append([{ n: 0 }, { n: 1 }])
  await db.tier.pause()
  const altered = await db.alterLog('log', { storage: { mode: 'persistent' } })
  expect(altered.describe()).toMatchObject({
    policy: { mode: 'persistent', ack: 'disk' },
    rpoMs: 0,
  })
  expect(log.describe().policy).toEqual(altered.describe().policy)
  expect(db.status().logs[0]).toMatchObject({ pendingRecords: 2 })
  await log.append({ n: 2 })
  // The old promise holds for what came before, until it is on disk.
  expect(await afterKill(root, 0)).toEqual([2])
  await db.tier.resume()
  await eventually(() => expect(db.status().logs[0]).toMatchObject({ pendingRecords: 0 }))
  expect(await afterKill(root, 1)).toEqual([0, 1, 2])
  expect(await numbers(log)).toEqual([0, 1, 2])
})

test('what a persistent log held stays when it goes into RAM, and only that', async () => {
  const root = await temporaryDirectory()
  await using db = await Stratalog.open({ dataDir: `${root}/data` })
  const log = await db.createLog('log', { storage: { mode: 'persistent' } })
  await log.append([{ n: 0 }, { n: 1 }])
  await db.alterLog('log', { storage: { mode: 'memory', evictionPolicy: 'lru' } })
  await log.append({ n: 2 })
  await eventually(() => expect(db.status().logs[0]).toMatchObject({ pendingRecords: 0 }))
  expect(await afterKill(root, 0)).toEqual([0, 1])
  expect(await numbers(log)).toEqual([0, 1, 2])
  await expectError(log.append({ n: 3 }, { ack: 'disk' }), 'argument_invalid')
  await log.append({ n: 3 }, { ttl: '1h', priority: 2 })
  await expectError(db.alterLog('log', { storage: { mode: 'persistent' } }), 'argument_invalid')
})

test('a log in RAM evicts nothing that it owes to its former disk', async () => {
  const root = await temporaryDirectory()
  await using db = await Stratalog.open({ dataDir: `${root}/data`, maxMemoryBytes: '256KB' })
  const log = await db.createLog('log', { storage: { mode: 'persistent' } })
  const row = (n: number) => ({ n, text: 'x'.repeat(1_000) })
  await db.tier.pause()
  for (let n = 0; n < 100; n++) await log.append(row(n))
  await db.alterLog('log', { storage: { mode: 'memory' } })
  for (let n = 100; n < 600; n++) await log.append(row(n))
  const held = await numbers(log)
  expect(held.slice(0, 100)).toEqual(Array.from({ length: 100 }, (_, n) => n))
  expect(held.length).toBeLessThan(600)
  expect(held.at(-1)).toBe(599)
})

test('with level object what is there goes to the archive at once, and was never out of sight', async () => {
  const root = await temporaryDirectory()
  const archive = `file://${root}/archive`
  await using db = await Stratalog.open({ dataDir: `${root}/data`, archive })
  const log = await db.createLog('log')
  await log.append([{ n: 0 }, { n: 1 }])
  await db.alterLog('log', { storage: { ack: 'object' } })
  expect(await numbers(log)).toEqual([0, 1])
  await eventually(() =>
    expect(db.status().logs[0]).toMatchObject({
      pendingRecords: 0,
      partitions: [{ archivedOffset: 2 }],
    }),
  )
  await log.append({ n: 2 })
  await restoreArchive({ archive, dataDir: `${root}/restored` })
  await using restored = await Stratalog.open({ dataDir: `${root}/restored` })
  expect(await numbers(restored.log('log'))).toEqual([0, 1, 2])
})

test('durations, budgets and policies of eviction change without a change of mode', async () => {
  const root = await temporaryDirectory()
  const clock = new VirtualClock()
  await using db = await Stratalog.open({ dataDir: `${root}/data` }, { clock })
  const log = await db.createLog('log')
  await log.append({ n: 0 })
  await db.alterLog('log', { storage: { diskAfter: '10s', memoryTtl: '20s' } })
  clock.advance(10_250)
  const tiers = () => db.status().logs[0]?.partitions[0]?.tiers
  await eventually(() => expect(tiers()?.disk).toMatchObject({ records: 1 }))
  // A look that meets the end of the round before it leaves the rest to the next.
  clock.advance(10_000 - 250)
  await eventually(() => {
    clock.advance(250)
    expect(tiers()?.memory).toMatchObject({ records: 0 })
  })
  await db.alterLog('log', { storage: { diskAfter: null } })
  expect(log.describe().policy).toMatchObject({ diskAfter: 20_000, memoryTtl: 20_000 })

  const ram = await db.createLog('ram', { storage: { mode: 'memory' } })
  await db.alterLog('ram', { storage: { maxMemoryBytes: '64KB', ttl: '5m', priority: 3 } })
  for (let n = 0; n < 200; n++) await ram.append({ n, text: 'x'.repeat(1_000) })
  expect(db.memoryMetrics().perLog['ram']?.usedBytes).toBeLessThan(65_536)
  await db.alterLog('ram', { storage: { ttl: null, maxMemoryBytes: null } })
  expect(ram.describe().policy).toMatchObject({ ttl: null, maxMemoryBytes: null, priority: 3 })
})

test.each<[string, StorageChanges, string]>([
  ['nothing', {}, 'storage: got {}'],
  ['a key that there is not', { speed: 1 } as StorageChanges, 'storage.speed'],
  ['a value that the key does not take', { memoryTtl: 'long' }, 'storage.memoryTtl'],
  ['an archive that there is not', { ack: 'object' }, 'storage.ack'],
  ['what the mode does not have', { ttl: '1h' }, 'storage.ttl'],
  ['what does not go together', { mode: 'persistent', wal: false }, 'storage.wal'],
])('a change to %s is refused, and nothing changes', async (_, storage, path) => {
  const root = await temporaryDirectory()
  await using db = await Stratalog.open({ dataDir: `${root}/data` })
  const log = await db.createLog('log')
  const before = log.describe()
  const error = await expectError(db.alterLog('log', { storage }), 'config_invalid')
  expect(error.message).toContain(path.split(':')[0])
  expect(log.describe()).toEqual(before)
  await expectError(db.alterLog('nobody', { storage: { diskAfter: 1 } }), 'log_not_found')
})

test('in an engine in RAM a policy changes, and stays in RAM', async () => {
  await using db = await Stratalog.memoryOnly()
  const log = await db.createLog('log')
  await db.alterLog('log', { storage: { evictionPolicy: 'lru', ttl: '1h' } })
  expect(log.describe().policy).toMatchObject({ evictionPolicy: 'lru', ttl: 3_600_000 })
  await expectError(db.alterLog('log', { storage: { mode: 'persistent' } }), 'config_invalid')
})

test('a snapshot of a log in RAM has what its former mode left on disk', async () => {
  const root = await temporaryDirectory()
  const archive = `file://${root}/archive`
  await using db = await Stratalog.open({ dataDir: `${root}/data`, archive })
  const log = await db.createLog('log', { storage: { mode: 'persistent' } })
  await log.append([{ n: 0 }, { n: 1 }])
  await db.alterLog('log', { storage: { mode: 'memory' } })
  await eventually(() => expect(db.status().logs[0]).toMatchObject({ pendingRecords: 0 }))
  await log.append({ n: 2 })
  await db.snapshot({ name: 'now' })
  await restoreArchive({ archive, dataDir: `${root}/restored`, snapshot: 'now' })
  await using restored = await Stratalog.open({ dataDir: `${root}/restored` })
  expect(await numbers(restored.log('log'))).toEqual([0, 1, 2])
})

test('closing brings to disk what a log that left RAM still has there', async () => {
  const root = await temporaryDirectory()
  const db = await Stratalog.open({ dataDir: `${root}/data` })
  const log = await db.createLog('log', { storage: { mode: 'memory' } })
  await log.append([{ n: 0 }, { n: 1 }])
  await db.tier.pause()
  await db.alterLog('log', { storage: { mode: 'persistent' } })
  await db.close()
  await using again = await Stratalog.open({ dataDir: `${root}/data` })
  expect(await numbers(again.log('log'))).toEqual([0, 1])
})

test('the command changes a log, prints it, and leaves others as they are', async () => {
  const root = await temporaryDirectory()
  const where = ['--data-dir', `${root}/data`]
  await runCli(['logs', 'create', 'log', ...where, '--mode', 'persistent'])
  const changed = await runCli([
    ...['logs', 'alter', 'log', ...where, '--json'],
    ...['--mode', 'memory', '--ttl', '90s', '--eviction-policy', 'lru'],
  ])
  expect(JSON.parse(changed.stdout)).toMatchObject({
    name: 'log',
    policy: { mode: 'memory', ttl: 90_000, evictionPolicy: 'lru' },
    rpoMs: null,
  })
  const reset = await runCli(['logs', 'alter', 'log', ...where, '--json', '--reset', 'ttl'])
  expect(JSON.parse(reset.stdout)).toMatchObject({ policy: { ttl: null, evictionPolicy: 'lru' } })
  const refused = await runCli(['logs', 'alter', 'log', ...where, '--json', '--ack', 'disk'])
  expect([refused.status, JSON.parse(refused.stderr)]).toMatchObject([
    2,
    { error: { code: 'config_invalid' } },
  ])
  expect(await readdir(`${root}/data`)).toContain('manifest')
})

test('what the WAL holds of a log that has none any more outlives crashes until it is on disk', async () => {
  const root = await temporaryDirectory()
  await using first = await Stratalog.open({ dataDir: `${root}/data` })
  await first.tier.pause()
  const log = await first.createLog('log', { storage: { mode: 'hybrid' } })
  await log.append([{ n: 0 }, { n: 1 }])
  await first.alterLog('log', { storage: { wal: false } })
  await copyLive(`${root}/data`, `${root}/second`)

  await using second = await Stratalog.open({ dataDir: `${root}/second` })
  await second.tier.pause()
  const other = await second.createLog('other')
  await other.append({ n: 0 })
  // A checkpoint beside the records that are only in RAM and in the WAL.
  await second.tier.now({ to: 'disk', logs: ['other'] })
  await copyLive(`${root}/second`, `${root}/third`)
  await using third = await Stratalog.open({ dataDir: `${root}/third` })
  expect(await numbers(third.log('log'))).toEqual([0, 1])
})

test('who reads beside the writer brings nothing down that the writer owes', async () => {
  const root = await temporaryDirectory()
  const dataDir = `${root}/data`
  await using db = await Stratalog.open({ dataDir })
  await db.tier.pause()
  const log = await db.createLog('log', { storage: { mode: 'persistent' } })
  await log.append([{ n: 0 }, { n: 1 }])
  await db.alterLog('log', { storage: { mode: 'memory' } })
  const before = await readdir(dataDir, { recursive: true })
  const reader = await Stratalog.openReadOnly({ dataDir })
  expect(await numbers(reader.log('log'))).toEqual([0, 1])
  await reader.close()
  expect(await readdir(dataDir, { recursive: true })).toEqual(before)
})

test('an append that comes again after a change to a WAL is acknowledged when it is on disk', async () => {
  const root = await temporaryDirectory()
  await using db = await Stratalog.open({ dataDir: `${root}/data` })
  await db.tier.pause()
  const log = await db.createLog('log', { storage: { mode: 'hybrid', wal: false } })
  const producer = { producerId: 'a', epoch: 0, sequence: 0 }
  await log.append({ n: 0 }, { producer })
  await db.alterLog('log', { storage: { wal: true } })
  let isAcknowledged = false
  const again = log.append({ n: 0 }, { producer, ack: 'disk' }).then((result) => {
    isAcknowledged = true
    return result
  })
  await log.append({ n: 1 }, { ack: 'disk' })
  expect(isAcknowledged).toBe(false)
  await db.tier.now({ to: 'disk' })
  expect(await again).toMatchObject({ offset: 0, isDuplicate: true })
  expect(await afterKill(root, 0)).toEqual([0, 1])
})

test('and so is one that was appended behind what recovery brought back from the WAL', async () => {
  const root = await temporaryDirectory()
  await using first = await Stratalog.open({ dataDir: `${root}/first` })
  await first.tier.pause()
  const before = await first.createLog('log', { storage: { mode: 'hybrid' } })
  await before.append({ n: 0 })
  await first.alterLog('log', { storage: { wal: false } })
  await copyLive(`${root}/first`, `${root}/data`)

  await using db = await Stratalog.open({ dataDir: `${root}/data` })
  await db.tier.pause()
  const log = db.log('log')
  const producer = { producerId: 'a', epoch: 0, sequence: 0 }
  await log.append({ n: 1 }, { producer })
  await db.alterLog('log', { storage: { wal: true } })
  let isAcknowledged = false
  const again = log.append({ n: 1 }, { producer, ack: 'disk' }).then((result) => {
    isAcknowledged = true
    return result
  })
  await log.append({ n: 2 }, { ack: 'disk' })
  expect(isAcknowledged).toBe(false)
  await db.tier.now({ to: 'disk' })
  expect(await again).toMatchObject({ offset: 1, isDuplicate: true })
  expect(await afterKill(root, 0)).toEqual([0, 1, 2])
})

test('an append that comes again for the disk says that RAM let go of it', async () => {
  const root = await temporaryDirectory()
  await using db = await Stratalog.open({ dataDir: `${root}/data` })
  const storage = { mode: 'memory', maxMemoryBytes: '64KB' } as const
  const log = await db.createLog('log', { storage })
  const producer = (sequence: number) => ({ producerId: 'a', epoch: 0, sequence })
  for (let n = 0; n < 4; n++)
    await log.append({ n, text: 'x'.repeat(30_000) }, { producer: producer(n) })
  await db.alterLog('log', { storage: { mode: 'persistent', maxMemoryBytes: null } })
  const again = (n: number) =>
    log.append({ n, text: 'x'.repeat(30_000) }, { producer: producer(n), ack: 'disk' })
  await expectError(again(0), 'producer_append_gone')
  expect(await again(3)).toMatchObject({ offset: 3, isDuplicate: true })
  expect(await afterKill(root, 0)).toContain(3)
})
