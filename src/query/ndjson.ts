/** Records as NDJSON, a chunk of columns at a time. */
import type { ColumnData } from '../format/column.ts'
import { jsonValueReader } from './result-values.ts'

/** Records as columns; `columns[i]` has the name `names[i]` and, from a query, the SQL type `sqlTypes[i]`. */
export interface RecordChunk {
  readonly names: readonly string[]
  readonly sqlTypes?: readonly string[]
  readonly columns: readonly ColumnData[]
  readonly length: number
}

/** One JSON object a line, columns in order; a null is written as null. */
export function toNdjson(chunk: RecordChunk): string {
  const keys = chunk.names.map(
    (name, index) => `${index === 0 ? '{' : ','}${JSON.stringify(name)}:`,
  )
  const readers = valueReaders(chunk)
  let lines = ''
  for (let row = 0; row < chunk.length; row++) {
    for (let index = 0; index < readers.length; index++) {
      lines += (keys[index] ?? '') + JSON.stringify(readers[index]?.(row) ?? null)
    }
    lines += readers.length === 0 ? '{}\n' : '}\n'
  }
  return lines
}

export function valueReaders({
  columns,
  sqlTypes,
}: RecordChunk): ReadonlyArray<(row: number) => unknown> {
  return columns.map((column, index) => jsonValueReader(column, sqlTypes?.[index] ?? ''))
}
