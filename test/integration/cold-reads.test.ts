/** What reads of an archive ask of the object store: how many requests, for how many bytes, and what they hold up. */
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { beforeAll, expect, test } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { noMetrics } from '../../src/base/metrics.ts'
import { systemRandom } from '../../src/base/random.ts'
import { StratalogError } from '../../src/base/errors.ts'
import { storageOf } from '../../src/engine/system-storage.ts'
import type { StoragePorts } from '../../src/engine/storage-ports.ts'
import { Stratalog, type StratalogOptions } from '../../src/index.ts'
import { NodeFileSystem } from '../../src/storage/node-file-system.ts'
import { createBucketIfMissing } from '../../src/storage/open-object-store.ts'
import type { GetOptions } from '../../src/storage/object-store.ts'
import { expectError } from '../support/expect-error.ts'
import { sharedMinio } from '../support/minio-global.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const RECORDS = 100_000
const COLUMNS = ['a', 'b', 'c', 'd', 'e', 'f']

/** Numbers that do not compress, and a text with a dictionary. */
function record(id: number): Record<string, unknown> {
  const numbers = COLUMNS.map((name, index) => [name, Math.sin(id * (index + 1))])
  return { id, city: `city ${id % 9}`, ...Object.fromEntries(numbers) }
}

/** What a get of a segment does before it is answered, or to its answer. */
type Between = (key: string, range: GetOptions['range']) => Promise<void> | void

/** Ports whose object stores tell of each get of a segment, and do with it what `between` says. */
function watchedPorts(between: Between = () => {}): {
  readonly storage: StoragePorts
  readonly gets: { start: number; end: number }[]
  between: Between
} {
  const gets: { start: number; end: number }[] = []
  const watched = {
    gets,
    between,
    storage: storageOf({ storage: null }),
  }
  const inner = watched.storage
  watched.storage = {
    ...inner,
    openObjectStore: async (url, options) => {
      const store = await inner.openObjectStore(url, options)
      const get = store.get.bind(store)
      store.get = async (key, getOptions = {}) => {
        if (key.endsWith('.arrow')) {
          gets.push(getOptions.range ?? { start: 0, end: Infinity })
          await watched.between(key, getOptions.range)
        }
        return get(key, getOptions)
      }
      return store
    },
  }
  return watched
}

function bytesOf(gets: readonly { start: number; end: number }[]): number {
  return gets.reduce((sum, { start, end }) => sum + end - start, 0)
}

type Place = Pick<StratalogOptions, 'archive' | 's3'> & {
  readonly dataDir: string
  readonly archive: string
}

async function minioPlace(dataDir: string): Promise<Place> {
  const { endpoint, region, accessKeyId, secretAccessKey } = await sharedMinio()
  const s3 = { endpoint, region, credentials: { accessKeyId, secretAccessKey } }
  const archive = `s3://test-${randomBytes(6).toString('hex')}/cold`
  await createBucketIfMissing(archive, {
    s3,
    fileSystem: new NodeFileSystem(),
    clock: systemClock,
    random: systemRandom,
    metrics: noMetrics,
    logger: silentLogger,
  })
  return { dataDir, archive, s3 }
}

/** A data directory whose records are in the archive only, and an empty log beside them. */
async function archived(kind: 'directory' | 'MinIO' = 'directory'): Promise<Place> {
  const root = await temporaryDirectory()
  const dataDir = `${root}/data`
  const place =
    kind === 'MinIO' ? await minioPlace(dataDir) : { dataDir, archive: `file://${root}/archive` }
  await using db = await Stratalog.open(place)
  // One segment: nothing moves before all is there.
  const log = await db.createLog('orders', { storage: { diskAfter: '1h', archiveAfter: '1h' } })
  for (let id = 0; id < RECORDS; id += 10_000)
    await log.append(Array.from({ length: 10_000 }, (_, index) => record(id + index)))
  await db.tier.now({ to: 'object' })
  const storage = { memoryTtl: 0, diskAfter: 0, archiveAfter: 0, diskTtl: 0 }
  await db.alterLog('orders', { storage })
  for (let round = 0; round < 10; round++) await db.tier.run()
  const [orders] = db.status().logs
  expect(orders?.partitions[0]?.tiers).toMatchObject({
    memory: { records: 0 },
    disk: { records: 0 },
    object: { records: RECORDS, segments: 1 },
  })
  await db.createLog('hot')
  return place
}

beforeAll(() => sharedMinio().then(() => {}), 15 * 60_000)

test.each(['directory', 'MinIO'] as const)(
  'a cold read of a %s fetches what it needs once, by few requests, and finds it on disk afterwards',
  async (kind) => {
    const place = await archived(kind)
    const watched = watchedPorts()
    {
      await using db = await Stratalog.open(place, watched)
      const log = db.log('orders')
      expect(watched.gets).toEqual([])
      // Footer, dictionary, block.
      expect(await log.get(40_000)).toMatchObject(record(40_000))
      expect(watched.gets).toHaveLength(3)
      expect(bytesOf(watched.gets)).toBeLessThan(1.5 * 1024 * 1024)
      expect(await log.get(40_001)).toMatchObject(record(40_001))
      expect(watched.gets).toHaveLength(3)
      // The footer and the dictionary are known now.
      expect(await log.get(90_000)).toMatchObject(record(90_000))
      expect(watched.gets).toHaveLength(4)
      // What was fetched last may still be on its way to the disk, and is given from there once it has landed.
      for (let tries = 0; tries < 1_000 && db.status().archive?.cache.hits === 0; tries++)
        expect(await log.get(40_001)).toMatchObject(record(40_001))
      const { requests, cache } = db.status().archive ?? {}
      expect(cache?.fetches).toBe(4)
      expect(cache?.misses).toBeGreaterThanOrEqual(4)
      expect(cache?.hits).toBeGreaterThan(0)
      expect(cache?.usedBytes).toBeGreaterThan(0)
      expect(cache?.usedBytes).toBeLessThanOrEqual(bytesOf(watched.gets))
      expect(requests?.get).toBeGreaterThanOrEqual(4)
    }
    await using again = await Stratalog.open(place, watched)
    expect(await again.log('orders').get(40_000)).toMatchObject(record(40_000))
    expect(watched.gets).toHaveLength(4)
  },
)

test('all who read the same records at the same time share the requests', async () => {
  const place = await archived()
  const watched = watchedPorts()
  await using db = await Stratalog.open(place, watched)
  const log = db.log('orders')
  await Promise.all(Array.from({ length: 20 }, (_, index) => log.get(40_000 + index)))
  expect(watched.gets).toHaveLength(3)
})

test.each(['directory', 'MinIO'] as const)(
  'a scan of one column in a %s fetches little more than it, and all records come once',
  async (kind) => {
    const place = await archived(kind)
    const watched = watchedPorts()
    await using db = await Stratalog.open(place, watched)
    let next = 0
    for await (const batch of db.log('orders').read({ columns: ['c'] })) {
      for (const row of batch.toRows()) expect(row['c']).toBe(record(next++)['c'])
    }
    expect(next).toBe(RECORDS)
    expect(bytesOf(watched.gets)).toBeLessThan(RECORDS * 8 * 1.1)
  },
)

test('an archive that is opened by itself is read by ranges too', async () => {
  const place = await archived()
  const watched = watchedPorts()
  await using archive = await Stratalog.openArchive(place.archive, {}, watched)
  const log = archive.log('orders')
  const last = await log.read({ last: 3 }).toArray()
  expect(last).toMatchObject([RECORDS - 3, RECORDS - 2, RECORDS - 1].map(record))
  expect(watched.gets).toHaveLength(3)
  await log.read({ last: 2, columns: ['a'] }).toArray()
  expect(watched.gets).toHaveLength(3)
})

test('damaged bytes on disk are fetched again, and nobody sees them', async () => {
  const place = await archived()
  const watched = watchedPorts()
  {
    await using db = await Stratalog.open(place, watched)
    await db.log('orders').get(40_000)
  }
  const directory = `${place.dataDir}/cache-parts`
  const names = await readdir(directory)
  expect(names).toHaveLength(3)
  for (const name of names) {
    const bytes = await readFile(`${directory}/${name}`)
    bytes[bytes.length - 20] = (bytes[bytes.length - 20] ?? 0) ^ 1
    await writeFile(`${directory}/${name}`, bytes)
  }
  await using again = await Stratalog.open(place, watched)
  expect(await again.log('orders').get(40_000)).toMatchObject(record(40_000))
  expect(watched.gets).toHaveLength(6)
})

test('a read by time asks for the segments that can hold it, and for none beside them', async () => {
  const root = await temporaryDirectory()
  const place = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  {
    await using db = await Stratalog.open(place)
    const log = await db.createLog('orders', { timeColumn: 'at' })
    for (let id = 0; id < 80_000; id += 20_000) {
      const ids = Array.from({ length: 20_000 }, (_, index) => id + index)
      await log.append(ids.map((each) => ({ ...record(each), at: new Date(each * 1_000) })))
      await db.tier.now({ to: 'object' })
    }
  }
  const watched = watchedPorts()
  await using archive = await Stratalog.openArchive(place.archive, {}, watched)
  const segments = new Set<string>()
  watched.between = (key) => void segments.add(key)
  const log = archive.log('orders')
  const read = await log.read({ since: 19_998_000, until: 20_002_000, columns: ['id'] }).toArray()
  expect(read.map(({ id }) => id)).toEqual([19_998, 19_999, 20_000, 20_001])
  expect(segments.size).toBe(2)
  expect(bytesOf(watched.gets)).toBeLessThan(1024 * 1024)
})

test('who reads on has the footer of the next segment fetched before he comes to it', async () => {
  const root = await temporaryDirectory()
  const place = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  {
    await using db = await Stratalog.open(place)
    const log = await db.createLog('orders')
    for (let id = 0; id < 60_000; id += 20_000) {
      await log.append(Array.from({ length: 20_000 }, (_, index) => record(id + index)))
      await db.tier.now({ to: 'object' })
    }
  }
  const watched = watchedPorts()
  await using archive = await Stratalog.openArchive(place.archive, {}, watched)
  const segments = new Set<string>()
  watched.between = (key) => void segments.add(key)
  const met: number[] = []
  for await (const batch of archive.log('orders').read({ columns: ['id'] })) {
    if (batch.baseOffset % 20_000 === 0) met.push(segments.size)
  }
  // Nothing is read ahead of the first segment's records.
  expect(met).toEqual([1, 3, 3])
})

test('a segment that goes missing in the middle of a scan is an error, and later reads recover', async () => {
  const place = await archived()
  const watched = watchedPorts()
  await using db = await Stratalog.open(place, watched)
  const log = db.log('orders')
  watched.between = () => {
    if (watched.gets.length === 3) throw new StratalogError('object_not_found', 'gone')
  }
  await expectError(log.read().toArray(), 'object_not_found')
  watched.between = () => {}
  expect(await log.read().toArray()).toHaveLength(RECORDS)
})

test('an object store that does not answer holds up neither hot reads nor acknowledgements', async () => {
  const place = await archived()
  const watched = watchedPorts()
  await using db = await Stratalog.open(place, watched)
  const released = Promise.withResolvers<void>()
  watched.between = () => released.promise
  let done = 0
  const cold = Array.from({ length: 50 }, async (_, index) => {
    await db.log('orders').get(index * 2_000)
    done++
  })
  await expect.poll(() => watched.gets.length).toBeGreaterThan(0)
  const hot = db.log('hot')
  for (let id = 0; id < 20; id++) {
    await hot.append({ id }, { ack: 'disk' })
    expect(await hot.get(id)).toMatchObject({ id })
  }
  expect(await hot.read().toArray()).toHaveLength(20)
  expect(done).toBe(0)
  released.resolve()
  await Promise.all(cold)
  expect(done).toBe(50)
})
