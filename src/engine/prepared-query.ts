import type { QueryParameters } from '../base/query-parameters.ts'
import type { CheckedStatement, ResultColumn } from '../query/protocol.ts'
import type { QueryOptions } from './query-options.ts'

/**
 * A statement that was checked. It can be run any number of times, also at once, and holds nothing open; each time it
 * sees the logs as they are then, whose columns may have changed.
 *
 * @example
 * const ofUser = await db.prepare('SELECT event, count(*) AS n FROM clicks WHERE user_id = $1 GROUP BY event')
 * console.log(await (await ofUser.query([7])).toArray())
 */
export class PreparedQuery<Result> {
  readonly sql: string
  /** Names of its parameters; of those without a name their places, from 1. */
  readonly parameters: readonly string[]
  /** As they were when it was prepared; null where its parameters keep DuckDB from knowing them, and of an EXPLAIN. */
  readonly columns: readonly ResultColumn[] | null
  readonly #run: RunQuery<Result>

  constructor(sql: string, { parameters, columns }: CheckedStatement, run: RunQuery<Result>) {
    this.sql = sql
    this.parameters = parameters
    this.columns = columns
    this.#run = run
  }

  /** As `Stratalog.query` with this statement. @throws StratalogError as that does. */
  query(parameters: QueryParameters = [], options: QueryOptions = {}): Promise<Result> {
    return this.#run(this.sql, parameters, options)
  }
}

export type RunQuery<Result> = (
  sql: string,
  parameters: QueryParameters,
  options: QueryOptions,
) => Promise<Result>
