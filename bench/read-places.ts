/** The same records in every store that the read benchmarks compare, filled once and only read after. */
import { join } from 'node:path'
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api'
import { open as openLmdb, type Database } from 'lmdb'
import { Stratalog, type Log } from '../src/index.ts'
import { appendToDuckdb, duckdbTable } from './append-peers.ts'
import { checksumOf, inBatches, makeRecords, type BenchRecord } from './records.ts'
import { makeTempDirectory } from './temp-directory.ts'

export interface ReadPlaces extends AsyncDisposable {
  readonly records: readonly BenchRecord[]
  readonly checksum: string
  readonly log: Log
  /** Keys are the positions of the records. */
  readonly lmdb: Database<BenchRecord, number>
  readonly duckdb: DuckDBConnection
}

const APPEND_RECORDS = 1_000

export async function fillReadPlaces(count: number): Promise<ReadPlaces> {
  const records = makeRecords(count)
  const disposal = new AsyncDisposableStack()
  const directory = disposal.use(await makeTempDirectory())
  const db = disposal.use(await Stratalog.memoryOnly())
  // Without a time column `ts` is a number in every store.
  const log = await db.createLog('events', { keyColumn: 'key' })
  for (const batch of inBatches(records, APPEND_RECORDS)) await log.append(batch)
  // Records of one shape are decoded by compiled code.
  const lmdb = openLmdb<BenchRecord, number>({
    path: join(directory.path, 'bench.mdb'),
    sharedStructuresKey: Symbol.for('structures'),
    noSync: true,
    overlappingSync: false,
  })
  disposal.defer(() => lmdb.close())
  lmdb.transactionSync(() => {
    for (const [index, record] of records.entries()) lmdb.putSync(index, record, { append: true })
  })
  const instance = await DuckDBInstance.create(':memory:')
  disposal.defer(() => instance.closeSync())
  const duckdb = await instance.connect()
  disposal.defer(() => duckdb.closeSync())
  await duckdb.run(duckdbTable)
  await appendToDuckdb(duckdb, inBatches(records, APPEND_RECORDS))
  return {
    records,
    checksum: checksumOf(records),
    log,
    lmdb,
    duckdb,
    [Symbol.asyncDispose]: () => disposal.disposeAsync(),
  }
}
