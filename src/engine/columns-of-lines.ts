/**
 * Lines of JSON as columns of a schema that is known: what most bodies and files are, one shape over and over. Pure, so
 * that a thread of its own can run it.
 */
import { isUtf8 } from 'node:buffer'
import { createColumnBuilder } from '../format/column-builder.ts'
import type { BufferSource, ColumnSize } from '../format/growing-column.ts'
import { type RowWriter, WRITTEN_ROWS_MAX, rowWriter } from '../format/row-writer.ts'
import type { Field } from '../format/schema.ts'
import type { ColumnInput } from '../log/row-appender.ts'
import { type JsonRecord, parseJsonRecord } from './json-record.ts'

export interface LineColumns {
  readonly records: ColumnInput
  /** What the columns came to, so that the next ones begin with buffers that are big enough. */
  readonly sizes: readonly ColumnSize[]
}

/** Null where a line needs a closer look, as it is no record of just these fields, and where there is none. */
export function columnsOfLines(
  bytes: Uint8Array<ArrayBuffer>,
  fields: readonly Field[],
  source: BufferSource,
  expected: readonly ColumnSize[] = [],
): LineColumns | null {
  const writer = rowWriter(fields)
  const rows = writer === null || !isUtf8(bytes) ? null : recordsOf(bytes)
  if (writer === null || rows === null || rows.length === 0) return null
  const builders = fields.map(({ type }, index) =>
    createColumnBuilder(type, source, expected[index]),
  )
  if (!writeAll(writer, builders, rows)) return null
  return {
    records: {
      fields,
      columns: builders.map((builder) => builder.slice(0, rows.length)),
      length: rows.length,
    },
    sizes: builders.map((builder) => builder.size()),
  }
}

function recordsOf(bytes: Uint8Array<ArrayBuffer>): readonly JsonRecord[] | null {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()
  const records: JsonRecord[] = []
  for (const line of text.split('\n')) {
    if (line.charCodeAt(0) !== OPENING_BRACE && line.trim() === '') continue
    const parsed = parseJsonRecord(line)
    if (!('record' in parsed)) return null
    records.push(parsed.record)
  }
  return records
}

const OPENING_BRACE = 0x7b

function writeAll(
  writer: RowWriter,
  builders: Parameters<RowWriter['writeRows']>[0],
  rows: readonly JsonRecord[],
): boolean {
  for (let start = 0; start < rows.length; start += WRITTEN_ROWS_MAX) {
    const end = Math.min(start + WRITTEN_ROWS_MAX, rows.length)
    if (!writer.writeRows(builders, rows, start, end)) return false
  }
  return true
}
