/** Records as CSV (RFC 4180) and as cells of a table, a chunk of columns at a time. */
import { type RecordChunk, valueReaders } from './ndjson.ts'

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

function textOf(value: unknown): string | null {
  if (value === null || value === undefined) return null
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function csvCell(text: string | null): string {
  if (text === null) return ''
  return text === '' || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
