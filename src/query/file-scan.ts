/**
 * Reads a CSV or Parquet file of the user's, for imports: by a DuckDB instance of its own, which may read files and is
 * never shared with queries. Rows come in the file's order.
 */
import { type DuckDBConnection, DuckDBInstance, type DuckDBType } from '@duckdb/node-api'
import { StratalogError, throwIfAborted } from '../base/errors.ts'
import type { ColumnData } from '../format/column.ts'
import { concatColumns, nullColumn } from '../format/column-values.ts'
import type { Field } from '../format/schema.ts'
import { toColumnType } from './duckdb-types.ts'
import { readVector } from './vector-reader.ts'

export type ScannedFormat = 'csv' | 'parquet'

export interface FileScanOptions {
  readonly format: ScannedFormat
  readonly signal?: AbortSignal
  /** DuckDB's threads; 2 by default. */
  readonly threads?: number
}

export interface FileChunk {
  /** The same object in every chunk of a file. */
  readonly fields: readonly Field[]
  readonly columns: readonly ColumnData[]
  readonly length: number
}

/** DuckDB gives 2,048 rows at a time; this many of its chunks make one of ours. */
const CHUNKS_TOGETHER = 16

const READERS: Readonly<Record<ScannedFormat, string>> = {
  csv: 'SELECT * FROM read_csv($1)',
  parquet: 'SELECT * FROM read_parquet($1)',
}

/**
 * The rows of a file. An empty file gives one chunk without rows, so that its fields are known.
 *
 * @throws StratalogError `file_not_found`, `input_invalid` for what DuckDB cannot read as that format, `aborted`.
 */
export async function* scanFile(
  path: string,
  options: FileScanOptions,
): AsyncGenerator<FileChunk, void, undefined> {
  throwIfAborted(options.signal)
  const instance = await DuckDBInstance.create(':memory:', {
    threads: String(options.threads ?? 2),
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  })
  const connection = await instance.connect()
  const interrupt = (): void => connection.interrupt()
  options.signal?.addEventListener('abort', interrupt)
  try {
    yield* readRows(connection, path, options)
  } catch (error) {
    throwIfAborted(options.signal)
    throw fileScanError(path, options.format, error)
  } finally {
    options.signal?.removeEventListener('abort', interrupt)
    connection.interrupt()
    // Waits, on another thread, for tasks of a result that was not read to its end.
    await connection.run('SELECT 1').catch(() => {})
    connection.disconnectSync()
    instance.closeSync()
  }
}

async function* readRows(
  connection: DuckDBConnection,
  path: string,
  { format, signal }: FileScanOptions,
): AsyncGenerator<FileChunk, void, undefined> {
  await connection.run("SET TimeZone = 'UTC'")
  const result = await connection.stream(READERS[format], [path])
  const types: readonly DuckDBType[] = result.columnTypes()
  const fields = result.deduplicatedColumnNames().map((name, index): Field => {
    const type = types[index]
    return { name, type: type === undefined ? 'utf8' : toColumnType(type), nullable: true }
  })
  let parts: (readonly ColumnData[])[] = []
  let isEmpty = true
  for await (const chunk of result) {
    throwIfAborted(signal)
    parts.push(types.map((type, index) => readVector(chunk, index, type)))
    if (parts.length < CHUNKS_TOGETHER) continue
    yield joinChunks(fields, parts)
    parts = []
    isEmpty = false
  }
  if (parts.length > 0 || isEmpty) yield joinChunks(fields, parts)
}

function joinChunks(
  fields: readonly Field[],
  parts: readonly (readonly ColumnData[])[],
): FileChunk {
  const columns = fields.map(({ type }, index) => {
    const pieces = parts.map((part) => part[index]).filter((column) => column !== undefined)
    return pieces.length === 0 ? nullColumn(type, 0) : concatColumns(pieces)
  })
  return { fields, columns, length: columns[0]?.length ?? 0 }
}

function fileScanError(path: string, format: ScannedFormat, error: unknown): unknown {
  if (error instanceof StratalogError) return error
  const message = error instanceof Error ? error.message : String(error)
  const code = /No files found that match/.test(message) ? 'file_not_found' : 'input_invalid'
  return new StratalogError(code, `${path} cannot be read as ${format}: ${message}`, {
    cause: error,
    details: { path },
  })
}
