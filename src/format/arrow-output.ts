/**
 * Records as Arrow: an IPC stream by our own writer, uncompressed, and a Table of the npm package
 * apache-arrow.
 */
import type { Table } from 'apache-arrow'
import { END_OF_STREAM, encodeBatch, encodeSchema, writtenColumn } from './arrow-message.ts'
import { flattenColumn } from './column-concat.ts'
import type { ColumnData } from './column.ts'
import type { Field } from './schema.ts'

/** What a stream takes of a record batch: columns in the order of the stream's fields. */
export interface ColumnRows {
  readonly columns: readonly ColumnData[]
  readonly length: number
}

/** How an Arrow IPC stream ends. */
export const ARROW_STREAM_END: Uint8Array = END_OF_STREAM

/** How an Arrow IPC stream of these columns begins. */
export function encodeStreamSchema(fields: readonly Field[]): Uint8Array {
  return encodeSchema(fields)
}

/**
 * One batch of an Arrow IPC stream. Dictionaries are written out, since a stream would have to say
 * them before.
 */
export function encodeStreamBatch(rows: ColumnRows): Uint8Array {
  const columns = rows.columns.map((column) => writtenColumn(flattenColumn(column)))
  return encodeBatch(columns, rows.length, { compress: false }).bytes
}

/** A whole Arrow IPC stream, piece by piece. */
export function* encodeIpcStream(
  fields: readonly Field[],
  batches: Iterable<ColumnRows>,
): Generator<Uint8Array, void, void> {
  yield encodeStreamSchema(fields)
  for (const batch of batches) yield encodeStreamBatch(batch)
  yield ARROW_STREAM_END
}

/** The same records as an Arrow table. Loads apache-arrow on first use. */
export async function toArrowTable(
  fields: readonly Field[],
  batches: Iterable<ColumnRows>,
): Promise<Table> {
  const { tableFromIPC } = await import('apache-arrow')
  return tableFromIPC([...encodeIpcStream(fields, batches)])
}
