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
import { hasFailed } from './result-failure.ts'
import { readVector } from './vector-reader.ts'

export type ScannedFormat = 'csv' | 'parquet'

/** A line of a CSV file that is no record of it. */
export interface RejectedLine {
  /** From 1. */
  readonly line: number
  readonly reason: string
  readonly text: string
}

export interface FileScanOptions {
  readonly format: ScannedFormat
  /** Called after the last chunk with each line that is no record; without it such a line is `input_invalid`. */
  readonly onRejected?: (rejected: RejectedLine) => Promise<void>
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

/** Left to itself, DuckDB passes over lines that do not fit what it guessed: here each is a record or a reject. */
const CSV_SETTINGS = `skip = 0, comment = '', quote = '"', escape = '"', strict_mode = true, null_padding = false,
  store_rejects = true`

const PARQUET_QUERY = 'SELECT * FROM read_parquet($1)'

/** What separates fields, where a header alone has to tell. */
const DELIMITER = /[,;\t|]/

/** A line may have several errors; the first of them is told. */
const REJECTED_LINES = `
  SELECT line::INTEGER, first(error_message ORDER BY coalesce(column_idx, 0)), first(coalesce(csv_line, ''))
  FROM reject_errors GROUP BY line ORDER BY line`

/**
 * The rows of a file; every line of a CSV file is one of them, its header, blank, or told to `onRejected`.
 * An empty file gives one chunk without rows, so that its fields are known.
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
  { format, signal, onRejected }: FileScanOptions,
): AsyncGenerator<FileChunk, void, undefined> {
  await connection.run("SET TimeZone = 'UTC'")
  const query = format === 'csv' ? await csvQuery(connection, path) : PARQUET_QUERY
  const result = await connection.stream(query, [path])
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
  if (hasFailed(result)) throw await failureOf(connection, query, [path])
  if (parts.length > 0 || isEmpty) yield joinChunks(fields, parts)
  if (format === 'csv') await tellRejected(connection, path, onRejected)
}

/** DuckDB tells why it stopped only whoever asks for all rows at once; this asks, and keeps none. */
async function failureOf(
  connection: DuckDBConnection,
  query: string,
  parameters: string[] = [],
): Promise<unknown> {
  try {
    await connection.run(`EXPLAIN ANALYZE ${query}`, parameters)
  } catch (error) {
    return error
  }
  return new Error('it could not be read to its end')
}

/** DuckDB takes lines that disagree for one column each; then the header's own separator decides. */
async function csvQuery(connection: DuckDBConnection, path: string): Promise<string> {
  const reader = (settings: string): string => `SELECT * FROM read_csv($1, ${settings})`
  const guessed = await connection.runAndReadAll(`DESCRIBE ${reader(CSV_SETTINGS)}`, [path])
  const names = guessed.getRowsJS().map((row) => asText(row[0]))
  const delimiter = names.length === 1 ? DELIMITER.exec(names[0] ?? '')?.[0] : undefined
  const pinned = delimiter === undefined ? '' : `, delim = '${delimiter}'`
  return reader(`${CSV_SETTINGS}${pinned}`)
}

async function tellRejected(
  connection: DuckDBConnection,
  path: string,
  onRejected: FileScanOptions['onRejected'],
): Promise<void> {
  const found = await connection.stream(REJECTED_LINES)
  for await (const rows of found.yieldRowsJs()) {
    for (const row of rows) {
      const rejected = { line: Number(row[0]), reason: asText(row[1]), text: asText(row[2]) }
      if (onRejected === undefined) throw lineInvalid(path, rejected)
      await onRejected(rejected)
    }
  }
  if (hasFailed(found)) throw await failureOf(connection, REJECTED_LINES)
}

function lineInvalid(path: string, { line, reason }: RejectedLine): StratalogError {
  return new StratalogError('input_invalid', `${path}, line ${line}: ${reason}`, {
    details: { path, line, reason },
  })
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
  return new StratalogError(code, `${path} cannot be read as ${format}: ${shortened(message)}`, {
    cause: error,
    details: { path },
  })
}

/** DuckDB adds its settings and advice about them; neither can be followed here. */
function shortened(message: string): string {
  const [told = message] = message.split(/\n\s*\n|\nThe search space|\nPossible/)
  return told.replaceAll(/\s*\n\s*/g, '; ')
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
