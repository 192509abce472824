/** The formats of records that go out, and what takes the records. */
import type { ColumnData } from '../../format/column.ts'
import type { Field } from '../../format/schema.ts'

export type OutputFormat = 'table' | 'ndjson' | 'csv' | 'arrow' | 'parquet'

/** Records as columns; `columns[i]` belongs to `fields[i]` and, from a query, has the SQL type `sqlTypes[i]`. */
export interface FieldChunk {
  readonly fields: readonly Field[]
  readonly sqlTypes?: readonly string[]
  readonly columns: readonly ColumnData[]
  readonly length: number
}

export interface RecordOutput {
  write(chunk: FieldChunk): Promise<void>
  /** `fields` are what the output has when no chunk came. */
  end(fields: readonly Field[]): Promise<void>
}
