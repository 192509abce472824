/** Counts and no times: what reads of an archive on MinIO ask of the store, so that a busy machine changes nothing. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { systemClock } from '../src/base/clock.ts'
import { silentLogger } from '../src/base/logger.ts'
import { MemoryMetrics, noMetrics } from '../src/base/metrics.ts'
import { rangeLength } from '../src/base/range.ts'
import { systemRandom } from '../src/base/random.ts'
import { blockRanges, parseSegmentTail } from '../src/format/segment-reader.ts'
import { Stratalog, type ArchiveLog } from '../src/index.ts'
import { NodeFileSystem } from '../src/storage/node-file-system.ts'
import { createBucketIfMissing, openObjectStore } from '../src/storage/open-object-store.ts'
import { type Minio, startMinio } from '../test/support/minio.ts'
import {
  constant,
  type Benchmark,
  type BenchmarkCase,
  type Contender,
  type Scale,
} from './harness.ts'
import { inBatches, makeRecords, type BenchRecord } from './records.ts'
import { makeTempDirectory } from './temp-directory.ts'

const COUNTS: Readonly<Record<Scale, number>> = { full: 1_000_000, quick: 400_000, tiny: 40_000 }
const APPEND_RECORDS = 10_000
const MIB = 1024 * 1024

/** The two of the eight columns that are scanned. */
const SCANNED = ['amount', 'price'] as const

type WideRecord = BenchRecord & { readonly session: number; readonly score: number }

function wideRecords(count: number): WideRecord[] {
  return makeRecords(count).map((record, index) => ({
    ...record,
    session: (index * 48_271) % 2_147_483_647,
    score: Math.sin(index),
  }))
}

/** What one read asked of the store. */
interface Asked {
  readonly gets: number
  readonly bytes: number
}

export const coldRead: Benchmark = {
  name: 'cold-read',
  question:
    'How many requests and bytes does a read take whose records are in the object store only?',
  async *cases(scale) {
    const minio = await startMinio()
    try {
      await using directory = await makeTempDirectory()
      const records = wideRecords(COUNTS[scale])
      const archive = await archiveRecords(join(directory.path, 'data'), minio, records)
      yield* pointCases(archive, records, 'offset')
      yield* pointCases(archive, records, 'time')
      yield await scanCase(archive, records)
    } finally {
      await minio.stop()
    }
  },
}

interface Archive {
  readonly url: string
  readonly s3: S3
}

type S3 = NonNullable<Parameters<typeof Stratalog.open>[0]['s3']>

async function archiveRecords(
  dataDir: string,
  { endpoint, region, accessKeyId, secretAccessKey }: Minio,
  records: readonly WideRecord[],
): Promise<Archive> {
  const s3 = { endpoint, region, credentials: { accessKeyId, secretAccessKey } }
  const url = `s3://bench-${randomBytes(6).toString('hex')}/cold-read`
  await createBucketIfMissing(url, { s3, ...STORE_PORTS })
  await using db = await Stratalog.open({ dataDir, archive: url, s3 })
  const storage = { mode: 'hybrid', diskAfter: '1h', archiveAfter: '1h' } as const
  const log = await db.createLog('events', { timeColumn: 'ts', storage })
  for (const batch of inBatches(records, APPEND_RECORDS)) await log.append(batch)
  await db.tier.now({ to: 'object' })
  return { url, s3 }
}

const STORE_PORTS = {
  fileSystem: new NodeFileSystem(),
  clock: systemClock,
  random: systemRandom,
  metrics: noMetrics,
  logger: silentLogger,
}

function* pointCases(
  archive: Archive,
  records: readonly WideRecord[],
  by: 'offset' | 'time',
): Generator<BenchmarkCase> {
  const offset = Math.floor(records.length / 2)
  const common = {
    higherIsBetter: false,
    missing: [],
    peers: [],
    checksum: textOf(records[offset]),
  }
  const read = (log: ArchiveLog, at: number): Promise<unknown> => readOne(log, records, at, by)
  const cold = (pick: (asked: Asked) => number): Contender =>
    ours(archive, async (log, counted) => {
      const [row, asked] = await counted(() => read(log, offset))
      return { value: pick(asked), checksum: textOf(row) }
    })
  yield {
    ...common,
    name: `by ${by}, requests`,
    unit: 'GETs',
    targets: { '2 GETs': { floor: 2 / 3, goal: 2 / 3 } },
    ours: cold(({ gets }) => gets),
    limit: constant('2 GETs', 2),
  }
  yield {
    ...common,
    name: `by ${by}, bytes`,
    unit: 'bytes',
    targets: { '2 MiB': { floor: 1, goal: 1 } },
    ours: cold(({ bytes }) => bytes),
    limit: constant('2 MiB', 2 * MIB),
  }
  yield {
    ...common,
    name: `by ${by}, footer known, requests`,
    unit: 'GETs',
    targets: { '2 GETs': { floor: 2 / 3, goal: 1 } },
    ours: ours(archive, async (log, counted) => {
      const before = await read(log, offset + Math.floor(records.length / 4))
      const [row, { gets }] = await counted(() => read(log, offset))
      return { value: before === null ? 0 : gets, checksum: textOf(row) }
    }),
    limit: constant('2 GETs', 2),
  }
}

async function scanCase(archive: Archive, records: readonly WideRecord[]): Promise<BenchmarkCase> {
  const stored = await storedBytes(archive)
  return {
    name: 'scan of 2 of 8 columns, bytes',
    unit: 'bytes',
    higherIsBetter: false,
    targets: { 'the columns as they are stored': { floor: 1 / 1.3, goal: 1 / 1.1 } },
    checksum: sumOf(records),
    ours: ours(archive, async (log, counted) => {
      const [rows, { bytes }] = await counted(() => log.read({ columns: [...SCANNED] }).toArray())
      return { value: bytes, checksum: sumOf(rows) }
    }),
    peers: [],
    limit: constant('the columns as they are stored', stored),
    missing: [],
  }
}

type Counted = <T>(step: () => Promise<T>) => Promise<readonly [T, Asked]>

/** Reads from an archive that was opened afresh, with nothing on disk. */
function ours(
  { url, s3 }: Archive,
  read: (log: ArchiveLog, counted: Counted) => ReturnType<Contender['measure']>,
): Contender {
  return {
    name: 'ours',
    async measure() {
      const metrics = new MemoryMetrics()
      await using archive = await Stratalog.openArchive(url, { s3 }, { metrics })
      const asked = (): Asked => ({
        gets: metrics.value('stratalog_object_store_requests_total', { operation: 'get' }),
        bytes: metrics.total('stratalog_object_store_received_bytes_total'),
      })
      return await read(archive.log('events'), async (step) => {
        const before = asked()
        const result = await step()
        const { gets, bytes } = asked()
        return [result, { gets: gets - before.gets, bytes: bytes - before.bytes }]
      })
    },
  }
}

async function readOne(
  log: ArchiveLog,
  records: readonly WideRecord[],
  offset: number,
  by: 'offset' | 'time',
): Promise<unknown> {
  if (by === 'offset') return log.get(offset)
  const since = records[offset]?.ts ?? 0
  const [row] = await log.read({ since, until: since + 1 }).toArray()
  return row ?? null
}

/** Of the scanned columns, by what the footers of all segments say. */
async function storedBytes({ url, s3 }: Archive): Promise<number> {
  const store = await openObjectStore(url, { s3, ...STORE_PORTS })
  let bytes = 0
  for await (const { key, length } of store.list('segments/')) {
    const tail = parseSegmentTail(await store.get(key), length)
    if (tail.kind === 'more') throw new Error(`${key} has no footer.`)
    const { facts } = tail
    const columns = SCANNED.map((name) => facts.schema.fields.findIndex((f) => f.name === name))
    for (const block of facts.batches.keys())
      for (const range of blockRanges(facts, block, columns)) bytes += rangeLength(range)
  }
  await store.close()
  return bytes
}

/** A record, however it came, as text. */
function textOf(row: unknown): string {
  const { ts, key, amount, price, event, text, session, score } = row as Record<string, unknown>
  return JSON.stringify([Number(ts), key, amount, price, event, text, session, score])
}

function sumOf(rows: readonly Readonly<Record<string, unknown>>[]): string {
  let sum = 0
  for (const { amount, price } of rows)
    sum = (sum * 31 + Number(amount) + Number(price) * 100) % 2 ** 40
  return `${rows.length}:${Math.round(sum)}`
}
