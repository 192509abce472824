/** Where records go in each format: as they come, and as a table when all is there. */
import { formatCount } from '../../base/units.ts'
import type { Field } from '../../format/schema.ts'
import { named, openRecordEncoder } from '../../query/record-encoder.ts'
import type { RecordEncoder } from '../../query/record-format.ts'
import { toCells } from '../../query/text-records.ts'
import { type Session, note } from '../session.ts'
import type { ByteSink, OutputFormat, RecordOutput } from './output-format.ts'
import { renderTable } from './table.ts'

/** Rows that a table shows: more than a screen, less than would hide the rest of the session. */
const TABLE_ROWS_MAX = 1_000

export async function openRecordOutput(
  format: OutputFormat,
  session: Session,
): Promise<RecordOutput> {
  if (format === 'table') return tableOutput(session)
  return encodedOutput(await openRecordEncoder(format), session.terminal)
}

/** A file of a format, piece by piece. */
export function encodedOutput(encoder: RecordEncoder, sink: ByteSink): RecordOutput {
  let isBegun = false
  const begin = async (fields: readonly Field[]): Promise<void> => {
    if (!isBegun) await sink.write(encoder.begin(fields))
    isBegun = true
  }
  return {
    write: async (chunk) => {
      await begin(chunk.fields)
      await sink.write(await encoder.chunk(chunk))
    },
    end: async (fields) => {
      await begin(fields)
      await sink.write(await encoder.end())
    },
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
