import type { QueryParameters } from './query-parameters.ts'

/** What is known of a statement that was not run. */
export interface CheckedStatement {
  /** Names of its parameters; of those without a name their places, from 1. */
  readonly parameters: readonly string[]
  /**
   * Of its result, with DuckDB's names of types. Null where its parameters keep DuckDB from knowing them, and of an
   * EXPLAIN.
   */
  readonly columns: readonly { readonly name: string; readonly type: string }[] | null
}

/**
 * A statement that was checked. It can be run any number of times, also at once, and holds nothing open; each time it
 * sees the logs as they are then, whose columns may be others than those that it was checked with.
 *
 * @example
 * const ofUser = await db.prepare('SELECT event, count(*) AS n FROM clicks WHERE user_id = $1 GROUP BY event')
 * console.log(await (await ofUser.query([7])).toArray())
 */
export class PreparedQuery<Result, Options> implements CheckedStatement {
  readonly sql: string
  readonly parameters: CheckedStatement['parameters']
  readonly columns: CheckedStatement['columns']
  readonly #run: RunQuery<Result, Options>

  constructor(
    sql: string,
    { parameters, columns }: CheckedStatement,
    run: RunQuery<Result, Options>,
  ) {
    this.sql = sql
    this.parameters = parameters
    this.columns = columns
    this.#run = run
  }

  /** As `query` of where it was prepared, with this statement. @throws StratalogError as that does. */
  query(parameters?: QueryParameters, options?: Options): Promise<Result> {
    return this.#run(this.sql, parameters, options)
  }
}

export type RunQuery<Result, Options> = (
  sql: string,
  parameters?: QueryParameters,
  options?: Options,
) => Promise<Result>
