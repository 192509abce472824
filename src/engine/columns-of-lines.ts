/**
 * Lines of JSON as columns of a schema that is known: what most bodies and files are, one shape over and over. Pure, so
 * that a thread of its own can run it. A scanner reads what most lines are; a line that it leaves is parsed by itself.
 */
import { isUtf8 } from 'node:buffer'
import { createColumnBuilder } from '../format/column-builder.ts'
import type { BufferSource, ColumnBuilder, ColumnSize } from '../format/growing-column.ts'
import { type LineScanner, lineScanner } from '../format/line-scanner.ts'
import { type RowWriter, WRITTEN_ROWS_MAX, rowWriter } from '../format/row-writer.ts'
import type { Field } from '../format/schema.ts'
import type { ColumnInput } from '../log/row-appender.ts'
import { type JsonRecord, parseJsonRecord } from './json-record.ts'

export interface LineColumns {
  readonly records: ColumnInput
  /** Blank ones too. */
  readonly lineCount: number
}

/** For lines of one schema, after one another. */
export class ColumnsOfLines {
  readonly #fields: readonly Field[]
  readonly #writer: RowWriter | null
  readonly #scanner: LineScanner | null
  /** What the last columns came to, so that the next ones begin with buffers that are big enough. */
  #sizes: readonly ColumnSize[] = []

  constructor(fields: readonly Field[]) {
    this.#fields = fields
    this.#writer = rowWriter(fields)
    this.#scanner = lineScanner(fields)
  }

  /**
   * The columns of the lines in `bytes`, which are at the beginning of their buffer. Null where a line needs a closer
   * look, as it is no record of just these fields, and where there is none.
   */
  parse(bytes: Uint8Array, source: BufferSource): LineColumns | null {
    const writer = this.#writer
    if (writer === null || !isUtf8(bytes)) return null
    const fields = this.#fields
    const builders = fields.map(({ type }, index) =>
      createColumnBuilder(type, source, this.#sizes[index]),
    )
    const scanner = this.#scanner
    const lineCount =
      scanner === null
        ? writeAll(writer, builders, bytes)
        : scanAll(scanner, writer, builders, bytes)
    const length = builders[0]?.length ?? 0
    if (lineCount === 0 || length === 0) return null
    this.#sizes = builders.map((builder) => builder.size())
    const columns = builders.map((builder) => builder.slice(0, length))
    return { records: { fields, columns, length }, lineCount }
  }
}

/** How many lines there are; 0 where one needs a closer look. */
function scanAll(
  scanner: LineScanner,
  writer: RowWriter,
  builders: readonly ColumnBuilder[],
  bytes: Uint8Array,
): number {
  scanner.open(bytes)
  try {
    let blanks = 0
    let position = 0
    while (position < bytes.length) {
      position = scanner.scan(builders, position)
      if (position === bytes.length) break
      const newline = bytes.indexOf(NEWLINE, position)
      const end = newline === -1 ? bytes.length : newline
      const line = textOf(bytes, position, end)
      if (isBlank(line)) blanks++
      else {
        const parsed = parseJsonRecord(line)
        if (!('record' in parsed) || !writer.writeRow(builders, parsed.record)) return 0
      }
      position = end + 1
    }
    return (builders[0]?.length ?? 0) + blanks
  } finally {
    scanner.close()
  }
}

/** The same without a scanner. */
function writeAll(
  writer: RowWriter,
  builders: readonly ColumnBuilder[],
  bytes: Uint8Array,
): number {
  const rows: JsonRecord[] = []
  const lines = textOf(bytes, 0, bytes.length).split('\n')
  for (const line of lines) {
    if (isBlank(line)) continue
    const parsed = parseJsonRecord(line)
    if (!('record' in parsed)) return 0
    rows.push(parsed.record)
  }
  for (let start = 0; start < rows.length; start += WRITTEN_ROWS_MAX) {
    const end = Math.min(start + WRITTEN_ROWS_MAX, rows.length)
    if (!writer.writeRows(builders, rows, start, end)) return 0
  }
  return bytes.at(-1) === NEWLINE ? lines.length - 1 : lines.length
}

function isBlank(line: string): boolean {
  return line.charCodeAt(0) !== OPENING_BRACE && line.trim() === ''
}

function textOf({ buffer, byteOffset }: Uint8Array, start: number, end: number): string {
  return Buffer.from(buffer as ArrayBuffer, byteOffset + start, end - start).toString()
}

const OPENING_BRACE = 0x7b
const NEWLINE = 0x0a
