/** Records as NDJSON and as CSV (RFC 4180), a chunk of columns at a time. */
import type { ColumnData } from '../../format/column.ts'
import { jsonValueReader } from '../../query/result-values.ts'

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

export function csvHeader(names: readonly string[]): string {
  return `${names.map(csvCell).join(',')}\r\n`
}

/** A null is an empty cell; an empty text is a quoted one. */
export function toCsv(chunk: RecordChunk): string {
  const readers = valueReaders(chunk)
  let lines = ''
  for (let row = 0; row < chunk.length; row++) {
    for (let index = 0; index < readers.length; index++) {
      lines += (index === 0 ? '' : ',') + csvCell(textOf(readers[index]?.(row)))
    }
    lines += '\r\n'
  }
  return lines
}

/** Every cell of the first `rowsMax` rows as text; null stays null. */
export function toCells(chunk: RecordChunk, rowsMax: number): Array<Array<string | null>> {
  const readers = valueReaders(chunk)
  return Array.from({ length: Math.min(chunk.length, rowsMax) }, (_, row) =>
    readers.map((read) => textOf(read(row))),
  )
}

function valueReaders({ columns, sqlTypes }: RecordChunk): ReadonlyArray<(row: number) => unknown> {
  return columns.map((column, index) => jsonValueReader(column, sqlTypes?.[index] ?? ''))
}

function textOf(value: unknown): string | null {
  if (value === null || value === undefined) return null
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function csvCell(text: string | null): string {
  if (text === null) return ''
  return text === '' || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
