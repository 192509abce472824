/** What of an input is left of an import that broke off: the append that may be there, as it was, then the rest. */
import { concatColumns } from '../../format/column-concat.ts'
import { present } from '../../base/assert.ts'
import { sliceColumn } from '../../format/column.ts'
import type { ColumnRecords } from '../append-target.ts'
import type { Unfinished } from './import-notes.ts'
import type { SourceRecord } from './log-importer.ts'

export interface Rest<T> {
  /** To be sent as one append. */
  readonly again: readonly T[]
  readonly next: readonly T[]
}

/** Of lines: by their numbers. */
export function restOfRows(
  rows: readonly SourceRecord[],
  { from, to }: Unfinished,
): Rest<SourceRecord> {
  const end = to ?? from
  if (end === 0) return { again: [], next: rows }
  return {
    again: rows.filter(({ line }) => line >= from && line < end),
    next: rows.filter(({ line }) => line >= end),
  }
}

/** Of columns, of which `start` rows came before. */
export function restOfColumns(
  chunk: ColumnRecords,
  start: number,
  { from, to }: Unfinished,
): Rest<ColumnRecords> {
  const end = to ?? from
  if (end === 0) return { again: [], next: [chunk] }
  const part = (first: number, last: number): readonly ColumnRecords[] => {
    const [a, b] = [Math.max(first - start, 0), Math.min(last - start, chunk.length)]
    if (a >= b) return []
    const columns = chunk.columns.map((column) => sliceColumn(column, a, b))
    return [{ fields: chunk.fields, columns, length: b - a }]
  }
  return { again: part(from, end), next: part(end, Infinity) }
}

export function joined(chunks: readonly ColumnRecords[]): ColumnRecords {
  const { fields } = present(chunks[0], 'a chunk')
  return {
    fields,
    columns: fields.map((_, index) =>
      concatColumns(chunks.map(({ columns }) => present(columns[index], 'a column'))),
    ),
    length: chunks.reduce((sum, { length }) => sum + length, 0),
  }
}
