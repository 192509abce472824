/** A query's second form, which groups by codes where the first groups by texts; see group-codes.ts. */
import type { DuckDBConnection } from '@duckdb/node-api'
import type { ColumnData } from '../format/column.ts'
import { type Field, fieldIndex } from '../format/schema.ts'
import { type CodableTable, withGroupCodes } from './group-codes.ts'
import type { BoundTable, ScanSource, SegmentFileSource } from './protocol.ts'
import { SegmentFile } from './segment-file.ts'
import { type TreeNode, listAt, nodeAt, parseTree, treeText } from './sql-tree.ts'
import type { TableColumn } from './table-columns.ts'
import type { ScanStores } from './table-scan.ts'
import { TextCodes } from './text-codes.ts'

export interface CodableQuery {
  readonly sql: string
  /** A word that the statement does not contain. */
  readonly nonce: string
  readonly tables: readonly BoundTable[]
  /** By table number. */
  readonly sources: readonly (readonly ScanSource[])[]
}

export interface CodedQuery {
  readonly sql: string
  readonly tables: readonly CodedTable[]
}

/** A table of the query with columns of codes beside its own. */
export interface CodedTable {
  /** The number of the table that has the same records. */
  readonly of: number
  readonly table: BoundTable
}

/** With fewer, DuckDB is done before a second form of the statement is made. */
const RECORDS_MIN = 50_000

/**
 * Null where the statement groups by no text, or by one that is not kept as codes throughout. Nothing here fails a
 * query: what goes wrong does so again, and is reported, when the statement runs as it is written.
 */
export async function codedQuery(
  connection: DuckDBConnection,
  query: CodableQuery,
  stores: ScanStores,
): Promise<CodedQuery | null> {
  if (!/\bgroup\s+by\b/i.test(query.sql)) return null
  const codable = query.tables.map((table, number) => codableTable(query, table, number))
  const known = codable.filter((table) => table !== null)
  if (known.length === 0) return null
  try {
    const { own, textOfCode } = await treesOf(connection, query.sql)
    const statement = withGroupCodes(own, known, textOfCode)
    if (statement === null) return null
    const tables: CodedTable[] = []
    for (const [table, texts] of statement.coded) {
      const of = codable.indexOf(table)
      const coded = codedTable(query, of, table, texts, stores)
      if (coded === null) return null
      tables.push({ of, table: coded })
    }
    const sql = await printed(connection, statement.tree)
    return sql === null ? null : { sql, tables }
  } catch {
    return null
  }
}

function codableTable(
  { sources, nonce }: CodableQuery,
  { name, form, columns }: BoundTable,
  number: number,
): CodableTable | null {
  if (form !== 'table' || countOf(sources[number] ?? []) < RECORDS_MIN) return null
  const names = columns.map((column) => column.name.toLowerCase())
  if (new Set(names).size < names.length) return null
  const texts = new Set(names.filter((_, index) => textField(columns[index]) !== null))
  if (texts.size === 0) return null
  return {
    name,
    columns: new Map(names.map((own, index) => [own, columns[index]?.name ?? own])),
    texts,
    codedName: `${nonce}_${number}`,
    codeName: (text) => `${nonce}_code_${names.indexOf(text)}`,
  }
}

/** The same table and its codes; null where a text is not kept as codes, or there are too many. */
function codedTable(
  { tables, sources }: CodableQuery,
  number: number,
  { codedName, codeName, columns: names }: CodableTable,
  texts: ReadonlySet<string>,
  stores: ScanStores,
): BoundTable | null {
  const table = tables[number]
  if (table === undefined) return null
  const columns = [...table.columns]
  for (const text of texts) {
    const field = textField(table.columns.find(({ name }) => name === names.get(text)))
    const codes = field === null ? null : codesOfSources(sources[number] ?? [], field, stores)
    if (field === null || codes === null || codes.texts.length === 0) return null
    columns.push({ name: codeName(text), origin: { kind: 'code', field, codes } })
  }
  return { ...table, name: codedName, columns }
}

function codesOfSources(
  sources: readonly ScanSource[],
  field: Field,
  stores: ScanStores,
): TextCodes | null {
  const codes = new TextCodes()
  for (const source of sources) {
    const dictionary = dictionaryOf(source, field, stores)
    if (dictionary === 'none' || (dictionary !== 'no field' && !codes.add(dictionary))) return null
  }
  return codes
}

function dictionaryOf(
  source: ScanSource,
  field: Field,
  stores: ScanStores,
): ColumnData | 'none' | 'no field' {
  if (source.kind === 'segment') return segmentDictionary(source, field, stores)
  const schema = source.kind === 'batch' ? source.batch.schema : source.schema
  const position = fieldIndex(schema, field.name)
  if (position === -1) return 'no field'
  const column =
    source.kind === 'batch'
      ? source.batch.columns[position]
      : stores.remote?.columns(source, [position])[0]
  return column?.type === 'utf8' ? (column.dictionary ?? 'none') : 'none'
}

function segmentDictionary(
  source: SegmentFileSource,
  field: Field,
  { files }: ScanStores,
): ColumnData | 'none' | 'no field' {
  const file = SegmentFile.open(files, source)
  try {
    const position = fieldIndex(file.facts.schema, field.name)
    return position === -1 ? 'no field' : (file.dictionary(position) ?? 'none')
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

async function treesOf(
  connection: DuckDBConnection,
  sql: string,
): Promise<{ readonly own: TreeNode; readonly textOfCode: TreeNode }> {
  const reader = await connection.runAndReadAll(
    'SELECT json_serialize_sql($1::VARCHAR), json_serialize_sql($2::VARCHAR)',
    [sql, 'SELECT CAST(code AS VARCHAR)'],
  )
  const [own, template] = (reader.getRows()[0] ?? []).map((json) => parseTree(String(json)))
  const select = nodeAt(listAt(template ?? {}, 'statements')[0] ?? {}, 'node') ?? {}
  return { own: own ?? {}, textOfCode: listAt(select, 'select_list')[0] ?? {} }
}

/** A statement as text; null where DuckDB would read that text as another statement. */
async function printed(connection: DuckDBConnection, tree: TreeNode): Promise<string | null> {
  const reader = await connection.runAndReadAll(
    'SELECT sql, json_serialize_sql(sql) FROM (SELECT json_deserialize_sql($1::VARCHAR::JSON) AS sql)',
    [JSON.stringify(tree)],
  )
  const [sql, again] = reader.getRows()[0] ?? []
  return treeText(parseTree(String(again))) === treeText(tree) ? String(sql) : null
}
