/** Writes records to a Parquet file of the user's, by a DuckDB instance of its own. */
import { DuckDBInstance } from '@duckdb/node-api'
import { StratalogError } from '../base/errors.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import type { Field } from '../format/schema.ts'
import type { SyncFileSystem } from '../storage/file-system.ts'
import { SCAN_FUNCTION, ScanReport, ScanTables } from './table-scan.ts'
import { TextArenaPool } from './text-arena.ts'

/**
 * Writes `batches`, whose schemas have `fields` or older forms of them, in order. A file of that name is replaced.
 *
 * @throws StratalogError `file_system_failed`.
 */
export async function writeParquet(
  path: string,
  fields: readonly Field[],
  batches: readonly RecordBatch[],
): Promise<void> {
  const tables = new ScanTables(NO_FILES, new TextArenaPool(), 1)
  tables.set(TABLE, {
    columns: fields.map((field) => ({ name: field.name, origin: { kind: 'field', field } })),
    columnNames: fields.map((field) => field.name),
    recordCount: batches.reduce((sum, batch) => sum + batch.length, 0),
    sources: batches.map((batch, index) => ({
      kind: 'batch',
      id: String(index),
      partition: 0,
      batch,
    })),
    bounds: null,
    report: new ScanReport(),
  })
  const instance = await DuckDBInstance.create(':memory:', { threads: '2' })
  const connection = await instance.connect()
  try {
    tables.register(connection)
    const target = `'${path.replaceAll("'", "''")}'`
    await connection.run(
      `COPY (FROM ${SCAN_FUNCTION}('${TABLE}')) TO ${target} (FORMAT parquet, COMPRESSION zstd)`,
    )
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new StratalogError('file_system_failed', `${path} cannot be written: ${message}`, {
      cause,
      details: { path },
    })
  } finally {
    connection.disconnectSync()
    tables.remove(TABLE)
    instance.closeSync()
  }
}

const TABLE = 'export'

/** Records in memory need no files. */
const refuse = (): never => {
  throw new StratalogError('internal', 'An export reads no files.')
}
const NO_FILES: SyncFileSystem = {
  open: refuse,
  rename: refuse,
  remove: refuse,
  list: refuse,
  makeDirectory: refuse,
  syncDirectory: refuse,
}
