import { StratalogError } from '../base/errors.ts'
import type { QueryParameters } from '../base/query-parameters.ts'
import type { CheckedStatement } from '../base/prepared-query.ts'
import type { QueryResult } from '../query/query-result.ts'
import type { QueryOptions } from '../query/query-runner.ts'

/** What runs queries, once it is loaded. */
export interface QueryService {
  query(sql: string, parameters: QueryParameters, options: QueryOptions): Promise<QueryResult>
  /** Of `options`, what says how long it may take. */
  check(sql: string, options: QueryOptions): Promise<CheckedStatement>
  close(): Promise<void>
}

/** SQL over the logs of one engine or archive. What runs it is loaded with the first query. */
export class Queries {
  readonly #open: () => Promise<QueryService>
  #service: Promise<QueryService> | null = null
  #isClosed = false

  constructor(open: () => Promise<QueryService>) {
    this.#open = open
  }

  /** @throws StratalogError as `QueryRunner.query`. */
  async query(
    sql: string,
    parameters: QueryParameters,
    options: QueryOptions,
  ): Promise<QueryResult> {
    this.#assertOpen()
    this.#service ??= this.#open()
    return (await this.#service).query(sql, parameters, options)
  }

  /** @throws StratalogError as `QueryRunner.check`. */
  async check(sql: string, options: QueryOptions): Promise<CheckedStatement> {
    this.#assertOpen()
    this.#service ??= this.#open()
    return (await this.#service).check(sql, options)
  }

  /** Ends every query; resolves when nothing reads the logs any more. */
  async close(): Promise<void> {
    this.#isClosed = true
    // What could not be opened failed its query, and has nothing to close.
    const service = await this.#service?.catch(() => null)
    await service?.close()
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new StratalogError('engine_closed', 'The engine is closed.')
  }
}
