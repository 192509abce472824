/** The DuckDB instance of a query worker: in memory, closed to the outside, its settings locked. */
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import type { DatabaseOptions } from './protocol.ts'
import type { ScanTables } from './table-scan.ts'

const CLOSED_TO_THE_OUTSIDE: Readonly<Record<string, string>> = {
  temp_directory: '',
  autoinstall_known_extensions: 'false',
  autoload_known_extensions: 'false',
  allow_community_extensions: 'false',
  enable_external_access: 'false',
}

export class Database {
  readonly #instance: DuckDBInstance
  readonly #parser: DuckDBInstance
  readonly #parserConnection: DuckDBConnection

  static async open(options: DatabaseOptions, tables: ScanTables): Promise<Database> {
    const instance = await DuckDBInstance.create(':memory:', {
      ...CLOSED_TO_THE_OUTSIDE,
      threads: String(options.threads),
      memory_limit: `${options.memoryBytesMax}B`,
    })
    const connection = await instance.connect()
    tables.register(connection)
    // Times with a zone are shown and compared in UTC, whatever the machine is set to.
    await connection.run("SET GLOBAL TimeZone = 'UTC'")
    await connection.run('SET GLOBAL lock_configuration = true')
    connection.disconnectSync()
    const parser = await DuckDBInstance.create(':memory:', { ...CLOSED_TO_THE_OUTSIDE, threads: '1' })
    const parserConnection = await parser.connect()
    await parserConnection.run('SET GLOBAL lock_configuration = true')
    return new Database(instance, parser, parserConnection)
  }

  private constructor(instance: DuckDBInstance, parser: DuckDBInstance, parserConnection: DuckDBConnection) {
    this.#instance = instance
    this.#parser = parser
    this.#parserConnection = parserConnection
  }

  connect(): Promise<DuckDBConnection> {
    return this.#instance.connect()
  }

  /**
   * The tables that a statement names, without quotes; empty for one that does not parse. DuckDB binds what it finds
   * while it looks, on this very thread, where our table function would wait for itself for ever: so a second, empty
   * instance that does not know the function is asked.
   */
  tableNames(sql: string): readonly string[] {
    return this.#parserConnection.getTableNames(sql, false)
  }

  /** No query may be running. */
  close(): void {
    this.#parserConnection.disconnectSync()
    this.#parser.closeSync()
    this.#instance.closeSync()
  }
}
