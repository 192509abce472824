/** A query's second form, which groups by codes or asks scans for groups; see group-codes.ts and group-partials.ts. */
import type { DuckDBConnection, DuckDBPreparedStatement } from '@duckdb/node-api'
import { present } from '../base/assert.ts'
import type { ColumnData } from '../format/column.ts'
import { type Field, fieldIndex } from '../format/schema.ts'
import { type RewrittenStatement, type RewrittenTable, withGroupCodes } from './group-codes.ts'
import { partialClassOf, partialOrigin } from './partial-columns.ts'
import type { BoundTable, ScanSource, SegmentFileSource } from './protocol.ts'
import { type RewriteTemplates, TEMPLATES_SQL, rewriteTemplates } from './rewrite-templates.ts'
import type { ColumnBounds, ScanBounds } from './scan-bounds.ts'
import { SegmentFile } from './segment-file.ts'
import { isFilterable } from './row-filter.ts'
import type { GroupableTable } from './select-scope.ts'
import { type TreeNode, listAt, nodeAt, nodesOf, replaceNodes, textAt } from './sql-tree.ts'
import { StatementTrees } from './statement-trees.ts'
import type { TableColumn } from './table-columns.ts'
import type { ScanStores } from './scan-table.ts'
import { PLAIN_ROWS_MAX, TextCodes } from './text-codes.ts'
import type { OpenEnds } from './where-bounds.ts'

export interface GroupableQuery {
  readonly sql: string
  /** A word that the statement does not contain. */
  readonly nonce: string
  readonly tables: readonly BoundTable[]
  /** By table number. */
  readonly sources: readonly (readonly ScanSource[])[]
  /** By table number; see `PlannedScans`. */
  readonly filters: readonly (ScanBounds | null)[]
  /** Of the result's columns; null where the statement's parameters keep DuckDB from knowing them. */
  readonly names: readonly string[] | null
}

export interface RewrittenQuery {
  readonly sql: string
  readonly tables: readonly DerivedTable[]
  /** Of the result's columns, whatever the statement calls them; null where it calls them right. */
  readonly names: readonly string[] | null
  /** Of the statement's parameters, those that the rewritten one still has, by their new places. */
  readonly placeholders: readonly string[]
}

/** A table of the rewritten statement. */
export interface DerivedTable {
  /** The number of the table whose records it has, or has the groups of. */
  readonly of: number
  readonly table: BoundTable
}

/** With fewer, DuckDB is done before a second form of the statement is made. */
const RECORDS_MIN = 50_000

/** Of all texts together: beyond, DuckDB's hash table is as good as a list by code. */
const GROUPS_MAX = 10_000

/** Rows that DuckDB's planner expects of a table of groups. */
const GROUP_ROWS = 1_000

/**
 * Null where the statement asks for no groups, or groups by texts that are not kept as codes throughout. Nothing here
 * fails a query: what goes wrong does so again, and is reported, when the statement runs as it is written.
 */
export async function rewrittenQuery(
  connection: DuckDBConnection,
  query: GroupableQuery,
  stores: ScanStores,
): Promise<RewrittenQuery | null> {
  if (!MAY_GROUP.test(query.sql)) return null
  const known = query.tables
    .map((table, number) => groupableTable(query, table, number))
    .filter((table) => table !== null)
  if (known.length === 0) return null
  try {
    const { own, templates } = await treesOf(connection, query.sql)
    const names = query.names ?? (await namesOf(connection, own))
    for (const hasPartials of [true, false]) {
      const options = { hasPartials, isNamed: names !== null }
      const statement = withGroupCodes(own, known, templates, options)
      const form = await formOf(connection, query, statement, stores)
      if (form !== null) return { ...form, names }
    }
    return null
  } catch {
    return null
  }
}

const MAY_GROUP = /\bgroup\s+by\b|\b(?:count|sum|avg|mean|min|max)\s*\(/i

async function formOf(
  connection: DuckDBConnection,
  query: GroupableQuery,
  statement: RewrittenStatement | null,
  stores: ScanStores,
): Promise<Omit<RewrittenQuery, 'names'> | null> {
  if (statement === null) return null
  const tables: DerivedTable[] = []
  for (const rewritten of statement.tables) {
    const table = derivedTable(query, rewritten, stores)
    if (table === null) return null
    tables.push({ of: rewritten.of.number, table })
  }
  const placeholders = placeholdersIn(statement.tree)
  const sql = await trees.textOf(connection, renumbered(statement.tree, placeholders))
  return sql === null ? null : { sql, tables, placeholders }
}

function placeholdersIn(tree: TreeNode): readonly string[] {
  const parameters = [...nodesOf(tree)].filter((node) => textAt(node, 'class') === 'PARAMETER')
  return [...new Set(parameters.map((node) => textAt(node, 'identifier')))]
}

/** With the placeholders that are called by their place called so again: DuckDB takes no number beyond their count. */
function renumbered(tree: TreeNode, placeholders: readonly string[]): TreeNode {
  return replaceNodes(tree, (node) => {
    if (textAt(node, 'class') !== 'PARAMETER') return null
    const name = textAt(node, 'identifier')
    const identifier = /^\d+$/.test(name) ? String(placeholders.indexOf(name) + 1) : name
    return { ...node, identifier }
  })
}

function groupableTable(
  { sources, nonce, filters }: GroupableQuery,
  { name, form, columns }: BoundTable,
  number: number,
): GroupableTable | null {
  if (form !== 'table' || countOf(sources[number] ?? []) < RECORDS_MIN) return null
  // Of the newest records the table's own view leaves out the others.
  if (columns.some(({ origin }) => origin.kind === 'latest')) return null
  const names = columns.map((column) => column.name.toLowerCase())
  if (new Set(names).size < names.length) return null
  const columnOf = (column: string): number => names.indexOf(column)
  const filter = filters[number] ?? null
  const isFilter = filter?.every(({ column }) => {
    const origin = columns[column]?.origin
    return origin !== undefined && isFilterable(origin)
  })
  return {
    number,
    name,
    columns: new Map(names.map((own, index) => [own, columns[index]?.name ?? own])),
    texts: new Set(names.filter((_, index) => textField(columns[index]) !== null)),
    partialClasses: new Map(
      names.flatMap((own, index) => {
        const known = columns[index]?.origin
        const partial = known === undefined ? null : partialClassOf(known)
        return partial === null ? [] : [[own, partial]]
      }),
    ),
    filtered:
      filter !== null && isFilter === true
        ? new Set(filter.map(({ column }) => names[column] ?? ''))
        : null,
    rewrittenName: (form) => `${nonce}_${number}_${form}`,
    codeName: (text) => `${nonce}_code_${columnOf(text)}`,
    partialName: (kind, column) => `${nonce}_${kind}_${columnOf(column)}`,
  }
}

/** The same table with codes, or its groups; null where a text is not kept as codes, or there are too many. */
function derivedTable(
  { tables, sources, filters }: GroupableQuery,
  { of, name, texts, partials, ends }: RewrittenTable,
  stores: ScanStores,
): BoundTable | null {
  const table = tables[of.number]
  if (table === undefined) return null
  const columnOf = (own: string): TableColumn | undefined =>
    table.columns.find((column) => column.name === of.columns.get(own))
  const columns = [...table.columns]
  let groups = 1
  for (const text of texts) {
    const field = textField(columnOf(text))
    const codes = field === null ? null : codesOfSources(sources[of.number] ?? [], field, stores)
    if (field === null || codes === null || codes.texts.length === 0) return null
    columns.push({ name: of.codeName(text), origin: { kind: 'code', field, codes } })
    groups *= codes.texts.length + 1
  }
  if (partials === null) return { ...table, name, columns }
  if (groups > GROUPS_MAX) return null
  for (const { kind, column } of partials) {
    const origin = partialOrigin(kind, columnOf(column)?.origin)
    columns.push({ name: of.partialName(kind, column), origin })
  }
  const filter = ends === null ? [] : exactFilter(filters[of.number] ?? [], ends, table)
  if (filter === null) return null
  const grouping = { filter }
  return { ...table, name, columns, recordCount: GROUP_ROWS, grouping }
}

/** The plan's bounds, without the ends that it does not tell. Null where they are not all of the WHERE's. */
function exactFilter(
  filter: ScanBounds,
  ends: OpenEnds,
  { columns }: BoundTable,
): ScanBounds | null {
  const exact: ColumnBounds[] = []
  for (const [name, { lower, upper }] of ends) {
    const own = filter.filter(({ column }) => columns[column]?.name.toLowerCase() === name)
    if ((lower !== 'none') !== own.some(({ min }) => min !== null)) return null
    if ((upper !== 'none') !== own.some(({ max }) => max !== null)) return null
    for (const bound of own) {
      const { column, min, max, isBetween } = bound
      if (isBetween !== true || typeof min !== 'bigint' || typeof max !== 'bigint')
        exact.push(bound)
      else {
        const least = lower === 'open' ? min + 1n : min
        exact.push({ column, min: least, max: upper === 'open' ? max - 1n : max })
      }
    }
  }
  return exact
}

function codesOfSources(
  sources: readonly ScanSource[],
  field: Field,
  stores: ScanStores,
): TextCodes | null {
  const codes = new TextCodes()
  for (const source of sources) {
    const columns = textsOf(source, field, stores)
    if (columns === null || !columns.every((column) => codes.add(column))) return null
  }
  return codes
}

/** What has the texts of a field: dictionaries, or small columns themselves. Null where they are not to be had so. */
function textsOf(
  source: ScanSource,
  field: Field,
  stores: ScanStores,
): readonly ColumnData[] | null {
  if (source.kind === 'segment') return segmentTexts(source, field, stores)
  const schema = source.kind === 'batch' ? source.batch.schema : source.schema
  const position = fieldIndex(schema, field.name)
  if (position === -1) return []
  const column =
    source.kind === 'batch'
      ? source.batch.columns[position]
      : stores.remote?.columns(source, [position])[0]
  return column?.type === 'utf8' ? [column.dictionary ?? column] : null
}

function segmentTexts(
  source: SegmentFileSource,
  field: Field,
  { files }: ScanStores,
): readonly ColumnData[] | null {
  const file = SegmentFile.open(files, source)
  try {
    const { schema, batches } = file.facts
    const position = fieldIndex(schema, field.name)
    if (position === -1) return []
    const dictionary = file.dictionary(position)
    if (dictionary !== null) return [dictionary]
    const count = batches.reduce((sum, { length }) => sum + length, 0)
    if (schema.fields[position]?.type !== 'utf8' || count > PLAIN_ROWS_MAX) return null
    return batches.map((_, index) =>
      present(file.readBlock(index, [position]).batch.columns[0], 'a column'),
    )
  } finally {
    file.close()
  }
}

function textField(column: TableColumn | undefined): Field | null {
  const origin = column?.origin
  return origin?.kind === 'field' && origin.field.type === 'utf8' ? origin.field : null
}

function countOf(sources: readonly ScanSource[]): number {
  let count = 0
  for (const source of sources) {
    if (source.kind === 'segment') count += source.to - source.from
    else count += source.kind === 'batch' ? source.batch.length : source.length
  }
  return count
}

/** The same in every instance, as are the trees of texts. */
let templates: RewriteTemplates | null = null
const trees = new StatementTrees()

async function treesOf(
  connection: DuckDBConnection,
  sql: string,
): Promise<{ readonly own: TreeNode; readonly templates: RewriteTemplates }> {
  const own = await trees.treeOf(connection, sql)
  templates ??= rewriteTemplates(await trees.treeOf(connection, TEMPLATES_SQL))
  return { own, templates }
}

/** Of the result's columns, which are the same without the WHERE; null where there are parameters elsewhere too. */
async function namesOf(
  connection: DuckDBConnection,
  tree: TreeNode,
): Promise<readonly string[] | null> {
  const [statement] = listAt(tree, 'statements')
  const node = nodeAt(statement ?? {}, 'node')
  if (textAt(node ?? {}, 'type') !== 'SELECT_NODE') return null
  const open = { ...tree, statements: [{ ...statement, node: { ...node, where_clause: null } }] }
  const sql = await trees.textOf(connection, open)
  if (sql === null) return null
  const prepared = await connection.prepare(sql)
  try {
    return columnNames(prepared)
  } finally {
    prepared.destroySync()
  }
}

/** Before parameters are given DuckDB may know neither types nor names of a statement's columns. */
export function columnNames(prepared: DuckDBPreparedStatement): readonly string[] | null {
  if (prepared.parameterCount > 0) return null
  return Array.from({ length: prepared.columnCount }, (_, index) => prepared.columnName(index))
}
