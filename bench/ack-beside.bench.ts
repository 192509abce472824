import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { Stratalog, type Log } from '../src/index.ts'
import { inTurns, makeAppendLoad } from './append-load.ts'
import { percentile, type Benchmark, type Contender, type Sample, type Scale } from './harness.ts'
import { checksumOf, type BenchRecord } from './records.ts'
import { makeTempDirectory } from './temp-directory.ts'

const HISTORY: Readonly<Record<Scale, number>> = { full: 500_000, quick: 200_000, tiny: 2_500 }
const APPENDS: Readonly<Record<Scale, number>> = { full: 2_000, quick: 1_000, tiny: 50 }
const BATCH_RECORDS = 1_000
/** Threads that a query has at its disposal. */
const QUERY_THREADS = 2
/** Between two appends: a service that is busy, and not one that does nothing else. */
const PAUSE_MS = 1

const HEAVY = `SELECT event, count(*) AS n, avg(price) AS mean, max(text) AS last
  FROM history WHERE text LIKE '%zz%' OR amount % 7 = 3 GROUP BY event ORDER BY event`

export const ackBeside: Benchmark = {
  name: 'ack-beside',
  question:
    'What does an acknowledgement cost while heavy SQL runs and segments are flushed and uploaded?',
  async *cases(scale) {
    const checksum = checksumOf(makeAppendLoad(APPENDS[scale], BATCH_RECORDS).records)
    const limit = measured('beside as many busy threads', scale, besideThreads)
    yield {
      name: 'p99 of single appends',
      unit: 'µs',
      higherIsBetter: false,
      targets: { [limit.name]: { floor: 1 / 2, goal: 1 / 1.2 } },
      checksum,
      ours: measured('ours', scale, besideWork),
      peers: [measured('beside nothing', scale, besideNothing)],
      limit,
      missing: [],
    }
  },
}

/** Work that goes on until it is stopped. */
type Beside = (db: Stratalog, history: Log, scale: Scale) => Promise<{ stop(): Promise<void> }>

function measured(name: string, scale: Scale, beside: Beside): Contender {
  return {
    name,
    async measure(): Promise<Sample> {
      await using directory = await makeTempDirectory()
      await using db = await Stratalog.open({
        dataDir: join(directory.path, 'data'),
        archive: `file://${join(directory.path, 'archive')}`,
      })
      const history = await db.createLog('history', {
        timeColumn: 'ts',
        storage: { mode: 'hybrid', ack: 'memory' },
      })
      const { batches } = makeAppendLoad(HISTORY[scale], BATCH_RECORDS)
      await inTurns(batches, 8, (batch) => history.append(batch))
      const log = await db.createLog('acks', {
        timeColumn: 'ts',
        storage: { mode: 'persistent', ack: 'disk' },
      })
      const { records } = makeAppendLoad(APPENDS[scale], BATCH_RECORDS)
      const work = await beside(db, history, scale)
      const micros = new Float64Array(records.length)
      for (const [index, record] of records.entries()) {
        const start = performance.now()
        await log.append(record)
        micros[index] = (performance.now() - start) * 1_000
        await setTimeout(PAUSE_MS)
      }
      await work.stop()
      const read = (await log.read().toArray()) as unknown as BenchRecord[]
      return { value: percentile(micros, 0.99), checksum: checksumOf(read) }
    },
  }
}

async function besideNothing(): Promise<{ stop(): Promise<void> }> {
  return { stop: async () => {} }
}

/** One query after the other, and all the while records that are flushed and uploaded as soon as they are there. */
async function besideWork(
  db: Stratalog,
  history: Log,
  scale: Scale,
): Promise<{ stop(): Promise<void> }> {
  let isOver = false
  const until = async (step: () => Promise<unknown>): Promise<void> => {
    while (!isOver) await step()
  }
  const { batches } = makeAppendLoad(Math.min(50_000, HISTORY[scale]), BATCH_RECORDS)
  const work = [
    until(async () => (await db.query(HEAVY)).toArray()),
    until(async () => {
      await inTurns(batches, 1, async (batch) => {
        if (!isOver) await history.append(batch)
      })
      await db.tier.now({ to: 'object' })
    }),
  ]
  return {
    async stop() {
      isOver = true
      await Promise.all(work)
    },
  }
}

/** As many threads as the query has, and one for the flush, each of which only burns its processor. */
async function besideThreads(): Promise<{ stop(): Promise<void> }> {
  const threads = Array.from(
    { length: QUERY_THREADS + 1 },
    () => new Worker('for (let n = 0; ; n++) Math.sqrt(n)', { eval: true }),
  )
  return {
    async stop() {
      await Promise.all(threads.map((thread) => thread.terminate()))
    },
  }
}
