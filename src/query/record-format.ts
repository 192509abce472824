/** The formats of records as a file or an answer, and what makes one. */
import type { ColumnData } from '../format/column.ts'
import type { Field } from '../format/schema.ts'

export type RecordFormat = 'ndjson' | 'json' | 'csv' | 'arrow' | 'arrow-file' | 'parquet'

/** Records as columns; `columns[i]` belongs to `fields[i]` and, from a query, has the SQL type `sqlTypes[i]`. */
export interface FieldChunk {
  readonly fields: readonly Field[]
  readonly sqlTypes?: readonly string[]
  readonly columns: readonly ColumnData[]
  readonly length: number
}

export type Encoded = string | Uint8Array

/** `begin` once, then every chunk, then `end`; what they give, in this order, is the file. */
export interface RecordEncoder {
  begin(fields: readonly Field[]): Encoded
  /** The fields are those that it began with. */
  chunk(chunk: FieldChunk): Encoded | Promise<Encoded>
  end(): Encoded | Promise<Encoded>
}
