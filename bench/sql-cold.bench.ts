import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api'
import polars from 'nodejs-polars'
import { Stratalog } from '../src/index.ts'
import { appendToDuckdb, duckdbTable } from './append-peers.ts'
import { secondsOf, type Benchmark, type Contender, type Scale, type Target } from './harness.ts'
import { inBatches, makeRecords, RECORD_BYTES, type BenchRecord } from './records.ts'
import { makeTempDirectory } from './temp-directory.ts'

const COUNTS: Readonly<Record<Scale, number>> = { full: 1_000_000, quick: 200_000, tiny: 2_500 }
const APPEND_RECORDS = 10_000

/** One percent of the records, by time, in the middle. */
function onePercent(records: readonly BenchRecord[]): readonly [string, string] {
  const at = (fraction: number): string =>
    new Date(records[Math.floor(records.length * fraction)]?.ts ?? 0).toISOString().replace('Z', '')
  return [at(0.5), at(0.51)]
}

function queriesOver(records: readonly BenchRecord[]): Readonly<Record<string, string>> {
  const [since, until] = onePercent(records)
  return {
    'group by event':
      'SELECT event, count(*) AS n, round(avg(price), 4) AS mean FROM events GROUP BY event ORDER BY event',
    'one percent by time': `SELECT count(*) AS n, sum(amount) AS total FROM events WHERE ts >= TIMESTAMP '${since}' AND ts < TIMESTAMP '${until}'`,
    'top 10': 'SELECT key, amount, price FROM events ORDER BY amount DESC, key, text LIMIT 10',
    like: "SELECT count(*) AS n FROM events WHERE text LIKE '%zz%'",
    '5-minute buckets':
      'SELECT time_bucket(INTERVAL 5 MINUTE, ts)::VARCHAR AS bucket, count(*) AS n FROM events GROUP BY 1 ORDER BY 1 LIMIT 100',
  }
}

const AGAINST_PARQUET: Target = { floor: 1 / 3, goal: 1 / 1.5 }
const AGAINST_POLARS: Target = { floor: 1 / 1.5, goal: 1 }

export const sqlCold: Benchmark = {
  name: 'sql-cold',
  question: 'How long does SQL over archived segments take, on the first run and on the second?',
  async *cases(scale) {
    await using directory = await makeTempDirectory()
    const records = makeRecords(COUNTS[scale])
    const archive = await archiveRecords(directory.path, records)
    await using duckdb = await openParquet(directory.path, records)
    const common = { unit: 'ms', higherIsBetter: false, missing: [], limit: readLimit(records) }
    for (const [name, sql] of Object.entries(queriesOver(records))) {
      const checksum = await duckdb.oracle(sql)
      const parquet = duckdb.contender(sql)
      if (name === 'group by event') {
        yield {
          ...common,
          name: `${name}, first run`,
          targets: { 'polars on the same files': AGAINST_POLARS },
          checksum,
          ours: ours(archive, sql, 'first'),
          peers: [parquet, polarsGroupBy(archive.files)],
        }
      }
      yield {
        ...common,
        name: `${name}, second run`,
        targets: { 'DuckDB on Parquet': AGAINST_PARQUET },
        checksum,
        ours: ours(archive, sql, 'second'),
        peers: [parquet],
      }
    }
  },
}

interface Archive {
  readonly dataDir: string
  readonly url: string
  /** The segment objects, each a whole Arrow file. */
  readonly files: readonly string[]
}

/** Appends the records and leaves them in the archive only, then shuts the engine down. */
async function archiveRecords(folder: string, records: readonly BenchRecord[]): Promise<Archive> {
  const dataDir = join(folder, 'data')
  const objects = join(folder, 'archive')
  const url = `file://${objects}`
  await using db = await Stratalog.open({ dataDir, archive: url })
  const log = await db.createLog('events', {
    timeColumn: 'ts',
    storage: { mode: 'hybrid', memoryTtl: 0, diskAfter: 0, archiveAfter: 0, diskTtl: 0 },
  })
  for (const batch of inBatches(records, APPEND_RECORDS)) await log.append(batch)
  await db.tier.now({ to: 'object' })
  await leaveUpperTiers(db)
  const files = readdirSync(objects, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.arrow'))
    .map((entry) => join(entry.parentPath, entry.name))
  return { dataDir, url, files }
}

/** Rounds of the scheduler until the archive has the only copy; each round takes what the one before made possible. */
async function leaveUpperTiers(db: Stratalog): Promise<void> {
  for (let round = 0; round < 10; round++) {
    const copies = db
      .status()
      .logs.flatMap(({ partitions }) => partitions.map(({ tiers }) => tiers))
    if (copies.every(({ memory, disk }) => memory.records + disk.records === 0)) return
    await db.tier.run()
  }
  throw new Error('Ten rounds of tiering left records above the archive.')
}

/** A fresh engine for every measurement; `second` runs the query once before the clock starts. */
function ours(archive: Archive, sql: string, run: 'first' | 'second'): Contender {
  return {
    name: 'ours',
    async measure() {
      await using db = await Stratalog.open({ dataDir: archive.dataDir, archive: archive.url })
      if (run === 'second') await (await db.query(sql)).toArray()
      let rows: readonly unknown[] = []
      const seconds = await secondsOf(async () => {
        rows = await (await db.query(sql)).toArray()
      })
      return { value: seconds * 1_000, checksum: rowsChecksum(rows) }
    },
  }
}

interface ParquetPeer extends AsyncDisposable {
  /** The answer of DuckDB's own table, which never went through our writer or reader. */
  oracle(sql: string): Promise<string>
  contender(sql: string): Contender
}

async function openParquet(folder: string, records: readonly BenchRecord[]): Promise<ParquetPeer> {
  const file = join(folder, 'events.parquet')
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(duckdbTable)
  await appendToDuckdb(connection, inBatches(records, APPEND_RECORDS))
  await connection.run('ALTER TABLE events ALTER ts TYPE TIMESTAMP USING epoch_ms(ts)')
  await connection.run(`COPY events TO '${file}' (FORMAT parquet)`)
  return {
    oracle: async (sql) => rowsChecksum(await rowsOf(connection, sql)),
    contender: (sql) => ({
      name: 'DuckDB on Parquet',
      async measure() {
        const bare = await DuckDBInstance.create(':memory:')
        const own = await bare.connect()
        await own.run(`CREATE VIEW events AS FROM '${file}'`)
        await rowsOf(own, sql)
        let rows: readonly unknown[] = []
        const seconds = await secondsOf(async () => {
          rows = await rowsOf(own, sql)
        })
        own.closeSync()
        bare.closeSync()
        return { value: seconds * 1_000, checksum: rowsChecksum(rows) }
      },
    }),
    async [Symbol.asyncDispose]() {
      connection.closeSync()
      instance.closeSync()
    },
  }
}

async function rowsOf(connection: DuckDBConnection, sql: string): Promise<readonly unknown[]> {
  return (await connection.runAndReadAll(sql)).getRowObjectsJS()
}

/** Reads the files and answers `group by event`, as a fresh process would. */
function polarsGroupBy(files: readonly string[]): Contender {
  const price = polars.col('price')
  return {
    name: 'polars on the same files',
    async measure() {
      let rows: readonly unknown[] = []
      const seconds = await secondsOf(() => {
        const frames = files.map((file) =>
          polars.readIPC(readFileSync(file), { columns: ['event', 'price'] }),
        )
        rows = polars
          .concat(frames)
          .groupBy('event')
          .agg(price.count().alias('n'), price.mean().round(4).alias('mean'))
          .sort('event')
          .toRecords()
      })
      return { value: seconds * 1_000, checksum: rowsChecksum(rows) }
    },
  }
}

/** The bytes of all records, passed over once in memory. Only a query that prunes can be faster. */
function readLimit(records: readonly BenchRecord[]): Contender {
  return {
    name: 'one pass over the bytes',
    async measure() {
      const bytes = Buffer.alloc(records.length * RECORD_BYTES, 1)
      let found = 0
      const seconds = await secondsOf(() => {
        found = bytes.indexOf(2)
      })
      return { value: found < 0 ? seconds * 1_000 : 0, checksum: null }
    },
  }
}

/** Rows as text, numbers of every kind alike. */
function rowsChecksum(rows: readonly unknown[]): string {
  return JSON.stringify(rows, (_, value: unknown) =>
    typeof value === 'bigint' || typeof value === 'number' ? String(value) : value,
  )
}
