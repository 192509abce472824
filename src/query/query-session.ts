/**
 * One query inside the worker, from its text to its last row. Steps follow main's messages; see protocol.ts.
 *
 * All of it is one DuckDB transaction: `now()` is the same when bounds are read from the plan and when rows are
 * filtered, and rolling back takes the query's views away.
 */
import {
  type DuckDBConnection,
  type DuckDBPreparedStatement,
  type DuckDBResult,
  type DuckDBType,
  StatementType,
} from '@duckdb/node-api'
import { assert, present } from '../base/assert.ts'
import { StratalogError, isStratalogError } from '../base/errors.ts'
import type { ColumnType } from '../format/schema.ts'
import { bindKnownParameters, bindParameters } from './bind-parameters.ts'
import { type RewrittenQuery, columnNames, rewrittenQuery } from './rewritten-query.ts'
import type { Database } from './database.ts'
import { toColumnType } from './duckdb-types.ts'
import { endResult } from './end-result.ts'
import type { QueryParameters } from '../base/query-parameters.ts'
import type { CheckedStatement } from '../base/prepared-query.ts'
import type { BoundTable, ResultChunk, ResultColumn, ScanSource } from './protocol.ts'
import { hasFailed } from './result-failure.ts'
import {
  type PlannedScans,
  type ScanBounds,
  nonceFor,
  scanColumnName,
  scansFromPlan,
} from './scan-bounds.ts'
import { type Statement, prepareReadOnly, readStatement } from './statement.ts'
import { shownColumns } from './table-columns.ts'
import { ScanReport, type ScanStores } from './scan-table.ts'
import { SCAN_FUNCTION, type ScanTables } from './table-scan.ts'
import { readVector } from './vector-reader.ts'

export interface ResultHeader {
  readonly columns: readonly ResultColumn[]
  readonly types: readonly ColumnType[]
}

type RewrittenForm = Pick<RewrittenQuery, 'sql' | 'placeholders'>

export class QuerySession {
  readonly report: ScanReport = new ScanReport()
  readonly #id: number
  readonly #database: Promise<Database>
  readonly #scanTables: ScanTables
  readonly #stores: ScanStores
  readonly #sql: string
  #parameters: QueryParameters = []
  #statement: Statement | null = null
  #connection: DuckDBConnection | null = null
  #tables: readonly BoundTable[] = []
  #bounds: readonly (readonly ScanBounds[] | null)[] = []
  #filters: readonly (ScanBounds | null)[] = []
  /** Of the result's columns, as the statement is written; null where only its execution tells. */
  #names: readonly string[] | null = null
  #sources: readonly (readonly ScanSource[])[] = []
  #prepared: DuckDBPreparedStatement | null = null
  #result: DuckDBResult | null = null
  #types: readonly DuckDBType[] = []
  #isCancelled = false

  constructor(
    id: number,
    database: Promise<Database>,
    scanTables: ScanTables,
    stores: ScanStores,
    sql: string,
  ) {
    this.#id = id
    this.#database = database
    this.#scanTables = scanTables
    this.#stores = stores
    this.#sql = sql
  }

  /** Checks the statement against its tables, and tells what of them it can need. */
  async bind(tables: readonly BoundTable[], parameters: QueryParameters): Promise<PlannedScans> {
    this.#parameters = parameters
    const prepared = await this.#prepareQuery(tables)
    this.#names = columnNames(prepared)
    prepared.destroySync()
    const scans = await this.#planScans()
    this.#bounds = scans.bounds
    this.#filters = scans.filters
    return scans
  }

  /** Checks the statement against its tables, and tells what it will take and give; it is not to be run. */
  async check(tables: readonly BoundTable[]): Promise<CheckedStatement> {
    const prepared = await this.#prepareQuery(tables)
    try {
      const names = this.#statement?.isExplain === true ? null : columnNames(prepared)
      return {
        parameters: Array.from({ length: prepared.parameterCount }, (_, index) =>
          prepared.parameterName(index + 1),
        ),
        columns:
          names?.map((name, index) => ({ name, type: String(prepared.columnType(index)) })) ?? null,
      }
    } finally {
      prepared.destroySync()
    }
  }

  /** Starts the execution; `sources` are by table number. */
  async run(sources: readonly (readonly ScanSource[])[]): Promise<ResultHeader> {
    const connection = present(this.#connection, 'a bound query')
    const { isExplain } = present(this.#statement, 'a bound statement')
    this.#sources = sources
    const rewritten = await this.#rewritten(connection)
    // Readable names for those who read the plan; nothing is derived from it any more.
    await this.#createViews(isExplain ? null : nonceFor(this.#sql), this.#sources)
    const result = await this.#start(connection, rewritten)
    this.#result = result
    this.#types = result.columnTypes()
    const names = (isExplain ? null : this.#names) ?? result.columnNames()
    return {
      columns: this.#types.map((type, index) => ({ name: names[index] ?? '', type: String(type) })),
      types: this.#types.map(toColumnType),
    }
  }

  /** The next rows of the result, at most 2,048; null after the last. Rejects when the statement failed on the way. */
  async next(): Promise<ResultChunk | null> {
    this.#throwIfCancelled()
    const result = present(this.#result, 'a running query')
    const chunk = await result.fetchChunk()
    this.#throwIfCancelled()
    if (chunk === null || chunk.rowCount === 0) {
      if (hasFailed(result)) throw await this.#failure()
      return null
    }
    return {
      length: chunk.rowCount,
      columns: this.#types.map((type, index) => readVector(chunk, index, type)),
    }
  }

  get isCancelled(): boolean {
    return this.#isCancelled
  }

  /** Stops the call into DuckDB that is under way, and every later step. */
  cancel(): void {
    this.#isCancelled = true
    this.#connection?.interrupt()
  }

  /**
   * Ends the query wherever it is. When this resolves DuckDB no longer touches what the query was lent.
   * A step must not be under way.
   */
  async close(): Promise<void> {
    const connection = this.#connection
    // A result that was not read to its end still has tasks that call into this thread: only a call that runs on
    // another thread can wait for them. Disconnecting by itself would wait on this one, for ever.
    if (connection !== null && this.#result !== null) await endResult(connection, this.#result)
    this.#result = null
    this.#connection = null
    if (connection !== null) {
      await connection.run('ROLLBACK').catch(() => {})
      this.#prepared?.destroySync()
      connection.disconnectSync()
    }
    for (const table of this.#tables.keys()) this.#scanTables.remove(this.#tableId(table))
  }

  /** The statement, or what it explains, over tables without records. */
  async #prepareQuery(tables: readonly BoundTable[]): Promise<DuckDBPreparedStatement> {
    const statement = readStatement(this.#sql)
    this.#statement = statement
    this.#tables = tables
    const connection = await this.#open()
    await this.#createViews(nonceFor(this.#sql), [])
    return prepareReadOnly(connection, statement.query, [StatementType.SELECT])
  }

  async #open(): Promise<DuckDBConnection> {
    assert(this.#connection === null, 'a query is bound once')
    const database = await this.#database
    this.#throwIfCancelled()
    const connection = await database.connect()
    this.#connection = connection
    await connection.run('BEGIN TRANSACTION')
    return connection
  }

  /** Makes the views by which the statement finds its tables; `nonce` hides the columns of the scans from it. */
  async #createViews(
    nonce: string | null,
    sources: readonly (readonly ScanSource[])[],
  ): Promise<void> {
    for (const [number, { name, columns, form, recordCount, grouping }] of this.#tables.entries()) {
      this.#throwIfCancelled()
      const columnNames = columns.map((column, index) =>
        nonce === null ? column.name : scanColumnName(number, index, nonce),
      )
      const id = this.#tableId(number)
      this.#scanTables.set(id, {
        query: this.#id,
        columns,
        columnNames,
        recordCount,
        sources: sources[number] ?? [],
        bounds: this.#bounds[number] ?? null,
        grouping: grouping ?? null,
        // What an engine knows of itself is no record of a log.
        report: form === 'table' ? this.report : new ScanReport(),
      })
      const inner = columnNames.map(quoted)
      const list = shownColumns(columns).map(
        (column) => `${inner[columns.indexOf(column)] ?? ''} AS ${quoted(column.name)}`,
      )
      const filter = columns.findIndex(({ origin }) => origin.kind === 'latest')
      const where = filter === -1 ? '' : ` WHERE ${inner[filter] ?? ''}`
      const select = `SELECT ${list.join(', ')} FROM ${SCAN_FUNCTION}('${id}')${where}`
      await present(this.#connection, 'a connection').run(
        form === 'table'
          ? `CREATE OR REPLACE TEMP VIEW ${quoted(name)} AS ${select}`
          : `CREATE OR REPLACE TEMP MACRO ${quoted(name)}() AS TABLE ${select}`,
      )
    }
  }

  /**
   * Runs the statement, in its rewritten form where there is one. What fails of that is run again as it was written, so
   * that the error is about what the caller wrote.
   */
  async #start(
    connection: DuckDBConnection,
    rewritten: RewrittenForm | null,
  ): Promise<DuckDBResult> {
    if (rewritten !== null) {
      const { sql, placeholders } = rewritten
      try {
        this.#prepared = await this.#prepare(connection, sql)
        bindKnownParameters(this.#prepared, this.#parameters, placeholders)
        this.#throwIfCancelled()
        return await this.#prepared.stream()
      } catch (error) {
        this.#throwIfCancelled()
        if (this.report.error !== null) throw error
        this.#prepared?.destroySync()
        await connection.run('ROLLBACK')
        await connection.run('BEGIN TRANSACTION')
        await this.#createViews(nonceFor(this.#sql), this.#sources)
      }
    }
    this.#prepared = await this.#prepare(connection, this.#sql)
    bindParameters(this.#prepared, this.#parameters)
    this.#throwIfCancelled()
    return this.#prepared.stream()
  }

  #prepare(connection: DuckDBConnection, sql: string): Promise<DuckDBPreparedStatement> {
    const { isExplain } = present(this.#statement, 'a bound statement')
    return prepareReadOnly(connection, sql, [
      isExplain ? StatementType.EXPLAIN : StatementType.SELECT,
    ])
  }

  /** The statement in a form that is faster, whose tables are added to the query's; null where there is none. */
  async #rewritten(connection: DuckDBConnection): Promise<RewrittenForm | null> {
    const { query, isExecuted } = present(this.#statement, 'a bound statement')
    if (!isExecuted) return null
    const [tables, sources, filters] = [this.#tables, this.#sources, this.#filters]
    const nonce = nonceFor(this.#sql)
    const form = await rewrittenQuery(
      connection,
      { sql: query, nonce, tables, sources, filters, names: this.#names },
      this.#stores,
    )
    if (form === null) return null
    this.#names = form.names
    this.#tables = [...tables, ...form.tables.map(({ table }) => table)]
    this.#sources = [...sources, ...form.tables.map(({ of }) => sources[of] ?? [])]
    this.#bounds = [...this.#bounds, ...form.tables.map(({ of }) => this.#bounds[of] ?? null)]
    const sql = this.#sql.slice(0, this.#sql.length - query.length) + form.sql
    return { sql, placeholders: form.placeholders }
  }

  async #planScans(): Promise<PlannedScans> {
    this.#throwIfCancelled()
    const connection = present(this.#connection, 'a bound query')
    const statement = present(this.#statement, 'a bound statement')
    const columns = this.#tables.map((table) => table.columns)
    // To show a plan, nothing of any table is read.
    if (statement.isExplain && !statement.isExecuted)
      return { bounds: columns.map(() => []), columns: columns.map(() => []), filters: [] }
    const explain = await prepareReadOnly(connection, `EXPLAIN (FORMAT JSON) ${statement.query}`, [
      StatementType.EXPLAIN,
    ])
    try {
      bindParameters(explain, this.#parameters)
      const reader = await explain.runAndReadAll()
      return scansFromPlan(String(reader.getRows()[0]?.[1]), columns, nonceFor(this.#sql))
    } finally {
      explain.destroySync()
    }
  }

  /**
   * Why the statement failed after its first rows. A scan of ours tells; DuckDB tells only whoever asks for all rows at
   * once, so for its reason the statement runs again in a way that keeps none.
   */
  async #failure(): Promise<unknown> {
    if (this.report.error !== null) return this.report.error
    const connection = present(this.#connection, 'a running query')
    const { query } = present(this.#statement, 'a bound statement')
    try {
      await connection.run('ROLLBACK')
      await connection.run('BEGIN TRANSACTION')
      await this.#createViews(nonceFor(this.#sql), this.#sources)
      const again = await prepareReadOnly(connection, `EXPLAIN ANALYZE ${query}`, [
        StatementType.EXPLAIN,
      ])
      try {
        bindParameters(again, this.#parameters)
        await again.run()
      } finally {
        again.destroySync()
      }
    } catch (error) {
      return isStratalogError(error) ? error : withoutPlace(error)
    }
    return new StratalogError(
      'query_failed',
      'The query failed after its first rows, and did not fail when it ran again.',
    )
  }

  #tableId(table: number): string {
    return `${this.#id}/${table}`
  }

  #throwIfCancelled(): void {
    if (this.#isCancelled) throw new StratalogError('aborted', 'The query was cancelled.')
  }
}

/** The place that DuckDB shows is one in the text it was given, which here is not the caller's. */
function withoutPlace(error: unknown): Error {
  const message = error instanceof Error ? error.message : String(error)
  return new Error(message.replace(/\n+LINE \d+: [\s\S]*$/, ''), { cause: error })
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
