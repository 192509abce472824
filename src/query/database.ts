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

/** The start of the tumbling window that holds a time: what continuous queries group by, in any query. */
const TUMBLE_MACRO =
  "CREATE MACRO tumble(moment, size) AS time_bucket(size, moment, TIMESTAMP '1970-01-01')"

export class Database {
  readonly #instance: DuckDBInstance

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
    await connection.run(TUMBLE_MACRO)
    await connection.run('SET GLOBAL lock_configuration = true')
    connection.disconnectSync()
    return new Database(instance)
  }

  private constructor(instance: DuckDBInstance) {
    this.#instance = instance
  }

  connect(): Promise<DuckDBConnection> {
    return this.#instance.connect()
  }

  /** No query may be running. */
  close(): void {
    this.#instance.closeSync()
  }
}
