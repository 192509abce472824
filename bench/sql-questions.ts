/** The five questions that SQL is measured by, and what their answers are held to. */
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api'
import { appendToDuckdb, duckdbTable } from './append-peers.ts'
import { secondsOf, type Contender } from './harness.ts'
import { inBatches, RECORD_BYTES, type BenchRecord } from './records.ts'

export const APPEND_RECORDS = 10_000

/** One percent of the records, by time, in the middle. */
function onePercent(records: readonly BenchRecord[]): readonly [string, string] {
  const at = (fraction: number): string =>
    new Date(records[Math.floor(records.length * fraction)]?.ts ?? 0).toISOString().replace('Z', '')
  return [at(0.5), at(0.51)]
}

export function queriesOver(records: readonly BenchRecord[]): Readonly<Record<string, string>> {
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

/** DuckDB's own table of the records, which never went through our writer or reader. */
export async function openDuckdbTable(
  records: readonly BenchRecord[],
): Promise<{ readonly connection: DuckDBConnection } & AsyncDisposable> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(duckdbTable)
  await appendToDuckdb(connection, inBatches(records, APPEND_RECORDS))
  await connection.run('ALTER TABLE events ALTER ts TYPE TIMESTAMP USING epoch_ms(ts)')
  return {
    connection,
    async [Symbol.asyncDispose]() {
      connection.closeSync()
      instance.closeSync()
    },
  }
}

export async function rowsOf(
  connection: DuckDBConnection,
  sql: string,
): Promise<readonly unknown[]> {
  return (await connection.runAndReadAll(sql)).getRowObjectsJS()
}

/** The bytes of all records, passed over once in memory. Only a query that prunes can be faster. */
export function readLimit(records: readonly BenchRecord[]): Contender {
  // Made once: left to the garbage collector after each run, it was collected in the time of whoever is measured next.
  const bytes = Buffer.alloc(records.length * RECORD_BYTES, 1)
  return {
    name: 'one pass over the bytes',
    async measure() {
      let found = 0
      const seconds = await secondsOf(() => {
        found = bytes.indexOf(2)
      })
      return { value: found < 0 ? seconds * 1_000 : 0, checksum: null }
    },
  }
}

/** Rows as text, numbers of every kind alike. */
export function rowsChecksum(rows: readonly unknown[]): string {
  return JSON.stringify(rows, (_, value: unknown) =>
    typeof value === 'bigint' || typeof value === 'number' ? String(value) : value,
  )
}
