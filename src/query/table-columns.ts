/**
 * What a log looks like as SQL tables: `name` for all of it, `name$hot`, `name$cold`, `name$memory`, `name$disk`,
 * `name$object` for one side, and `name$latest` for the newest record of each key. A table has the user's columns in
 * the log's order, then the system columns.
 */
import type { LogView } from '../log/log-view.ts'
import type { Tier } from '../format/manifest.ts'
import {
  type ColumnType,
  type Field,
  STAMPED_TIME_COLUMN,
  timestampUnit,
} from '../format/schema.ts'
import { userFields } from '../format/schema-evolution.ts'
import type { PartialKind } from './partial-kinds.ts'
import type { TextCodes } from './text-codes.ts'

/** Where a table's column comes from. `time` is the field in µs; `key` is the key column as text. */
export type ColumnOrigin =
  | { readonly kind: 'field'; readonly field: Field }
  | { readonly kind: 'time'; readonly field: Field }
  | { readonly kind: 'key'; readonly field: Field | null }
  | { readonly kind: 'offset' }
  | { readonly kind: 'partition' }
  | { readonly kind: 'tier' }
  /** The field as codes; only in a query worker. */
  | { readonly kind: 'code'; readonly field: Field; readonly codes: TextCodes }
  /** What is known of the values of groups of records; only in a query worker. */
  | {
      readonly kind: 'partial'
      readonly partial: PartialKind
      /** Null for the number of records. */
      readonly of: Field | null
      readonly type: ColumnType
    }
  /** Whether the record is the newest of its key: what the table is filtered by, and nobody sees. */
  | { readonly kind: 'latest' }

export interface TableColumn {
  readonly name: string
  readonly origin: ColumnOrigin
}

/** A table of a statement: which log, and which of its tiers. */
export interface TableName {
  readonly log: string
  readonly tiers: readonly Tier[]
  /** Only the newest record of each key. */
  readonly isLatest: boolean
}

const ALL_TIERS: readonly Tier[] = ['memory', 'disk', 'object']

const SIDES: Readonly<Record<string, readonly Tier[]>> = {
  hot: ['memory'],
  cold: ['disk', 'object'],
  memory: ['memory'],
  disk: ['disk'],
  object: ['object'],
  latest: ALL_TIERS,
}

/** What may follow the `$`. */
export const SIDE_NAMES: readonly string[] = Object.keys(SIDES)

/** Reads `log` or `log$side`; null when what follows the `$` is no side. */
export function parseTableName(name: string): TableName | null {
  const normal = name.normalize('NFC').toLowerCase()
  const mark = normal.lastIndexOf('$')
  if (mark === -1) return { log: normal, tiers: ALL_TIERS, isLatest: false }
  const side = normal.slice(mark + 1)
  const tiers = Object.hasOwn(SIDES, side) ? SIDES[side] : undefined
  if (tiers === undefined) return null
  return { log: normal.slice(0, mark), tiers, isLatest: side === 'latest' }
}

/**
 * The columns of a log's table, the cheapest first: DuckDB reads the first one to count rows. `_offset`, `_partition`
 * and `_time` are always there; `_key` and `_tier` only when `isNamed` says that the statement names them, so that
 * `SELECT *` stays short.
 */
export function tableColumns(
  view: LogView,
  isNamed: (column: string) => boolean,
): readonly TableColumn[] {
  const { timeColumn, keyColumn } = view.definition
  const find = (name: string): Field | null =>
    view.schema.fields.find((field) => field.name === name) ?? null
  const columns: TableColumn[] = [{ name: '_partition', origin: { kind: 'partition' } }]
  for (const field of userFields(view.schema)) {
    const isTime = field.name === timeColumn && isMicrosecondTime(field.type)
    columns.push({ name: field.name, origin: { kind: isTime ? 'time' : 'field', field } })
  }
  const time = find(timeColumn ?? STAMPED_TIME_COLUMN) ?? UNSEEN_TIME
  columns.push({ name: '_offset', origin: { kind: 'offset' } })
  columns.push({ name: '_time', origin: { kind: 'time', field: time } })
  if (isNamed('_key')) {
    columns.push({
      name: '_key',
      origin: { kind: 'key', field: keyColumn === null ? null : find(keyColumn) },
    })
  }
  if (isNamed('_tier')) columns.push({ name: '_tier', origin: { kind: 'tier' } })
  return columns
}

/** As a statement sees them: the user's columns first, and none that nobody sees. */
export function shownColumns(columns: readonly TableColumn[]): readonly TableColumn[] {
  const isPartition = ({ origin }: TableColumn): boolean => origin.kind === 'partition'
  return columns
    .filter((column) => !isPartition(column) && column.origin.kind !== 'latest')
    .flatMap((column) =>
      column.origin.kind === 'offset' ? [column, ...columns.filter(isPartition)] : [column],
    )
}

/** The same, and the column that a table of the newest records is filtered by. */
export function latestColumns(
  view: LogView,
  isNamed: (column: string) => boolean,
): readonly TableColumn[] {
  const columns = tableColumns(view, isNamed)
  let name = '_latest'
  while (columns.some((column) => column.name === name)) name += '_'
  return [...columns, { name, origin: { kind: 'latest' } }]
}

/** The time of a log that has no schema yet, and so no records. */
const UNSEEN_TIME: Field = { name: STAMPED_TIME_COLUMN, type: 'timestamp[ms]', nullable: false }

/** The type of a table's column as SQL sees it. */
export function sqlColumnType(origin: ColumnOrigin): ColumnType {
  switch (origin.kind) {
    case 'field':
      return origin.field.type
    case 'time':
      return 'timestamp[us]'
    case 'offset':
      return 'int64'
    case 'partition':
      return 'int32'
    case 'code':
    case 'key':
    case 'tier':
      return 'utf8'
    case 'partial':
      return origin.type
    case 'latest':
      return 'bool'
  }
}

/** Whether a time column loses nothing as a TIMESTAMP, which counts microseconds. */
function isMicrosecondTime(type: ColumnType): boolean {
  const unit = timestampUnit(type)
  return unit !== null && unit !== 'ns'
}
