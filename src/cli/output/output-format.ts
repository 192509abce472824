/** The formats of records that go out, and what takes the records. */
import type { Field } from '../../format/schema.ts'
import type { FieldChunk } from '../../query/record-format.ts'
import type { Terminal } from '../terminal.ts'

export type OutputFormat = 'table' | 'ndjson' | 'csv' | 'arrow' | 'parquet'

/** Where the bytes go: standard output, or a file. */
export type ByteSink = Pick<Terminal, 'write'>

export interface RecordOutput {
  write(chunk: FieldChunk): Promise<void>
  /** `fields` are what the output has when no chunk came. */
  end(fields: readonly Field[]): Promise<void>
}
