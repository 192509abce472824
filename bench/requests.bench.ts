/**
 * Counts and no times: what archiving asks of the object store, a directory here: the same code counts in front
 * of any store. Steady state: the archive exists and is open. A LIST in it is a failure.
 */
import { join } from 'node:path'
import { MemoryMetrics } from '../src/base/metrics.ts'
import { Stratalog } from '../src/index.ts'
import {
  constant,
  type Benchmark,
  type BenchmarkCase,
  type Contender,
  type Sample,
  type Scale,
} from './harness.ts'
import { RECORD_BYTES, inBatches, makeRecords } from './records.ts'
import { makeTempDirectory } from './temp-directory.ts'

interface Size {
  readonly records: number
  /** Between two rounds. */
  readonly recordsPerRound: number
  readonly logs: number
}

const SIZES: Readonly<Record<Scale, Size>> = {
  full: { records: 4_000_000, recordsPerRound: 4_000_000, logs: 1_000 },
  quick: { records: 1_500_000, recordsPerRound: 1_500_000, logs: 200 },
  tiny: { records: 20_000, recordsPerRound: 10_000, logs: 20 },
}
const CHUNK_RECORDS = 250_000
const APPEND_RECORDS = 10_000
const GB = 1024 ** 3
const OPERATIONS = ['put', 'get', 'head', 'delete']
const STORAGE = { mode: 'hybrid', diskAfter: '1h', archiveAfter: '1h' } as const
/** Of a round of small segments: a pack and the commit. */
const QUIET_REQUESTS = 2

export const requests: Benchmark = {
  name: 'requests',
  question: 'How many requests does it take to archive a GB, and a round of many quiet logs?',
  async *cases(scale) {
    yield busyLog(SIZES[scale])
    yield quietLogs(SIZES[scale])
  },
}

function busyLog({ records, recordsPerRound }: Size): BenchmarkCase {
  return {
    name: 'a busy log, per GB of records',
    unit: 'requests',
    higherIsBetter: false,
    targets: { '20 per GB': { floor: 0.5, goal: 1 } },
    checksum: String(records),
    ours: ours(async (db, counted) => {
      const log = await db.createLog('busy', { timeColumn: 'ts', storage: STORAGE })
      await log.append(makeRecords(1))
      await db.tier.now({ to: 'object' })
      const before = archivedRecords(db)
      const count = await counted(async () => {
        for (let from = 0; from < records; from += CHUNK_RECORDS) {
          const chunk = makeRecords(Math.min(CHUNK_RECORDS, records - from), from + 2)
          for (const batch of inBatches(chunk, APPEND_RECORDS)) await log.append(batch)
          const isRound = (from + chunk.length) % recordsPerRound === 0
          if (isRound || from + chunk.length === records) await db.tier.now({ to: 'object' })
        }
      })
      const checksum = String(archivedRecords(db) - before)
      return { value: (count * GB) / (records * RECORD_BYTES), checksum }
    }),
    peers: [],
    limit: constant('20 per GB', 20),
    missing: [],
  }
}

function quietLogs({ logs }: Size): BenchmarkCase {
  return {
    name: `a round of ${logs} quiet logs`,
    unit: 'requests',
    higherIsBetter: false,
    targets: { 'one pack': { floor: 0.5, goal: 1 } },
    checksum: String(logs),
    ours: ours(async (db, counted) => {
      const names = Array.from({ length: logs }, (_, index) => `quiet-${index}`)
      const [record] = makeRecords(1)
      const round = async (): Promise<void> => {
        for (const name of names) await db.log(name).append([record ?? {}])
        await db.tier.now({ to: 'object' })
      }
      for (const name of names) await db.createLog(name, { timeColumn: 'ts', storage: STORAGE })
      await round()
      const before = archivedRecords(db)
      const value = await counted(round)
      return { value, checksum: String(archivedRecords(db) - before) }
    }),
    peers: [],
    limit: constant('one pack', QUIET_REQUESTS),
    missing: [],
  }
}

/** Requests that a step makes. */
type Counted = (step: () => Promise<void>) => Promise<number>

function ours(measure: (db: Stratalog, counted: Counted) => Promise<Sample>): Contender {
  return {
    name: 'ours',
    async measure() {
      await using directory = await makeTempDirectory()
      const metrics = new MemoryMetrics()
      const dataDir = join(directory.path, 'data')
      const archive = `file://${join(directory.path, 'archive')}`
      await using db = await Stratalog.open({ dataDir, archive }, { metrics })
      const made = (operation: string): number =>
        metrics.value('stratalog_object_store_requests_total', { operation })
      return await measure(db, async (step) => {
        const all = (): number => OPERATIONS.reduce((sum, each) => sum + made(each), 0)
        const [before, lists] = [all(), made('list')]
        await step()
        if (made('list') > lists) throw new Error('The archive was listed in steady state.')
        return all() - before
      })
    },
  }
}

function archivedRecords(db: Stratalog): number {
  const { logs } = db.status()
  const tiers = logs.flatMap(({ partitions }) => partitions.map(({ tiers: { object } }) => object))
  return tiers.reduce((sum, { records }) => sum + records, 0)
}
