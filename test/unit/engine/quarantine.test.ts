import { expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import { MemoryLogger } from '../../../src/base/logger.ts'
import { keepingDamage } from '../../../src/engine/quarantine.ts'
import { QUARANTINE_BYTES_MAX, QUARANTINE_FILES_MAX } from '../../../src/format/limits.ts'
import { segmentPath } from '../../../src/format/paths.ts'
import { MemoryFileSystem } from '../../../src/storage/memory-file-system.ts'
import { expectError } from '../../support/expect-error.ts'

const SEGMENT = segmentPath({
  logId: 1,
  partition: 0,
  baseOffset: 7,
  sha256: 'ab'.repeat(32),
  format: 'arrow',
})

async function directoryWith(bytes: Uint8Array): Promise<MemoryFileSystem> {
  const fileSystem = new MemoryFileSystem()
  for (const directory of ['data/segments/1/0', 'data/tmp', 'data/quarantine'])
    await fileSystem.makeDirectory(directory)
  await fileSystem.putIfAbsent(`data/${SEGMENT}`, bytes)
  return fileSystem
}

/** Opens a directory whose segment is damaged. */
function open(
  fileSystem: MemoryFileSystem,
  tier: 'disk' | 'object',
  logger: MemoryLogger = new MemoryLogger(),
): Promise<StratalogError> {
  const details = { object: SEGMENT, tier }
  const work = (): Promise<never> =>
    Promise.reject(new StratalogError('segment_corrupt', 'It is damaged.', { details }))
  const place = { dataDir: 'data', fileSystem, logger }
  return expectError(keepingDamage(place, ['wal', 'segment'], work), 'segment_corrupt')
}

test('a damaged segment on disk is copied once; of one in the archive there is no file', async () => {
  const bytes = new Uint8Array(3_000_000).map((_, index) => index * 31)
  const fileSystem = await directoryWith(bytes)
  expect((await open(fileSystem, 'object')).details['quarantined']).toBeUndefined()
  expect(await fileSystem.list('data/quarantine')).toEqual([])
  for (let round = 0; round < 2; round++) {
    const copy = String((await open(fileSystem, 'disk')).details['quarantined'])
    expect(copy).toContain(`data/quarantine/${SEGMENT.replaceAll('/', '-')}-`)
    expect(Buffer.compare(await fileSystem.read(copy), bytes)).toBe(0)
    expect(await fileSystem.list('data/quarantine')).toHaveLength(1)
    expect(await fileSystem.list('data/tmp')).toEqual([])
  }
})

test('a damaged file passes through RAM in pieces', async () => {
  const fileSystem = await directoryWith(new Uint8Array(5 * 1024 * 1024 + 1))
  const lengths: number[] = []
  const opening = fileSystem.open.bind(fileSystem)
  fileSystem.open = async (path) => {
    const file = await opening(path)
    const read = (position: number, length: number): Promise<Uint8Array> => {
      lengths.push(length)
      return file.read(position, length)
    }
    return { length: file.length, read, close: () => file.close() }
  }
  fileSystem.read = () => Promise.reject(new Error('the file is read whole'))
  expect((await open(fileSystem, 'disk')).details['quarantined']).toBeDefined()
  expect(lengths.length).toBeGreaterThan(0)
  expect(Math.max(...lengths)).toBeLessThanOrEqual(1024 * 1024)
})

test('no more files than a limit are kept, and the log says what has no copy', async () => {
  const fileSystem = await directoryWith(new Uint8Array(100))
  for (let index = 1; index < QUARANTINE_FILES_MAX; index++)
    await fileSystem.putIfAbsent(`data/quarantine/old-${index}`, new Uint8Array(1))
  const logger = new MemoryLogger()
  expect((await open(fileSystem, 'disk', logger)).details['quarantined']).toBeDefined()
  // What has a copy is told of, however full it is.
  expect((await open(fileSystem, 'disk', logger)).details['quarantined']).toBeDefined()
  expect(logger.entries).toEqual([])
  await fileSystem.remove(`data/${SEGMENT}`)
  await fileSystem.putIfAbsent(`data/${SEGMENT}`, new Uint8Array(101))
  expect((await open(fileSystem, 'disk', logger)).details['quarantined']).toBeUndefined()
  expect(await fileSystem.list('data/quarantine')).toHaveLength(QUARANTINE_FILES_MAX)
  expect(logger.entries).toMatchObject([
    { level: 'warn', fields: { file: SEGMENT, files: QUARANTINE_FILES_MAX } },
  ])
})

test('no more bytes than a limit are kept', async () => {
  const fileSystem = await directoryWith(new Uint8Array(100))
  await fileSystem.putIfAbsent('data/quarantine/big', new Uint8Array(1))
  const measuring = fileSystem.stat.bind(fileSystem)
  let bigBytes = QUARANTINE_BYTES_MAX - 99
  fileSystem.stat = async (path) =>
    path.endsWith('/big') ? { length: bigBytes, isDirectory: false } : measuring(path)
  const logger = new MemoryLogger()
  expect((await open(fileSystem, 'disk', logger)).details['quarantined']).toBeUndefined()
  expect(logger.entries).toMatchObject([{ level: 'warn', fields: { bytes: bigBytes } }])
  bigBytes--
  expect((await open(fileSystem, 'disk', logger)).details['quarantined']).toBeDefined()
})
