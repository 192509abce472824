/**
 * Snapshots of a log in RAM into a directory: how long they hold up who appends meanwhile, and what the second one
 * writes when little is new.
 */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Log, Stratalog } from '../src/index.ts'
import { makeAppendLoad } from './append-load.ts'
import { constant, type Benchmark, type BenchmarkCase, type Scale } from './harness.ts'
import { type LoadColumns, loadColumns } from './memory-load.ts'
import { makeTempDirectory } from './temp-directory.ts'

interface Size {
  /** Different records, which are appended again and again. */
  readonly distinct: number
  readonly records: number
}

const SIZES: Readonly<Record<Scale, Size>> = {
  full: { distinct: 500_000, records: 10_000_000 },
  quick: { distinct: 100_000, records: 1_000_000 },
  tiny: { distinct: 2_000, records: 4_000 },
}
const BATCH_RECORDS = 1_000
/** Of what the first snapshot had, comes before the second one. */
const NEW_PART = 0.01
const PAUSE_MS = 20
/** 200,000 records a second; with more, the budget is full before the snapshot is done, and evictions count too. */
const APPEND_EVERY_MS = 5
const GOAL_MS = 5
const RECORDS_BYTES_MAX = 4 * 1024 ** 3
/** A segment has its facts beside the records. */
const OVERHEAD = 1.1

export const snapshot: Benchmark = {
  name: 'snapshot',
  question: 'How long does a snapshot hold up appends, and what does the next one write?',
  async *cases(scale) {
    const size = SIZES[scale]
    const load = makeAppendLoad(size.distinct, BATCH_RECORDS)
    const columns = load.batches.map(loadColumns)
    yield pauseCase(columns, size)
    yield newBytesCase(columns, size)
  },
}

function pauseCase(columns: readonly LoadColumns[], { records }: Size): BenchmarkCase {
  const name = `${PAUSE_MS} ms`
  return {
    name: `longest wait of an append beside a snapshot of ${records} records`,
    unit: 'ms',
    higherIsBetter: false,
    targets: { [name]: { floor: 1, goal: PAUSE_MS / GOAL_MS } },
    checksum: 'all there',
    ours: {
      name: 'ours',
      measure: () =>
        withFilled(columns, records, async (db, log) => {
          let isDone = false
          const taking = db.snapshot({ name: 'first' }).finally(() => {
            isDone = true
          })
          let longest = 0
          const started = performance.now()
          for (let more = 0; !isDone; more++) {
            // From when it was due: what holds up one append holds up those that were due meanwhile too.
            const due = started + more * APPEND_EVERY_MS
            if (due > performance.now()) await sleep(due - performance.now())
            await appendBatch(log, columns, more)
            longest = Math.max(longest, performance.now() - due)
          }
          const [{ partitions } = { partitions: [] }] = (await taking).logs
          const isWhole = partitions[0]?.endOffset === records
          return { value: longest, checksum: isWhole ? 'all there' : JSON.stringify(partitions) }
        }),
    },
    peers: [],
    limit: constant(name, PAUSE_MS),
    missing: [],
  }
}

function newBytesCase(columns: readonly LoadColumns[], { records }: Size): BenchmarkCase {
  const added = Math.max(BATCH_RECORDS, Math.round(records * NEW_PART))
  const name = 'the first, by record, and a tenth'
  return {
    name: `bytes that a second snapshot writes, per record of ${added} new ones`,
    unit: 'bytes',
    higherIsBetter: false,
    targets: { [name]: { floor: 1, goal: 1 } },
    checksum: 'all there',
    ours: {
      name: 'ours',
      measure: () =>
        withFilled(columns, records, async (db, log, place) => {
          await db.snapshot({ name: 'first' })
          const before = await bytesBelow(place)
          await appendBatches(log, columns, added)
          const { logs } = await db.snapshot({ name: 'second' })
          const bytes = (await bytesBelow(place)) - before
          const end = logs[0]?.partitions[0]?.endOffset
          return {
            value: bytes / added,
            checksum: end === records + added ? 'all there' : String(end),
          }
        }),
    },
    peers: [],
    limit: {
      name,
      measure: () =>
        withFilled(columns, added, async (db, _, place) => {
          await db.snapshot({ name: 'first' })
          return { value: ((await bytesBelow(place)) / added) * OVERHEAD, checksum: null }
        }),
    },
    missing: [],
  }
}

async function withFilled<T>(
  columns: readonly LoadColumns[],
  records: number,
  work: (db: Stratalog, log: Log, place: string) => Promise<T>,
): Promise<T> {
  await using directory = await makeTempDirectory()
  const place = join(directory.path, 'snapshots')
  await using db = await Stratalog.memoryOnly({
    maxMemoryBytes: RECORDS_BYTES_MAX,
    snapshotLocation: place,
  })
  const log = await db.createLog('events', { timeColumn: 'ts', keyColumn: 'key' })
  await appendBatches(log, columns, records)
  return await work(db, log, place)
}

async function appendBatches(
  log: Log,
  columns: readonly LoadColumns[],
  records: number,
): Promise<void> {
  for (let batch = 0; batch * BATCH_RECORDS < records; batch++)
    await appendBatch(log, columns, batch)
}

async function appendBatch(
  log: Log,
  columns: readonly LoadColumns[],
  batch: number,
): Promise<void> {
  const given = columns[batch % columns.length]
  if (given !== undefined) await log.append(given)
}

async function bytesBelow(path: string): Promise<number> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const sizes = await Promise.all(
    files.map(async ({ parentPath, name }) => (await stat(join(parentPath, name))).size),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}
