/** Tumbling windows over a live log: records are appended as columns, as fast as the windows are given. */
import { setImmediate } from 'node:timers/promises'
import { DuckDBInstance } from '@duckdb/node-api'
import { Stratalog, type Log, type QueryRow, type WindowStream } from '../src/index.ts'
import { makeAppendLoad, type AppendLoad } from './append-load.ts'
import { appendToDuckdb, duckdbTable } from './append-peers.ts'
import { constant, secondsOf, type Benchmark, type Contender, type Scale } from './harness.ts'
import { loadColumns, type LoadColumns } from './memory-load.ts'
import type { BenchRecord } from './records.ts'

/** The load is appended again and again, each time later by its own length. */
const COUNTS: Readonly<Record<Scale, number>> = { full: 600_000, quick: 300_000, tiny: 6_000 }
const PASSES: Readonly<Record<Scale, number>> = { full: 20, quick: 10, tiny: 2 }
const BATCH_RECORDS = 2_000
/** Between two records of the load. */
const INTERVAL_MS = 10
/** When the load begins. */
const START_MS = Date.UTC(2026, 0, 1)
/** 60,000 records. */
const WINDOW_MS = 600_000
/** Who appends does not run away further than this. */
const LEAD_RECORDS_MAX = 400_000
/** Holds the lead and an open window some times over; what is older is evicted. */
const BUDGET = '256MB'

const AGGREGATES = 'event, count(*) AS n, sum(amount) AS total, max(price) AS most'
const STREAM = `SELECT ${AGGREGATES} FROM events GROUP BY event, TUMBLE(ts, INTERVAL '10' MINUTES)`
const FLOOR = '300,000 records a second'
const FLAT = 'no growth'

export const streamSql: Benchmark = {
  name: 'stream-sql',
  question:
    'How many records a second do tumbling windows over a live log keep up with, and in what memory?',
  async *cases(scale) {
    const passes = PASSES[scale]
    const load = makeAppendLoad(COUNTS[scale], BATCH_RECORDS)
    const batches = load.batches.map(loadColumns)
    const checksum = windowsChecksum(expectedRows(load, passes))
    const growths: number[] = []
    yield {
      name: 'tumbling windows, columns',
      unit: 'records/s',
      higherIsBetter: true,
      targets: { [FLOOR]: { floor: 1, goal: 10 / 3 } },
      checksum,
      ours: {
        name: 'ours',
        async measure() {
          const run = await followLive(batches, passes)
          growths.push(run.growth)
          return { value: (load.count * passes) / run.seconds, checksum: windowsChecksum(run.rows) }
        },
      },
      peers: [constant(FLOOR, 300_000)],
      limit: groupByLimit(load),
      missing: [],
    }
    const measured = growths.values()
    yield {
      name: 'memory of the second half, by that of the first',
      unit: 'times',
      higherIsBetter: false,
      targets: { [FLAT]: { floor: 1 / 1.2, goal: 1 / 1.05 } },
      checksum,
      ours: {
        name: 'ours',
        // Of the runs that were measured just now.
        measure: async () => ({ value: measured.next().value ?? Number.NaN, checksum: null }),
      },
      peers: [],
      limit: constant(FLAT, 1),
      missing: [],
    }
  },
}

interface LiveRun {
  readonly seconds: number
  readonly rows: readonly QueryRow[]
  /** The highest resident set of the second half, by that of the first. */
  readonly growth: number
}

async function followLive(batches: readonly LoadColumns[], passes: number): Promise<LiveRun> {
  await using db = await Stratalog.memoryOnly({ maxMemoryBytes: BUDGET })
  const log = await db.createLog('events', { timeColumn: 'ts' })
  await using stream = db.streamSql(STREAM)
  const peaks: [number, number] = [0, 0]
  let rows: readonly QueryRow[] = []
  const seconds = await secondsOf(async () => {
    const reading = readAll(stream)
    for (let pass = 0; pass < passes; pass++) {
      await appendPass(log, batches, pass, stream)
      const half = pass * 2 < passes ? 0 : 1
      peaks[half] = Math.max(peaks[half], process.memoryUsage.rss())
    }
    await log.append(lastRecords(passes * batches.length * BATCH_RECORDS))
    rows = await reading
  })
  return { seconds, rows, growth: peaks[1] / peaks[0] }
}

/** Every row up to that of the last records, which have an event of their own. */
async function readAll(stream: WindowStream): Promise<readonly QueryRow[]> {
  const rows: QueryRow[] = []
  for await (const row of stream) {
    if (row['event'] === LAST_EVENT) return rows
    rows.push(row)
  }
  return rows
}

async function appendPass(
  log: Log,
  batches: readonly LoadColumns[],
  pass: number,
  stream: WindowStream,
): Promise<void> {
  const shift = BigInt(pass * batches.length * BATCH_RECORDS * INTERVAL_MS)
  for (const [index, batch] of batches.entries()) {
    const appended = (pass * batches.length + index) * BATCH_RECORDS
    while (appended - (stream.stats?.records ?? 0) > LEAD_RECORDS_MAX) await setImmediate()
    await log.append(later(batch, shift))
  }
}

/** The batch with other times over the same buffers. */
function later({ fields, columns, length }: LoadColumns, shift: bigint): LoadColumns {
  const [times, ...others] = columns
  if (times === undefined) throw new Error('The load has no times.')
  const { buffer, byteOffset } = times.values
  const shifted = new BigInt64Array(buffer, byteOffset, length).map((time) => time + shift)
  return {
    fields,
    columns: [{ ...times, values: new Uint8Array(shifted.buffer) }, ...others],
    length,
  }
}

const LAST_EVENT = 'end'

/** One in a window behind all others, and one that closes it. */
function lastRecords(count: number): BenchRecord[] {
  const start = Math.ceil((START_MS + count * INTERVAL_MS) / WINDOW_MS) * WINDOW_MS
  return [start, start + WINDOW_MS].map((ts) => ({
    ts,
    key: 'user-0000000',
    amount: 0,
    price: 0,
    event: LAST_EVENT,
    text: '',
  }))
}

/** The oracle: one pass over all records. */
function expectedRows({ records, count }: AppendLoad, passes: number): QueryRow[] {
  const windows = new Map<
    string,
    { at: number; event: string; n: number; total: number; most: number }
  >()
  for (let pass = 0; pass < passes; pass++) {
    for (const { ts, event, amount, price } of records) {
      const at = Math.floor((ts + pass * count * INTERVAL_MS) / WINDOW_MS) * WINDOW_MS
      const key = `${at} ${event}`
      const { n, total, most } = windows.get(key) ?? { n: 0, total: 0, most: 0 }
      windows.set(key, { at, event, n: n + 1, total: total + amount, most: Math.max(most, price) })
    }
  }
  return [...windows.values()].map(({ at, ...row }) => ({ window_start: new Date(at), ...row }))
}

function windowsChecksum(rows: readonly QueryRow[]): string {
  return rows
    .map(({ window_start: start, event, n, total, most }) =>
      [Number(start), event, n, total, most].join(' '),
    )
    .toSorted()
    .join('\n')
}

/** DuckDB over a table of each window's records, which is there already: all that is left is to aggregate them. */
function groupByLimit(load: AppendLoad): Contender {
  return {
    name: 'DuckDB over a table a window',
    async measure() {
      const instance = await DuckDBInstance.create(':memory:', { threads: '2' })
      const connection = await instance.connect()
      await connection.run(duckdbTable)
      await appendToDuckdb(connection, load.batches)
      const bucket = `ts // ${WINDOW_MS}`
      const found = await connection.runAndReadAll(`SELECT DISTINCT ${bucket} FROM events`)
      const windows = found.getRows().map(([number]) => String(number))
      for (const window of windows)
        await connection.run(`CREATE TABLE "${window}" AS FROM events WHERE ${bucket} = ${window}`)
      const seconds = await secondsOf(async () => {
        for (const window of windows)
          await connection.runAndReadAll(`SELECT ${AGGREGATES} FROM "${window}" GROUP BY event`)
      })
      connection.closeSync()
      instance.closeSync()
      return { value: load.count / seconds, checksum: null }
    },
  }
}
