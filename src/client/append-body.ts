/** What an append is given, as the body of a request. */
import { StratalogError } from '../base/errors.ts'
import { toWire } from '../base/wire-value.ts'

export interface AppendBody {
  readonly contentType: string
  /** Lines of NDJSON, each with its line feed; or Arrow IPC. */
  readonly bytes: string | Uint8Array<ArrayBuffer>
  readonly count: number
  /** The records, where they are rows. */
  readonly rows: readonly object[] | null
}

const NDJSON = 'application/x-ndjson'
/** Some values are tagged: base/wire-value.ts. */
const TAGGED = 'application/vnd.stratalog.records+ndjson'
const ARROW = 'application/vnd.apache.arrow.stream'

/** As records they would be empty ones, without a word. */
const NO_RECORDS = [Promise, Map, Set, Date] as const

/** @throws StratalogError `record_invalid`, `schema_mismatch` for what no column holds, `input_invalid`. */
export async function appendBody(records: object | readonly object[]): Promise<AppendBody> {
  if (Array.isArray(records)) return rowsBody(records as readonly object[])
  if (isArrow(records)) return arrowBody(records)
  return rowsBody([records])
}

function rowsBody(rows: readonly object[]): AppendBody {
  let isTagged = false
  const lines = rows.map((row, index) => {
    assertRecord(row, index)
    const made = toWire(row)
    isTagged ||= made !== row
    return `${JSON.stringify(made)}\n`
  })
  return {
    contentType: isTagged ? TAGGED : NDJSON,
    bytes: lines.join(''),
    count: rows.length,
    rows,
  }
}

function assertRecord(row: unknown, index: number): void {
  const isObject = typeof row === 'object' && row !== null && !Array.isArray(row)
  if (isObject && !NO_RECORDS.some((made) => row instanceof made)) return
  throw new StratalogError(
    'record_invalid',
    `Record ${index} is not an object; a record is { column: value, … }.`,
    { details: { row: index } },
  )
}

interface ArrowLike {
  readonly numRows: number
  readonly schema: object
}

/** A Table or a RecordBatch of `apache-arrow`, of whichever copy of it. */
function isArrow(records: object): records is ArrowLike {
  const { numRows, schema, data, batches } = records as Readonly<Record<string, unknown>>
  const isSchema = typeof schema === 'object' && schema !== null && 'fields' in schema
  return isSchema && typeof numRows === 'number' && (data !== undefined || Array.isArray(batches))
}

async function arrowBody(records: ArrowLike): Promise<AppendBody> {
  // Who has a table has the package.
  const { RecordBatch, Table, tableToIPC } = await import('apache-arrow')
  const table = records instanceof RecordBatch ? new Table([records]) : (records as never)
  const bytes = tableToIPC(table, 'stream') as Uint8Array<ArrayBuffer>
  return { contentType: ARROW, bytes, count: records.numRows, rows: null }
}
