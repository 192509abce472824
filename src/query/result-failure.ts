/**
 * Whether a streamed result ended because its statement failed. DuckDB's bindings end such a result as they end a
 * whole one, with a chunk of no rows, and keep the reason to themselves; what the result says of its kind tells the two
 * apart. Whoever reads to the end asks here, or takes a part of the rows for all of them.
 */
import { type DuckDBResult, ResultReturnType } from '@duckdb/node-api'

export function hasFailed(result: DuckDBResult): boolean {
  return result.returnType === ResultReturnType.INVALID
}
