/** What tier moves cost who appends, and how fast they are. The archive is a directory, so that no network counts. */
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { present } from '../src/base/assert.ts'
import { systemClock } from '../src/base/clock.ts'
import { silentLogger } from '../src/base/logger.ts'
import { noMetrics } from '../src/base/metrics.ts'
import { systemRandom } from '../src/base/random.ts'
import type { RecordBatch } from '../src/format/record-batch.ts'
import { Stratalog, type Log } from '../src/index.ts'
import { type Archive, openArchive } from '../src/log/archive-view.ts'
import { SegmentReading } from '../src/log/segment-reading.ts'
import { NodeFileSystem } from '../src/storage/node-file-system.ts'
import { openObjectStore } from '../src/storage/open-object-store.ts'
import { inlineEncoder } from '../src/tiering/segment-encoder.ts'
import { inTurns, makeAppendLoad, type AppendLoad } from './append-load.ts'
import {
  constant,
  percentile,
  secondsOf,
  type Benchmark,
  type Contender,
  type Sample,
  type Scale,
} from './harness.ts'
import { RECORD_BYTES, checksumOf, type BenchRecord } from './records.ts'
import { makeTempDirectory } from './temp-directory.ts'

const HOT: Readonly<Record<Scale, number>> = { full: 2_000_000, quick: 600_000, tiny: 10_000 }
const MOVED: Readonly<Record<Scale, number>> = { full: 1_000_000, quick: 400_000, tiny: 10_000 }
const BATCH_RECORDS = 1_000
const MIB = 1024 * 1024
/** Ages with which all that comes goes down all tiers while the load goes on. */
const SHORT_AGES = { memoryTtl: '2s', diskAfter: '1s', archiveAfter: '1s', diskTtl: '2s' } as const
const LONG_AGES = { memoryTtl: '1d', diskAfter: '1d', archiveAfter: '1d', diskTtl: '2d' } as const
/** As much as `archiveAfter`, two looks and two moves may take together. */
const LAG_MAX_MS = 5_000
/** One encodes. */
const TIERING_THREADS = 1

interface HotSample {
  readonly p99: Sample
  readonly lagMs: number
}

export const tiering: Benchmark = {
  name: 'tiering',
  question:
    'What do tier moves cost who appends, and how much of the codec and the store do they use?',
  async *cases(scale) {
    const load = makeAppendLoad(HOT[scale], BATCH_RECORDS)
    const intervalMs = 2 * (await leastInterval(load))
    const lags: number[] = []
    const ours: Contender = {
      name: 'ours',
      async measure() {
        const { p99, lagMs } = await hotLog(load, intervalMs, true)
        lags.push(lagMs)
        return p99
      },
    }
    const limit: Contender = {
      name: 'beside as many busy threads',
      measure: async () => (await besideThreads(() => hotLog(load, intervalMs, false))).p99,
    }
    yield {
      name: 'batches at half of the highest rate, p99',
      unit: 'µs',
      higherIsBetter: false,
      targets: { [limit.name]: { floor: 1 / 2, goal: 1 / 1.2 } },
      checksum: load.checksum,
      ours,
      peers: [],
      limit,
      missing: [],
    }
    yield {
      name: 'the same, tier lag at most',
      unit: 'ms',
      higherIsBetter: false,
      targets: { bounded: { floor: 1, goal: 1 } },
      checksum: load.checksum,
      ours: { name: 'ours', measure: async () => ({ value: lags.shift() ?? NaN, checksum: null }) },
      peers: [],
      limit: constant('bounded', LAG_MAX_MS),
      missing: [],
    }
    const moved = makeAppendLoad(MOVED[scale], BATCH_RECORDS)
    yield {
      name: 'flush and upload',
      unit: 'MiB/s',
      higherIsBetter: true,
      targets: { 'the slower of codec and store': { floor: 0.6, goal: 0.8 } },
      checksum: moved.checksum,
      ours: { name: 'ours', measure: () => flushAndUpload(moved) },
      peers: [],
      limit: { name: 'the slower of codec and store', measure: () => codecAndStore(moved) },
      missing: [],
    }
  },
}

/** Ms between two batches at the highest rate, with nothing else to do. */
async function leastInterval(load: AppendLoad): Promise<number> {
  await using place = await openPlace()
  const log = await hybridLog(place.db, LONG_AGES)
  const seconds = await secondsOf(() => inTurns(load.batches, 8, (batch) => log.append(batch)))
  return (seconds * 1_000) / load.batches.length
}

/** Acknowledgements of batches that come at a fixed rate, each from when it was to be sent. */
async function hotLog(load: AppendLoad, intervalMs: number, isTiered: boolean): Promise<HotSample> {
  await using place = await openPlace()
  const log = await hybridLog(place.db, isTiered ? SHORT_AGES : LONG_AGES)
  const micros = new Float64Array(load.batches.length)
  const acks: Promise<void>[] = []
  const start = performance.now()
  let lagMs = 1
  for (const [index, batch] of load.batches.entries()) {
    const due = start + index * intervalMs
    const waitMs = due - performance.now()
    if (waitMs > 0) await setTimeout(waitMs)
    acks.push(
      log.append(batch).then(() => {
        micros[index] = (performance.now() - due) * 1_000
      }),
    )
    if (isTiered && index % 50 === 0) lagMs = Math.max(lagMs, lagOf(place.db))
  }
  await Promise.all(acks)
  const read = (await log.read().toArray()) as unknown as BenchRecord[]
  return { p99: { value: percentile(micros, 0.99), checksum: checksumOf(read) }, lagMs }
}

function lagOf(db: Stratalog): number {
  const { lag } = present(db.status().logs[0]?.partitions[0], 'a partition')
  return Math.max(lag.flushMs, lag.uploadMs)
}

async function besideThreads<T>(work: () => Promise<T>): Promise<T> {
  const threads = Array.from(
    { length: TIERING_THREADS },
    () => new Worker('for (let n = 0; ; n++) Math.sqrt(n)', { eval: true }),
  )
  try {
    return await work()
  } finally {
    await Promise.all(threads.map((thread) => thread.terminate()))
  }
}

async function flushAndUpload(load: AppendLoad): Promise<Sample> {
  await using place = await openPlace()
  const log = await hybridLog(place.db, LONG_AGES)
  await inTurns(load.batches, 8, (batch) => log.append(batch))
  const seconds = await secondsOf(async () => {
    await place.db.tier.now({ to: 'object' })
  })
  const read = (await log.read().toArray()) as unknown as BenchRecord[]
  return { value: mebibytes(load) / seconds, checksum: checksumOf(read) }
}

/** Encoding the same batches on this thread, and putting the same segments, each by itself. */
async function codecAndStore(load: AppendLoad): Promise<Sample> {
  await using place = await openPlace()
  const log = await hybridLog(place.db, LONG_AGES)
  await inTurns(load.batches, 8, (batch) => log.append(batch))
  await place.db.tier.now({ to: 'object' })
  const store = await openStore(place.archive)
  const archive = await openArchive(store)
  const segments = await segmentsOf(archive)
  const encoder = inlineEncoder(systemClock)
  const header = {
    engineId: archive.state.engineId,
    logId: 1,
    logName: 'hot',
    partition: 0,
    timeColumn: 'ts',
    keyColumn: null,
  }
  const codecSeconds = await secondsOf(async () => {
    for (const { batches } of segments) await encoder.encode(header, batches, async () => {})
  })
  const storeSeconds = await secondsOf(async () => {
    for (const [index, { bytes }] of segments.entries()) {
      await store.put(`copy/${index}`, bytes)
      await store.head(`copy/${index}`)
    }
  })
  await store.close()
  return { value: mebibytes(load) / Math.max(codecSeconds, storeSeconds), checksum: null }
}

interface Stored {
  readonly bytes: Uint8Array
  readonly batches: readonly RecordBatch[]
}

async function segmentsOf(archive: Archive): Promise<readonly Stored[]> {
  const stored: Stored[] = []
  const owner = { logId: 1, partition: 0 }
  const segments = archive.state.logs.get(owner.logId)?.partitions[0]?.segments ?? []
  for (const segment of segments) {
    const bytes = await archive.store.get(present(segment.object, 'it is archived').object)
    const reading = SegmentReading.fromBytes(bytes, segment, owner)
    const batches: RecordBatch[] = []
    for await (const batch of reading.read([...reading.facts.batches.keys()])) batches.push(batch)
    stored.push({ bytes, batches })
  }
  return stored
}

function mebibytes({ count }: AppendLoad): number {
  return (count * RECORD_BYTES) / MIB
}

interface Place extends AsyncDisposable {
  readonly db: Stratalog
  readonly archive: string
}

async function openPlace(): Promise<Place> {
  const directory = await makeTempDirectory()
  const archive = `file://${join(directory.path, 'archive')}`
  const db = await Stratalog.open({
    dataDir: join(directory.path, 'data'),
    archive,
    maxMemoryBytes: '1GB',
  })
  return {
    db,
    archive,
    async [Symbol.asyncDispose]() {
      await db.close()
      await directory[Symbol.asyncDispose]()
    },
  }
}

function openStore(url: string): ReturnType<typeof openObjectStore> {
  return openObjectStore(url, {
    fileSystem: new NodeFileSystem(),
    clock: systemClock,
    random: systemRandom,
    metrics: noMetrics,
    logger: silentLogger,
  })
}

function hybridLog(db: Stratalog, ages: typeof SHORT_AGES | typeof LONG_AGES): Promise<Log> {
  return db.createLog('hot', { timeColumn: 'ts', storage: { mode: 'hybrid', ...ages } })
}
