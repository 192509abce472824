/**
 * Ends a streamed result wherever it is. DuckDB's bindings destroy a result only when the garbage collector finds it.
 * Until then one that was not read to its end holds its database open, with all of its threads.
 */
import type { DuckDBConnection, DuckDBResult } from '@duckdb/node-api'

/** Resolves when nothing of the result is at work any more; what it had yet to give is lost. */
export async function endResult(connection: DuckDBConnection, result: DuckDBResult): Promise<void> {
  for (;;) {
    connection.interrupt()
    const chunk = await result.fetchChunk()
    if (chunk === null || chunk.rowCount === 0) return
  }
}
