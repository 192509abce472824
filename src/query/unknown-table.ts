/** What a statement is told that names a table which is not there: of a log, rather than of DuckDB's own tables. */
import { StratalogError, toStratalogError } from '../base/errors.ts'
import type { LogView } from '../log/log-view.ts'
import { SIDE_NAMES, parseTableName } from './table-columns.ts'

/** The error as it is, unless it is of an unknown table: of that the log's own error says more, with nearest names. */
export function unknownTableError(
  error: StratalogError,
  viewOf: (name: string) => LogView,
): StratalogError {
  const name = /^Catalog Error: Table with name (.+) does not exist!/.exec(error.message)?.[1]
  if (name === undefined) return error
  const mark = name.indexOf('$')
  try {
    const view = viewOf((mark === -1 ? name : name.slice(0, mark)).normalize('NFC').toLowerCase())
    const { name: log, keyColumn } = view.definition
    view.release()
    const table = parseTableName(name)
    if (table?.log !== log) return unknownSide(log, name, keyColumn !== null)
    return table.isLatest && keyColumn === null ? withoutKey(log) : error
  } catch (unknown) {
    return toStratalogError(unknown)
  }
}

function unknownSide(log: string, table: string, hasKey: boolean): StratalogError {
  const sides = SIDE_NAMES.filter((side) => hasKey || side !== 'latest')
  const names = [log, ...sides.map((side) => `"${log}$${side}"`)]
  return new StratalogError(
    'query_invalid',
    `Log '${log}' has no table '${table}'; its tables are ${names.join(', ')}.`,
    { details: { log, table } },
  )
}

function withoutKey(log: string): StratalogError {
  return new StratalogError(
    'query_invalid',
    `Log '${log}' has no key column, and so no table '${log}$latest': create it with keyColumn.`,
    { details: { log } },
  )
}
