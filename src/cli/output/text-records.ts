/** Records as NDJSON and as CSV (RFC 4180), a chunk of columns at a time. */
import { columnReader } from '../../format/column-values.ts'
import type { ColumnData } from '../../format/column.ts'
import { toJsonValue, toText } from './values.ts'

/** Records as columns; `columns[i]` has the name `names[i]`. */
export interface RecordChunk {
  readonly names: readonly string[]
  readonly columns: readonly ColumnData[]
  readonly length: number
}

/** One JSON object a line, columns in order; a null is written as null. */
export function toNdjson({ names, columns, length }: RecordChunk): string {
  const keys = names.map((name, index) => `${index === 0 ? '{' : ','}${JSON.stringify(name)}:`)
  const texts = columns.map(jsonTexts)
  let lines = ''
  for (let row = 0; row < length; row++) {
    for (let index = 0; index < texts.length; index++) lines += (keys[index] ?? '') + (texts[index]?.(row) ?? 'null')
    lines += texts.length === 0 ? '{}\n' : '}\n'
  }
  return lines
}

/** The rows as JSON arrays of values, without brackets around them. */
export function toJsonRows({ columns, length }: RecordChunk): string[] {
  const texts = columns.map(jsonTexts)
  const rows: string[] = []
  for (let row = 0; row < length; row++) rows.push(`[${texts.map((text) => text(row)).join(',')}]`)
  return rows
}

export function csvHeader(names: readonly string[]): string {
  return `${names.map(csvCell).join(',')}\r\n`
}

/** A null is an empty cell; an empty text is a quoted one. */
export function toCsv({ columns, length }: RecordChunk): string {
  const texts = columns.map((column) => {
    const read = columnReader(column)
    return (row: number): string => csvCell(toText(column.type, read(row)))
  })
  let lines = ''
  for (let row = 0; row < length; row++) {
    for (let index = 0; index < texts.length; index++) lines += (index === 0 ? '' : ',') + (texts[index]?.(row) ?? '')
    lines += '\r\n'
  }
  return lines
}

/** Every cell as text; null stays null. */
export function toCells({ columns, length }: RecordChunk): Array<Array<string | null>> {
  const readers = columns.map((column) => ({ type: column.type, read: columnReader(column) }))
  return Array.from({ length }, (_, row) => readers.map(({ type, read }) => toText(type, read(row))))
}

function jsonTexts(column: ColumnData): (row: number) => string {
  const read = columnReader(column)
  const { type } = column
  if (type === 'utf8') return (row) => JSON.stringify(read(row))
  return (row) => JSON.stringify(toJsonValue(type, read(row)))
}

function csvCell(text: string | null): string {
  if (text === null) return ''
  return text === '' || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
