/**
 * Stores that keep a batch of records as one value which they know nothing of: the least work a store can be given.
 * Each with its own best way to make one: lmdb packs the objects itself, the others get JSON.
 */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { DuckDBInstance } from '@duckdb/node-api'
import { open as openLmdb } from 'lmdb'
import { type AppendLoad, inTurns } from './append-load.ts'
import { secondsOf, type Contender } from './harness.ts'
import { Checksum, type BenchRecord } from './records.ts'
import { makeTempDirectory } from './temp-directory.ts'

export const OPAQUE = 'a batch as one value'

export function opaquePeers(load: AppendLoad, inFlight: number): readonly Contender[] {
  return [sqliteOpaque(load), lmdbOpaque(load, inFlight), duckdbOpaque(load)]
}

function sqliteOpaque(load: AppendLoad): Contender {
  return {
    name: `node:sqlite WAL FULL, ${OPAQUE}`,
    async measure() {
      await using directory = await makeTempDirectory()
      const database = new DatabaseSync(join(directory.path, 'bench.sqlite'))
      database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
      database.exec('CREATE TABLE batches (id INTEGER PRIMARY KEY, value TEXT)')
      const insert = database.prepare('INSERT INTO batches (value) VALUES (?)')
      const seconds = await secondsOf(() => {
        for (const batch of load.batches) insert.run(JSON.stringify(batch))
      })
      const rows = database.prepare('SELECT value FROM batches ORDER BY id').all()
      const checksum = checksumOfTexts(rows.map(({ value }) => value as string))
      database.close()
      return { value: load.count / seconds, checksum }
    },
  }
}

/** One commit takes whatever was put since the last one began, so those in flight share a sync. */
function lmdbOpaque(load: AppendLoad, inFlight: number): Contender {
  return {
    name: `lmdb sync, ${OPAQUE}`,
    async measure() {
      await using directory = await makeTempDirectory()
      const database = openLmdb<readonly BenchRecord[], number>({
        path: join(directory.path, 'bench.mdb'),
        keyEncoding: 'uint32',
        overlappingSync: false,
      })
      let next = 0
      const seconds = await secondsOf(() =>
        inTurns(load.batches, inFlight, (batch) => database.put(next++, batch)),
      )
      const checksum = new Checksum()
      for (const { value } of database.getRange()) for (const record of value) checksum.add(record)
      await database.close()
      return { value: load.count / seconds, checksum: checksum.value() }
    },
  }
}

function duckdbOpaque(load: AppendLoad): Contender {
  return {
    name: `DuckDB file, ${OPAQUE}`,
    async measure() {
      await using directory = await makeTempDirectory()
      const instance = await DuckDBInstance.create(join(directory.path, 'bench.duckdb'))
      const connection = await instance.connect()
      await connection.run('CREATE TABLE batches (value VARCHAR)')
      const appender = await connection.createAppender('batches')
      const seconds = await secondsOf(() => {
        for (const batch of load.batches) {
          appender.appendVarchar(JSON.stringify(batch))
          appender.endRow()
          appender.flushSync()
        }
        appender.closeSync()
      })
      const reader = await connection.runAndReadAll('SELECT value FROM batches ORDER BY rowid')
      const checksum = checksumOfTexts(reader.getRowsJS().map(([value]) => value as string))
      connection.closeSync()
      instance.closeSync()
      return { value: load.count / seconds, checksum }
    },
  }
}

function checksumOfTexts(texts: readonly string[]): string {
  const checksum = new Checksum()
  for (const text of texts)
    for (const record of JSON.parse(text) as BenchRecord[]) checksum.add(record)
  return checksum.value()
}
