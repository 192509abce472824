import type { DuckDBConnection } from '@duckdb/node-api'
import { Stratalog } from '../src/index.ts'
import { secondsOf, type Benchmark, type Contender, type Scale, type Target } from './harness.ts'
import { inBatches, makeRecords } from './records.ts'
import {
  APPEND_RECORDS,
  openDuckdbTable,
  queriesOver,
  readLimit,
  rowsChecksum,
  rowsOf,
} from './sql-questions.ts'

const COUNTS: Readonly<Record<Scale, number>> = { full: 5_000_000, quick: 500_000, tiny: 2_500 }
const TABLE = "DuckDB's own table"
const GROUP_BY = 'group by event'
const OUR_GROUP_BY = 'our group by event'
const IN_PROCESS = 'ours, in a process'

/** Times as ratios: a floor of 8 times as long is a ratio of an eighth. */
const TARGETS: Readonly<Record<string, Readonly<Record<string, Target>>>> = {
  [GROUP_BY]: { [TABLE]: { floor: 1 / 1.3, goal: 1 / 0.7 } },
  'one percent by time': {
    [OUR_GROUP_BY]: { floor: 1 / 0.7, goal: 1 / 0.7 },
    [TABLE]: { floor: 0, goal: 1 / 3 },
  },
  'top 10': { [TABLE]: { floor: 1 / 8, goal: 1 / 2 } },
  like: { [TABLE]: { floor: 1 / 3, goal: 1 / 2 } },
  '5-minute buckets': { [TABLE]: { floor: 1 / 3, goal: 1 / 2 } },
}

export const sqlHot: Benchmark = {
  name: 'sql-hot',
  question: "How long does SQL over records in RAM take, beside DuckDB's own table?",
  async *cases(scale) {
    const records = makeRecords(COUNTS[scale])
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '4GB' })
    const log = await db.createLog('events', { timeColumn: 'ts' })
    for (const batch of inBatches(records, APPEND_RECORDS)) await log.append(batch)
    await using isolated = await Stratalog.open({
      maxMemoryBytes: '4GB',
      queryIsolation: 'process',
    })
    const isolatedLog = await isolated.createLog('events', { timeColumn: 'ts' })
    for (const batch of inBatches(records, APPEND_RECORDS)) await isolatedLog.append(batch)
    await using table = await openDuckdbTable(records)
    const questions = queriesOver(records)
    const limit = readLimit(records)
    for (const [name, sql] of Object.entries(questions)) {
      const checksum = rowsChecksum(await rowsOf(table.connection, sql))
      const groupBy = questions[GROUP_BY] ?? ''
      yield {
        name,
        unit: 'ms',
        higherIsBetter: false,
        targets: TARGETS[name] ?? {},
        checksum,
        ours: ours(db, sql),
        peers: [
          tableContender(table.connection, sql),
          { ...ours(isolated, sql), name: IN_PROCESS },
          ...(name === 'one percent by time'
            ? [beside(OUR_GROUP_BY, ours(db, groupBy), checksum)]
            : []),
        ],
        limit,
        missing: [],
      }
    }
  },
}

/** The query has run once before, as it will many times. */
function ours(db: Stratalog, sql: string): Contender {
  return {
    name: 'ours',
    async measure() {
      await (await db.query(sql)).toArray()
      let rows: readonly unknown[] = []
      const seconds = await secondsOf(async () => {
        rows = await (await db.query(sql)).toArray()
      })
      return { value: seconds * 1_000, checksum: rowsChecksum(rows) }
    },
  }
}

/** Another question's time, which has another answer. */
function beside(name: string, other: Contender, checksum: string): Contender {
  return { name, measure: async () => ({ value: (await other.measure()).value, checksum }) }
}

function tableContender(connection: DuckDBConnection, sql: string): Contender {
  return {
    name: TABLE,
    async measure() {
      await rowsOf(connection, sql)
      let rows: readonly unknown[] = []
      const seconds = await secondsOf(async () => {
        rows = await rowsOf(connection, sql)
      })
      return { value: seconds * 1_000, checksum: rowsChecksum(rows) }
    },
  }
}
