import { describe, expect, test } from 'vitest'
import { isStratalogError } from '../../../src/base/errors.ts'
import {
  type StorageOptions,
  validateOptions,
  validateStorage,
} from '../../../src/engine/config.ts'
import { Stratalog } from '../../../src/engine/stratalog.ts'
import { type StorageSurroundings, resolvePolicy } from '../../../src/engine/storage-policy.ts'

const WITH_ALL: StorageSurroundings = {
  hasDataDir: true,
  hasArchive: true,
  hasSnapshotPlace: false,
  evictionPolicy: 'fifo',
  evictionWatermark: 0.9,
}
const WITHOUT_ARCHIVE: StorageSurroundings = { ...WITH_ALL, hasArchive: false }
const IN_RAM: StorageSurroundings = { ...WITHOUT_ARCHIVE, hasDataDir: false }

function expectThrown(error: unknown): never {
  throw error
}

function problemsOf(action: () => unknown): readonly { path: string; allowed: string }[] {
  try {
    action()
  } catch (error) {
    if (!isStratalogError(error) || error.code !== 'config_invalid') throw error
    return error.details['problems'] as { path: string; allowed: string }[]
  }
  return []
}

describe('validateOptions', () => {
  test('reports every problem at once, with path, what was given and what is allowed', () => {
    const given = {
      dataDirr: '/x',
      maxMemoryBytes: 'lots',
      s3: { regoin: 1 },
      defaults: { memoryTtl: -1, mode: 'warm' },
    }
    const problems = problemsOf(() => validateOptions(given))
    expect(problems.map(({ path }) => path).sort()).toEqual([
      'dataDirr',
      'defaults.memoryTtl',
      'defaults.mode',
      'maxMemoryBytes',
      's3.regoin',
    ])
    expect(problems.find(({ path }) => path === 'dataDirr')?.allowed).toContain(
      'the keys are dataDir',
    )
    expect(problems.find(({ path }) => path === 'defaults.mode')?.allowed).toContain("'hybrid'")
    expect(() => validateOptions(given)).toThrow(/maxMemoryBytes: expected a size.*got "lots"/)
  })

  test('holds what only RAM has to its bounds', () => {
    const good = { defaults: { ttl: '5m', priority: -1000, maxMemoryBytes: '1MB' } }
    expect(validateOptions({ ...good, evictionPolicy: 'lru' })).toMatchObject(good)
    const bad = { ttl: 0, priority: 1.5, maxMemoryBytes: 0, evictionPolicy: 'random' }
    const problems = problemsOf(() => validateOptions({ defaults: bad, maxMemoryBytes: '0KB' }))
    expect(problems.map(({ path }) => path).sort()).toEqual([
      'defaults.evictionPolicy',
      'defaults.maxMemoryBytes',
      'defaults.priority',
      'defaults.ttl',
      'maxMemoryBytes',
    ])
    expect(problems.find(({ path }) => path === 'defaults.priority')?.allowed).toBe(
      'a whole number from -1000 to 1000',
    )
  })

  test('reports a bad archive among the others, without a password in it, and the value of an unknown key', () => {
    const given = { archive: 'ftp://x', bogus: 1, s3: { endpoint: 5 } }
    const problems = problemsOf(() => validateOptions(given))
    expect(problems.map(({ path }) => path).sort()).toEqual(['archive', 'bogus', 's3.endpoint'])
    expect(problems.find(({ path }) => path === 'bogus')).toMatchObject({ given: '1' })
    expect(problems.find(({ path }) => path === 'archive')?.allowed).toContain('no such scheme')
    const secret = problemsOf(() => validateOptions({ archive: 's3://me:secret@bucket' }))
    expect(JSON.stringify(secret)).not.toContain('secret')
  })

  test('opening reports what cannot be combined along with keys that are wrong', async () => {
    const opened = (options: object): Promise<readonly string[]> =>
      Stratalog.open(options).then(
        () => [],
        (error: unknown) => problemsOf(() => expectThrown(error)).map(({ path }) => path),
      )
    const archive = 'memory://combined'
    expect(await opened({ evictionWatermark: 7, archive, s3: { region: 'x', regoin: 1 } })).toEqual(
      ['s3.regoin', 'evictionWatermark', 'dataDir', 's3'],
    )
    expect(
      await opened({ logLevel: 'loud', dataDir: '/nowhere', defaults: { diskTtl: '1d', wal: 1 } }),
    ).toEqual(['defaults.wal', 'logLevel', 'defaults.diskTtl'])
    expect(await opened({ dataDir: '/nowhere', maxCacheBytes: '1GB' })).toEqual(['maxCacheBytes'])
    expect(await opened({ maxCacheBytes: 0 })).toEqual(['maxCacheBytes'])
    expect(await opened({ walBytesMax: '1GB' })).toEqual(['walBytesMax'])
    expect(await opened({ maxDiskBytes: '1GB', maxFlushes: 1 })).toEqual([
      'maxDiskBytes',
      'maxFlushes',
    ])
    expect(
      await opened({ dataDir: '/nowhere', maxUploads: 65, maxFlushes: 1.5, maxDiskBytes: 0 }),
    ).toEqual(['maxDiskBytes', 'maxFlushes', 'maxUploads'])
    expect(
      await opened({ dataDir: '/nowhere', maxUploads: 1, maxUploadBytesPerSecond: 1 }),
    ).toEqual(['maxUploadBytesPerSecond', 'maxUploads'])
    // What is wrong by itself is there, and nothing else is wrong for want of it.
    expect(await opened({ dataDir: '/nowhere', archive: 'ftp://x', s3: {} })).toEqual(['archive'])
  })

  test('takes durations and sizes as numbers and as text', () => {
    const options = { maxMemoryBytes: '1.5 GB', defaults: { memoryTtl: '90s', diskAfter: 250 } }
    expect(validateOptions(options)).toBe(options)
  })
})

describe('validateStorage', () => {
  test('refuses keys that do not exist and values that are none of their key', () => {
    const given = { memoryTll: 1, ack: 'sometimes' }
    expect(
      problemsOf(() => validateStorage(given, 'storage')).map((problem) => problem.path),
    ).toEqual(['storage.ack', 'storage.memoryTll'])
  })
})

describe('resolvePolicy', () => {
  test('fills in the defaults of each mode', () => {
    expect(resolvePolicy({}, {}, IN_RAM)).toMatchObject({
      mode: 'memory',
      wal: false,
      ack: 'memory',
      archiveAfter: null,
    })
    expect(resolvePolicy({}, {}, WITHOUT_ARCHIVE)).toMatchObject({
      mode: 'hybrid',
      ack: 'disk',
      diskTtl: null,
    })
    expect(resolvePolicy({ memoryTtl: '2m' }, {}, WITH_ALL)).toMatchObject({
      diskAfter: 120_000,
      archiveAfter: 900_000,
      diskTtl: 86_400_000,
    })
    expect(resolvePolicy({ mode: 'hybrid', wal: false }, {}, WITH_ALL)).toMatchObject({
      ack: 'memory',
    })
  })

  test('takes from the defaults of the engine what means something in the mode that the log chose', () => {
    const defaults: StorageOptions = { memoryTtl: 60, archiveAfter: 90, diskTtl: 150, wal: false }
    expect(resolvePolicy({ mode: 'persistent' }, defaults, WITH_ALL)).toMatchObject({
      memoryTtl: 60,
      diskTtl: null,
      wal: true,
    })
    expect(resolvePolicy({ mode: 'memory' }, defaults, WITH_ALL)).toMatchObject({
      mode: 'memory',
      archiveAfter: null,
    })
    expect(resolvePolicy({}, defaults, WITH_ALL)).toMatchObject({
      diskTtl: 150,
      wal: false,
      ack: 'memory',
    })
  })

  test('gives a log in RAM its terms, from itself or from the defaults, and other logs none of them', () => {
    const defaults: StorageOptions = { ttl: '1m', priority: 3, maxMemoryBytes: '64KB' }
    expect(resolvePolicy({ mode: 'memory', priority: 5 }, defaults, WITH_ALL)).toMatchObject({
      ttl: 60_000,
      priority: 5,
      maxMemoryBytes: 65_536,
    })
    expect(resolvePolicy({ mode: 'hybrid' }, defaults, WITH_ALL)).toMatchObject({
      ttl: null,
      priority: 0,
      maxMemoryBytes: null,
    })
    expect(resolvePolicy({ mode: 'memory' }, {}, WITH_ALL)).toMatchObject({
      ttl: null,
      priority: 0,
      maxMemoryBytes: null,
    })
  })

  const refused: readonly (readonly [string, StorageOptions, StorageSurroundings, string])[] = [
    ['a persistent log in RAM only', { mode: 'persistent' }, IN_RAM, 'storage.mode'],
    [
      'an archive tier without an archive',
      { archiveAfter: '1m' },
      WITHOUT_ARCHIVE,
      'storage.archiveAfter',
    ],
    ['a disk TTL without an archive', { diskTtl: '1m' }, WITHOUT_ARCHIVE, 'storage.diskTtl'],
    ['an object ack without an archive', { ack: 'object' }, WITHOUT_ARCHIVE, 'storage.ack'],
    [
      'no local disk without an archive',
      { localDisk: false },
      WITHOUT_ARCHIVE,
      'storage.localDisk',
    ],
    [
      'diskAfter above memoryTtl without a WAL',
      { wal: false, memoryTtl: 10, diskAfter: 20 },
      WITH_ALL,
      'storage.diskAfter',
    ],
    ['a disk ack without a WAL', { wal: false, ack: 'disk' }, WITH_ALL, 'storage.ack'],
    ['a time to live where there are lower tiers', { ttl: '1h' }, WITH_ALL, 'storage.ttl'],
    ['a priority where nothing is evicted', { priority: 1 }, WITH_ALL, 'storage.priority'],
    [
      'a budget of a log that is not in RAM only',
      { maxMemoryBytes: '1MB' },
      WITH_ALL,
      'storage.maxMemoryBytes',
    ],
    ['a memory log with a WAL', { mode: 'memory', wal: true }, WITH_ALL, 'storage.wal'],
    [
      'Parquet segments of a memory log',
      { mode: 'memory', segmentFormat: 'parquet' },
      WITH_ALL,
      'storage.segmentFormat',
    ],
    [
      'an age for Parquet in a memory log',
      { mode: 'memory', parquetAfter: '1d' },
      WITH_ALL,
      'storage.parquetAfter',
    ],
    [
      'a memory log that acknowledges on disk',
      { mode: 'memory', ack: 'disk' },
      WITH_ALL,
      'storage.ack',
    ],
    ['a persistent log without a WAL', { mode: 'persistent', wal: false }, WITH_ALL, 'storage.wal'],
    [
      'a persistent log that archives',
      { mode: 'persistent', archiveAfter: 1 },
      WITH_ALL,
      'storage.archiveAfter',
    ],
    [
      'a disk TTL below archiveAfter',
      { archiveAfter: 20, diskTtl: 10 },
      WITH_ALL,
      'storage.diskTtl',
    ],
  ]
  test.each(refused)('refuses %s', (_what, storage, around, path) => {
    expect(
      problemsOf(() => resolvePolicy(storage, {}, around)).map((problem) => problem.path),
    ).toContain(path)
  })
})
