import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import polars from 'nodejs-polars'
import { Stratalog } from '../src/index.ts'
import { secondsOf, type Benchmark, type Contender, type Scale, type Target } from './harness.ts'
import { inBatches, makeRecords, type BenchRecord } from './records.ts'
import {
  APPEND_RECORDS,
  openDuckdbTable,
  queriesOver,
  readLimit,
  rowsChecksum,
  rowsOf,
} from './sql-questions.ts'
import { makeTempDirectory } from './temp-directory.ts'

const COUNTS: Readonly<Record<Scale, number>> = { full: 5_000_000, quick: 200_000, tiny: 2_500 }

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
  const table = await openDuckdbTable(records)
  const { connection } = table
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
    [Symbol.asyncDispose]: () => table[Symbol.asyncDispose](),
  }
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
