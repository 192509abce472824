/** Where records go in each format: text as it comes, Arrow as a stream, tables and Parquet when all is there. */
import { formatCount } from '../../base/units.ts'
import type { Field } from '../../format/schema.ts'
import { type RecordChunk, toNdjson } from '../../query/ndjson.ts'
import { type Session, note } from '../session.ts'
import type { FieldChunk, OutputFormat, RecordOutput } from './output-format.ts'
import { renderTable } from './table.ts'
import { csvHeader, toCells, toCsv } from '../../query/text-records.ts'

/** Rows that a table shows: more than a screen, less than would hide the rest of the session. */
const TABLE_ROWS_MAX = 1_000

export async function openRecordOutput(
  format: OutputFormat,
  session: Session,
): Promise<RecordOutput> {
  switch (format) {
    case 'ndjson':
      return ndjsonOutput(session)
    case 'csv':
      return csvOutput(session)
    case 'table':
      return tableOutput(session)
    case 'arrow':
      return (await import('./arrow-records.ts')).arrowOutput(session)
    case 'parquet':
      return (await import('./parquet-records.ts')).parquetOutput(session)
  }
}

function namesOf(fields: readonly Field[]): readonly string[] {
  return fields.map((field) => field.name)
}

function named(chunk: FieldChunk): RecordChunk {
  const { columns, length, sqlTypes } = chunk
  return {
    names: namesOf(chunk.fields),
    columns,
    length,
    ...(sqlTypes === undefined ? {} : { sqlTypes }),
  }
}

function ndjsonOutput(session: Session): RecordOutput {
  return {
    write: async (chunk) => await session.terminal.write(toNdjson(named(chunk))),
    end: async () => {},
  }
}

function csvOutput(session: Session): RecordOutput {
  let hasHeader = false
  const header = async (fields: readonly Field[]): Promise<void> => {
    if (!hasHeader) await session.terminal.write(csvHeader(namesOf(fields)))
    hasHeader = true
  }
  return {
    write: async (chunk) => {
      await header(chunk.fields)
      await session.terminal.write(toCsv(named(chunk)))
    },
    end: header,
  }
}

const NUMERIC = /^(u?int\d+|float\d+|decimal)/

function tableOutput(session: Session): RecordOutput {
  let columns: readonly Field[] | null = null
  let count = 0
  const rows: Array<Array<string | null>> = []
  return {
    write: async (chunk) => {
      columns ??= chunk.fields
      count += chunk.length
      const left = TABLE_ROWS_MAX - rows.length
      if (left > 0) rows.push(...toCells(named(chunk), left))
    },
    end: async (fields) => {
      const shown = (columns ?? fields).map(({ name, type }) => ({
        name,
        align: NUMERIC.test(type) ? ('right' as const) : ('left' as const),
      }))
      await session.terminal.write(renderTable(shown, rows))
      if (count > rows.length) {
        note(
          session,
          `… and ${formatCount(count - rows.length)} more; see all of them with --format csv or --format ndjson.`,
        )
      }
    },
  }
}
