/**
 * Replays of an archive into memory, and eager restores of it into a directory, against the slower of two things that
 * each of them has to do: getting the stored bytes, and decoding LZ4 on all cores.
 */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { compressFrameSync, decompressFrame } from 'lz4-napi'
import { systemClock } from '../src/base/clock.ts'
import { silentLogger } from '../src/base/logger.ts'
import { noMetrics } from '../src/base/metrics.ts'
import { systemRandom } from '../src/base/random.ts'
import { Stratalog, restoreArchive } from '../src/index.ts'
import { NodeFileSystem } from '../src/storage/node-file-system.ts'
import { createBucketIfMissing, openObjectStore } from '../src/storage/open-object-store.ts'
import { startMinio } from '../test/support/minio.ts'
import type { Benchmark, BenchmarkCase, Contender, Scale } from './harness.ts'
import { checksumOf, inBatches, makeRecords, type BenchRecord } from './records.ts'
import { makeTempDirectory } from './temp-directory.ts'

const COUNTS: Readonly<Record<Scale, number>> = { full: 2_000_000, quick: 500_000, tiny: 20_000 }
const APPEND_RECORDS = 10_000
const GETS_AT_ONCE = 8

type S3 = NonNullable<Parameters<typeof Stratalog.open>[0]['s3']>

interface Archive {
  readonly url: string
  readonly s3?: S3
  readonly count: number
  readonly checksum: string
  readonly keys: readonly string[]
  /** The values of all blocks, compressed as segments are. */
  readonly frames: readonly Uint8Array[]
}

export const restoreBench: Benchmark = {
  name: 'restore',
  question: 'How fast do records come back from an archive, against its bytes and their decoding?',
  async *cases(scale) {
    await using directory = await makeTempDirectory()
    const records = makeRecords(COUNTS[scale])
    const local = pathToFileURL(join(directory.path, 'archive')).href
    yield* casesOf('local', await archiveRecords(join(directory.path, 'data'), local, records))
    const minio = await startMinio()
    try {
      const { endpoint, region, accessKeyId, secretAccessKey } = minio
      const s3 = { endpoint, region, credentials: { accessKeyId, secretAccessKey } }
      const url = `s3://bench-${randomBytes(6).toString('hex')}/restore`
      await createBucketIfMissing(url, { s3, ...STORE_PORTS })
      const archive = await archiveRecords(join(directory.path, 'data-s3'), url, records, s3)
      yield* casesOf('MinIO', archive)
    } finally {
      await minio.stop()
    }
  },
}

const STORE_PORTS = {
  fileSystem: new NodeFileSystem(),
  clock: systemClock,
  random: systemRandom,
  metrics: noMetrics,
  logger: silentLogger,
}

async function archiveRecords(
  dataDir: string,
  url: string,
  records: readonly BenchRecord[],
  s3?: S3,
): Promise<Archive> {
  const place = { url, ...(s3 === undefined ? {} : { s3 }) }
  {
    await using db = await Stratalog.open({ dataDir, archive: url, ...withS3(place) })
    const storage = { mode: 'hybrid', diskAfter: '1h', archiveAfter: '1h' } as const
    const log = await db.createLog('events', { storage })
    for (const batch of inBatches(records, APPEND_RECORDS)) await log.append(batch)
    await db.tier.now({ to: 'object' })
  }
  const frames: Uint8Array[] = []
  await using db = await Stratalog.memoryOnly()
  await db.replayFromArchive(url, {
    ...withS3(place),
    into: (_log, { columns }) => {
      for (const { values, offsets } of columns)
        for (const bytes of [values, ...(offsets === null ? [] : [offsets])])
          frames.push(
            compressFrameSync(Buffer.from(bytes as Uint8Array), { contentChecksum: true }),
          )
    },
  })
  const store = await openObjectStore(url, { ...withS3(place), ...STORE_PORTS, environment: {} })
  const keys: string[] = []
  for await (const { key } of store.list('segments/')) keys.push(key)
  await store.close()
  return { ...place, count: records.length, checksum: checksumOf(records), keys, frames }
}

function withS3({ s3 }: Pick<Archive, 's3'>): { readonly s3?: S3 } {
  return s3 === undefined ? {} : { s3 }
}

function* casesOf(where: string, archive: Archive): Generator<BenchmarkCase> {
  const limit = slowerOfBoth(archive)
  const common = {
    unit: 'M records/s',
    higherIsBetter: true,
    targets: { [limit.name]: { floor: 0.6, goal: 0.8 } },
    checksum: archive.checksum,
    peers: [],
    limit,
    missing: [],
  }
  yield { ...common, name: `replay into memory, ${where}`, ours: replayed(archive) }
  yield { ...common, name: `eager restore, ${where}`, ours: restored(archive) }
}

function replayed(archive: Archive): Contender {
  return {
    name: 'stratalog',
    measure: async () => {
      await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '2GB' })
      const startedAt = performance.now()
      await db.replayFromArchive(archive.url, withS3(archive))
      const value = rate(archive.count, startedAt)
      return { value, checksum: await checksumOfLog(db) }
    },
  }
}

function restored(archive: Archive): Contender {
  return {
    name: 'stratalog',
    measure: async () => {
      await using directory = await makeTempDirectory()
      const dataDir = join(directory.path, 'restored')
      const startedAt = performance.now()
      await restoreArchive({ archive: archive.url, ...withS3(archive), dataDir, eager: true })
      const value = rate(archive.count, startedAt)
      await using db = await Stratalog.openReadOnly({ dataDir })
      return { value, checksum: await checksumOfLog(db) }
    },
  }
}

async function checksumOfLog(db: Stratalog): Promise<string> {
  const columns = ['ts', 'key', 'amount', 'price', 'event', 'text']
  return checksumOf((await db.log('events').read({ columns }).toArray()) as BenchRecord[])
}

function slowerOfBoth(archive: Archive): Contender {
  return {
    name: 'the slower of bytes and LZ4',
    measure: async () => {
      const bytesAt = performance.now()
      await getAll(archive)
      const bytes = rate(archive.count, bytesAt)
      const decodingAt = performance.now()
      await inParallel(archive.frames, (frame) => decompressFrame(frame))
      return { value: Math.min(bytes, rate(archive.count, decodingAt)), checksum: null }
    },
  }
}

async function getAll({ url, keys, ...place }: Archive): Promise<void> {
  if (place.s3 === undefined) {
    const directory = fileURLToPath(url)
    await inParallel(keys, (key) => readFile(join(directory, key)))
    return
  }
  const store = await openObjectStore(url, { ...withS3(place), ...STORE_PORTS, environment: {} })
  await inParallel(keys, (key) => store.get(key))
  await store.close()
}

async function inParallel<T>(
  items: readonly T[],
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  const queue = items.values()
  const next = async (): Promise<void> => {
    for (const item of queue) await work(item)
  }
  await Promise.all(Array.from({ length: GETS_AT_ONCE }, next))
}

/** Millions a second. */
function rate(count: number, startedAt: number): number {
  return count / (performance.now() - startedAt) / 1000
}
