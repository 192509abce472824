/** What is acknowledged stays, whatever becomes of the archive and in whichever order engine and archive come back. */
import { cp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { Stratalog, StratalogError, restoreArchive } from '../../src/index.ts'
import { NodeFileSystem } from '../../src/storage/node-file-system.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const AT_ONCE = { memoryTtl: 0, diskAfter: 0, archiveAfter: 0, diskTtl: 0 }

async function archivedSegment(root: string): Promise<string> {
  const directory = `${root}/archive/segments/1/0`
  const [name = ''] = await readdir(directory)
  return `${directory}/${name}`
}

test('a segment that vanished from the archive is put there again before its disk copy goes', async () => {
  const root = await temporaryDirectory()
  await using db = await Stratalog.open({
    dataDir: `${root}/data`,
    archive: `file://${root}/archive`,
  })
  await db.tier.pause()
  const log = await db.createLog('orders', { storage: AT_ONCE })
  await log.append([{ id: 1 }, { id: 2 }])
  await db.tier.now()
  await rm(await archivedSegment(root))
  expect(await db.tier.run()).toMatchObject([{ fromTier: 'disk', toTier: 'object' }])
  expect(await log.read().toArray()).toMatchObject([{ id: 1 }, { id: 2 }])
})

test('a disk copy stays while its object in the archive is damaged', async () => {
  const root = await temporaryDirectory()
  await using db = await Stratalog.open({
    dataDir: `${root}/data`,
    archive: `file://${root}/archive`,
    logLevel: 'silent',
  })
  await db.tier.pause()
  const log = await db.createLog('orders', { storage: AT_ONCE })
  await log.append([{ id: 1 }, { id: 2 }])
  await db.tier.now()
  const object = await archivedSegment(root)
  const bytes = await readFile(object)
  bytes[100] = (bytes[100] ?? 0) ^ 1
  await writeFile(object, bytes)
  expect(await db.tier.run()).toEqual([])
  expect(await log.read().toArray()).toMatchObject([{ id: 1 }, { id: 2 }])
  expect(db.status().logs[0]?.partitions[0]?.lastError).toContain('does not hold')
})

test('an empty archive gets what the one before held, and no disk copy goes before', async () => {
  const root = await temporaryDirectory()
  const first = await Stratalog.open({ dataDir: `${root}/data`, archive: `file://${root}/first` })
  const made = await first.createLog('orders', { storage: { diskTtl: '1h' } })
  await made.append([{ id: 1 }, { id: 2 }])
  await first.tier.now()
  await first.close()
  await using db = await Stratalog.open({
    dataDir: `${root}/data`,
    archive: `file://${root}/second`,
  })
  await db.tier.now()
  await db.snapshot({ name: 'moved' })
  await rm(`${root}/first`, { recursive: true })
  const restored = await restoreArchive({
    archive: `file://${root}/second`,
    dataDir: `${root}/restored`,
    eager: true,
  })
  expect(restored).toMatchObject({ records: 2, verified: true, gaps: [] })
})

test('an archive that lacks what only it should hold is refused', async () => {
  const root = await temporaryDirectory()
  const first = await Stratalog.open({ dataDir: `${root}/data`, archive: `file://${root}/first` })
  await first.tier.pause()
  const made = await first.createLog('orders', { storage: AT_ONCE })
  await made.append([{ id: 1 }, { id: 2 }])
  await first.tier.now()
  await first.tier.run()
  expect(first.status().logs[0]?.partitions[0]?.tiers.disk).toMatchObject({ segments: 0 })
  await first.close()
  const opening = Stratalog.open({ dataDir: `${root}/data`, archive: `file://${root}/second` })
  await expectError(opening, 'archive_diverged')
})

/** An archive on a directory is away while something else has its name. */
async function away(root: string): Promise<() => Promise<void>> {
  await rename(`${root}/archive`, `${root}/elsewhere`)
  await writeFile(`${root}/archive`, '')
  return async () => {
    await rm(`${root}/archive`)
    await rename(`${root}/elsewhere`, `${root}/archive`)
  }
}

test('a snapshot never names records of an earlier life for those in RAM', async () => {
  const root = await temporaryDirectory()
  const options = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  const first = await Stratalog.open(options)
  const made = await first.createLog('live', { storage: { mode: 'memory' } })
  await made.append([{ id: 1 }, { id: 2 }])
  await first.snapshot({ name: 'first' })
  await first.close()
  const bringBack = await away(root)
  await using second = await Stratalog.open(options)
  await second.log('live').append([{ id: 3 }, { id: 4 }])
  await bringBack()
  await expectError(second.snapshot({ name: 'second' }), 'archive_diverged')
})

test('records acknowledged by an old copy of a directory are not replaced by those of the archive', async () => {
  const root = await temporaryDirectory()
  const options = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  const first = await Stratalog.open(options)
  const made = await first.createLog('orders')
  await made.append({ id: 1 })
  await first.tier.now()
  await first.close()
  await cp(`${root}/data`, `${root}/copy`, { recursive: true })
  const ahead = await Stratalog.open(options)
  await ahead.log('orders').append([{ id: 2 }, { id: 3 }])
  await ahead.tier.now()
  await ahead.close()
  const bringBack = await away(root)
  const old = await Stratalog.open({ ...options, dataDir: `${root}/copy` })
  await old.log('orders').append([{ id: 200 }, { id: 300 }])
  await old.close()
  await bringBack()
  await expectError(Stratalog.open({ ...options, dataDir: `${root}/copy` }), 'archive_diverged')
})

async function makeDirectory(root: string): Promise<string> {
  const dataDir = `${root}/data`
  const db = await Stratalog.open({ dataDir })
  await (await db.createLog('orders')).append([{ id: 1 }, { id: 2 }])
  await db.tier.now()
  await db.close()
  return dataDir
}

test('a directory that lost its manifest is refused, again and again, and keeps its segments', async () => {
  const dataDir = await makeDirectory(await temporaryDirectory())
  await rm(`${dataDir}/manifest`, { recursive: true })
  for (const _ of [1, 2]) await expectError(Stratalog.open({ dataDir }), 'manifest_corrupt')
  expect(await readdir(`${dataDir}/segments/1/0`)).toHaveLength(1)
})

test('a directory whose manifest is older than its WAL is refused and keeps its segments', async () => {
  const dataDir = await makeDirectory(await temporaryDirectory())
  const names = await readdir(`${dataDir}/manifest`)
  const again = await Stratalog.open({ dataDir })
  await again.log('orders').append({ id: 3 })
  await again.tier.now()
  await again.close()
  for (const name of await readdir(`${dataDir}/manifest`)) {
    if (!names.includes(name)) await rm(`${dataDir}/manifest/${name}`)
  }
  for (const _ of [1, 2]) await expectError(Stratalog.open({ dataDir }), 'manifest_corrupt')
  expect(await readdir(`${dataDir}/segments/1/0`)).toHaveLength(2)
})

test('an archive whose directory goes away while the engine runs stays one history', async () => {
  const root = await temporaryDirectory()
  const archive = `file://${root}/archive`
  await using db = await Stratalog.open({ dataDir: `${root}/data`, archive, logLevel: 'silent' })
  const log = await db.createLog('orders')
  await log.append({ id: 1 })
  await db.tier.now()
  await rename(`${root}/archive`, `${root}/elsewhere`)
  await log.append({ id: 2 })
  expect((await db.tier.now()).failed).toMatchObject([{ code: 'store_unavailable' }])
  await rm(`${root}/archive`, { recursive: true, force: true })
  await rename(`${root}/elsewhere`, `${root}/archive`)
  await log.append({ id: 3 })
  expect((await db.tier.now()).failed).toEqual([])
  const restored = await restoreArchive({ archive, dataDir: `${root}/restored`, eager: true })
  expect(restored).toMatchObject({ records: 3, verified: true, gaps: [] })
})

test('a log whose creation was left unknown is created once', async () => {
  const root = await temporaryDirectory()
  const dataDir = `${root}/data`
  await using db = await Stratalog.open({ dataDir })
  const failing = vi.spyOn(NodeFileSystem.prototype, 'syncDirectory')
  failing.mockImplementation(async (path) => {
    throw new StratalogError('disk_failed', `Cannot sync the directory ${path}.`)
  })
  onTestFinished(() => failing.mockRestore())
  await expectError(db.createLog('orders'), 'disk_failed')
  failing.mockRestore()
  // The failed sync ended the epoch; the engine recovers by itself.
  await expect.poll(() => db.status().disk?.state, { timeout: 20_000 }).toBe('working')
  await (await db.createLog('orders')).append({ id: 1 })
  await db.close()
  await using again = await Stratalog.open({ dataDir })
  expect(again.logs().map(({ name }) => name)).toEqual(['orders'])
  expect(await again.log('orders').read().toArray()).toMatchObject([{ id: 1 }])
})

test('of two creations of one log at the same time one comes second', async () => {
  const root = await temporaryDirectory()
  await using db = await Stratalog.open({ dataDir: `${root}/data` })
  const [first, second] = [db.createLog('orders'), db.createLog('orders')]
  await expectError(second, 'log_exists')
  await (await first).append({ id: 1 })
  expect(db.logs().map(({ name }) => name)).toEqual(['orders'])
  expect(await db.log('orders').read().toArray()).toMatchObject([{ id: 1 }])
})

test('a restore that is begun again while it runs is refused, and the first one is whole', async () => {
  const root = await temporaryDirectory()
  const archive = `file://${root}/archive`
  const db = await Stratalog.open({ dataDir: `${root}/data`, archive })
  const log = await db.createLog('orders')
  for (let id = 0; id < 40; id++) {
    await log.append({ id })
    await db.tier.now()
  }
  await db.close()
  const options = { archive, dataDir: `${root}/restored` }
  const others: Promise<unknown>[] = []
  const onProgress = (): void => {
    if (others.length === 0) others.push(expectError(restoreArchive(options), 'directory_in_use'))
  }
  expect(await restoreArchive({ ...options, eager: true, onProgress })).toMatchObject({
    records: 40,
  })
  expect(await Promise.all(others)).toHaveLength(1)
  await using restored = await Stratalog.open(options)
  expect(await restored.log('orders').read().toArray()).toHaveLength(40)
})
