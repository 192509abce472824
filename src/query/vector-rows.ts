import type duckdb from '@duckdb/node-bindings'
import type { TextArena } from './text-arena.ts'

/** Rows of a DuckDB vector; one of a list's items may have more. */
export const VECTOR_ROWS = 2048

/** Writes rows `[start, start + count)`, and adds to `arenas` those that the vector now points into. */
export type VectorWriter = (
  vector: duckdb.Vector,
  start: number,
  count: number,
  arenas: TextArena[],
) => void

/** Writes at most VECTOR_ROWS rows to row `at` of the vector, a multiple of VECTOR_ROWS. */
export type PieceWriter = (
  vector: duckdb.Vector,
  start: number,
  count: number,
  at: number,
  arenas: TextArena[],
) => void

/** Any count of rows, a piece at a time. */
export function inPieces(write: PieceWriter): VectorWriter {
  return (vector, start, count, arenas) => {
    for (let at = 0; at < count; at += VECTOR_ROWS)
      write(vector, start + at, Math.min(VECTOR_ROWS, count - at), at, arenas)
  }
}
