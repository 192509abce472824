/**
 * The peers of the append benchmarks, each with its own best settings: one transaction a batch, prepared statements,
 * columnar chunks where the peer takes them.
 */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { DuckDBDataChunk, DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api'
import { open as openLmdb } from 'lmdb'
import type { AppendLoad } from './append-load.ts'
import { secondsOf, type Contender, type Sample } from './harness.ts'
import { Checksum, checksumOf, type BenchRecord } from './records.ts'
import { makeTempDirectory } from './temp-directory.ts'

/** Copies the objects, as every other contender does: a store that keeps its caller's objects sees them change. */
export function arrayPeer(load: AppendLoad): Contender {
  return {
    name: 'array of objects',
    async measure() {
      const kept: BenchRecord[] = []
      const seconds = await secondsOf(() => {
        for (const batch of load.batches) for (const record of batch) kept.push({ ...record })
      })
      return sample(load, seconds, checksumOf(kept))
    },
  }
}

/** Pushes what it was given: the least that any code can do, and no store. Shown for scale, without a target. */
export function referencesPeer(load: AppendLoad): Contender {
  return {
    name: 'array of references',
    async measure() {
      const kept: BenchRecord[] = []
      const seconds = await secondsOf(() => {
        for (const batch of load.batches) for (const record of batch) kept.push(record)
      })
      return sample(load, seconds, checksumOf(kept))
    },
  }
}

const SQLITE_TABLE =
  'CREATE TABLE events (id INTEGER PRIMARY KEY, ts INTEGER, key TEXT, amount INTEGER, price REAL, event TEXT, text TEXT)'
const SQLITE_INSERT =
  'INSERT INTO events (ts, key, amount, price, event, text) VALUES (?, ?, ?, ?, ?, ?)'

export function sqlitePeer(load: AppendLoad, place: 'memory' | 'durable'): Contender {
  return {
    name: place === 'memory' ? 'node:sqlite in memory' : 'node:sqlite WAL FULL',
    async measure() {
      await using directory = await makeTempDirectory()
      const database = new DatabaseSync(
        place === 'memory' ? ':memory:' : join(directory.path, 'bench.sqlite'),
      )
      if (place === 'durable') database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
      database.exec(SQLITE_TABLE)
      const insert = database.prepare(SQLITE_INSERT)
      const seconds = await secondsOf(() => {
        for (const batch of load.batches) {
          database.exec('BEGIN')
          for (const { ts, key, amount, price, event, text } of batch) {
            insert.run(ts, key, amount, price, event, text)
          }
          database.exec('COMMIT')
        }
      })
      const checksum = sqliteChecksum(database)
      database.close()
      return sample(load, seconds, checksum)
    },
  }
}

/** Each record a statement of its own, committed when it returns; `measured` is what the insertions are timed by. */
export function sqliteSinglePeer(
  measured: (insert: (record: BenchRecord) => void) => number,
): Contender {
  return {
    name: 'node:sqlite in memory',
    measure: async () => {
      const database = new DatabaseSync(':memory:')
      database.exec(SQLITE_TABLE)
      const statement = database.prepare(SQLITE_INSERT)
      const value = measured(({ ts, key, amount, price, event, text }) => {
        statement.run(ts, key, amount, price, event, text)
      })
      const checksum = sqliteChecksum(database)
      database.close()
      return { value, checksum }
    },
  }
}

function sqliteChecksum(database: DatabaseSync): string {
  const rows = database.prepare('SELECT * FROM events ORDER BY id').iterate()
  return checksumOf(rows as Iterable<unknown> as Iterable<BenchRecord>)
}

/** In memory it commits without syncing; durable it syncs each commit before the next begins. */
export function lmdbPeer(load: AppendLoad, place: 'memory' | 'durable'): Contender {
  return {
    name: place === 'memory' ? 'lmdb nosync' : 'lmdb sync',
    async measure() {
      await using directory = await makeTempDirectory()
      const database = openLmdb<BenchRecord, number>({
        path: join(directory.path, 'bench.mdb'),
        keyEncoding: 'uint32',
        noSync: place === 'memory',
        overlappingSync: false,
      })
      let next = 0
      const seconds = await secondsOf(() => {
        for (const batch of load.batches) {
          database.transactionSync(() => {
            for (const record of batch) database.putSync(next++, record, { append: true })
          })
        }
      })
      const checksum = new Checksum()
      for (const { value } of database.getRange()) checksum.add(value)
      await database.close()
      return sample(load, seconds, checksum.value())
    },
  }
}

const DUCKDB_TABLE =
  'CREATE TABLE events (ts BIGINT, key VARCHAR, amount INTEGER, price DOUBLE, event VARCHAR, text VARCHAR)'

/** DuckDB takes chunks of at most this many rows. */
const DUCKDB_CHUNK_ROWS = 2_048

export function duckdbPeer(load: AppendLoad, place: 'memory' | 'durable'): Contender {
  return {
    name: place === 'memory' ? 'DuckDB appender' : 'DuckDB file',
    async measure() {
      await using directory = await makeTempDirectory()
      const path = place === 'memory' ? ':memory:' : join(directory.path, 'bench.duckdb')
      const instance = await DuckDBInstance.create(path)
      const connection = await instance.connect()
      await connection.run(DUCKDB_TABLE)
      const seconds = await secondsOf(() => appendToDuckdb(connection, load.batches))
      const reader = await connection.runAndReadAll('SELECT * FROM events ORDER BY rowid')
      const checksum = checksumOf(
        reader.getRowObjectsJS().map((row) => ({ ...row, ts: Number(row['ts']) }) as BenchRecord),
      )
      connection.closeSync()
      instance.closeSync()
      return sample(load, seconds, checksum)
    },
  }
}

/** One appender, flushed after each batch, which is what makes the batch visible and, in a file, durable. */
export async function appendToDuckdb(
  connection: DuckDBConnection,
  batches: AppendLoad['batches'],
): Promise<void> {
  const appender = await connection.createAppender('events')
  const types = Array.from({ length: appender.columnCount }, (_, index) =>
    appender.columnType(index),
  )
  for (const batch of batches) {
    for (let start = 0; start < batch.length; start += DUCKDB_CHUNK_ROWS) {
      const rows = batch.slice(start, start + DUCKDB_CHUNK_ROWS)
      const chunk = DuckDBDataChunk.create(types)
      chunk.setColumns([
        rows.map(({ ts }) => BigInt(ts)),
        rows.map(({ key }) => key),
        rows.map(({ amount }) => amount),
        rows.map(({ price }) => price),
        rows.map(({ event }) => event),
        rows.map(({ text }) => text),
      ])
      appender.appendDataChunk(chunk)
    }
    appender.flushSync()
  }
  appender.closeSync()
}

export const duckdbTable: string = DUCKDB_TABLE

function sample(load: AppendLoad, seconds: number, checksum: string): Sample {
  return { value: load.count / seconds, checksum }
}
