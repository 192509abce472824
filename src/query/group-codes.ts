/**
 * Groups by codes instead of texts. DuckDB groups small numbers several times faster than strings, and columns with
 * few texts are stored as codes anyway. Giving such a column the type ENUM in its table would change what statements
 * mean: ENUMs are ordered by code and refuse literals that are none of theirs. So where a statement groups by a text
 * column of one of our tables, it is rewritten to group by a hidden column of codes, and to read the text of a group
 * wherever it named the column:
 *
 *     SELECT event, count(*) FROM events GROUP BY event ORDER BY event
 *     SELECT CAST(code AS VARCHAR) AS event, count(*) FROM coded AS events GROUP BY code ORDER BY event
 *
 * Where it asks for nothing of its groups but simple aggregates, the scan makes those too: see group-partials.ts.
 *
 * Everything here is conservative: a statement with anything that is not surely understood stays as it is.
 */
import { type Partial, withPartials } from './group-partials.ts'
import {
  type GroupableTable,
  SelectScope,
  columnReference,
  isPlainGrouping,
  plainTableName,
} from './select-scope.ts'
import { type TreeNode, listAt, nodeAt, nodesOf, replaceNodes, textAt } from './sql-tree.ts'
import type { OpenEnds } from './where-bounds.ts'
import type { RewriteTemplates } from './rewrite-templates.ts'

/** A table that the rewritten statement names in place of another. */
export interface RewrittenTable {
  readonly of: GroupableTable
  readonly name: string
  /** Whose codes it has. */
  readonly texts: ReadonlySet<string>
  /** What it gives of groups of records; null where it gives the records. */
  readonly partials: readonly Partial[] | null
  /** By column that its scan leaves records out by; null where that gives all. */
  readonly ends: OpenEnds | null
}

export interface RewrittenStatement {
  readonly tree: TreeNode
  readonly tables: readonly RewrittenTable[]
}

interface RewrittenSelect {
  readonly node: TreeNode
  readonly table: RewrittenTable
}

export interface RewriteOptions {
  /** Whether scans may make aggregates. */
  readonly hasPartials: boolean
  /** Whether the names of the result's columns are known, so that the new form may have others. */
  readonly isNamed: boolean
}

/** Null where no SELECT of the statement has another form. */
export function withGroupCodes(
  tree: TreeNode,
  tables: readonly GroupableTable[],
  templates: RewriteTemplates,
  { hasPartials, isNamed: isKnown }: RewriteOptions,
): RewrittenStatement | null {
  const names = commonTableNames(tree)
  const known = new Map(
    tables
      .filter(({ name }) => !names.has(name))
      .map((table) => [
        table.name,
        readOnce(tree, table.name) ? table : { ...table, filtered: null },
      ]),
  )
  const outermost = nodeAt(listAt(tree, 'statements')[0] ?? {}, 'node')
  const rewrittenTables: RewrittenTable[] = []
  const rewritten = (value: TreeNode): TreeNode =>
    replaceNodes(value, (node) => {
      if (textAt(node, 'type') !== 'SELECT_NODE') return null
      const scope = scopeOf(node, known)
      if (scope === null) return null
      const isNamed = isKnown && node === outermost
      const number = rewrittenTables.length
      const select =
        (hasPartials ? partialSelect(scope, templates, number, isNamed) : null) ??
        codedSelect(scope, templates, number, isNamed)
      if (select === null) return null
      rewrittenTables.push(select.table)
      // What its WHERE asks of other tables may group as well; the rest holds no statement.
      const where = nodeAt(select.node, 'where_clause')
      return where === null ? select.node : { ...select.node, where_clause: rewritten(where) }
    })
  const result = rewritten(tree)
  return rewrittenTables.length === 0 ? null : { tree: result, tables: rewrittenTables }
}

/** Whether one SELECT reads the table, so that the plan's one filter is that of its WHERE. */
function readOnce(tree: TreeNode, name: string): boolean {
  const named = [...nodesOf(tree)].filter(
    (node) =>
      textAt(node, 'type') === 'BASE_TABLE' && textAt(node, 'table_name').toLowerCase() === name,
  )
  return named.length === 1
}

/** Null for what is no SELECT of groups of one known table. */
function scopeOf(node: TreeNode, tables: ReadonlyMap<string, GroupableTable>): SelectScope | null {
  const from = nodeAt(node, 'from_table')
  const table = from === null ? undefined : tables.get(plainTableName(from) ?? '')
  if (from === null || table === undefined || !isPlainGrouping(node)) return null
  const scope = new SelectScope(node, table, textAt(from, 'alias').toLowerCase() || table.name)
  return scope.isUnderstood ? scope : null
}

/** Grouped by codes; every record is DuckDB's to aggregate. `isNamed` says that others know the result's names. */
function codedSelect(
  scope: SelectScope,
  { textOfCode }: RewriteTemplates,
  number: number,
  isNamed: boolean,
): RewrittenSelect | null {
  const { table } = scope
  const texts = scope.groupedTexts
  if (texts.size === 0 || scope.isAmbiguous(texts)) return null
  const textOf = (inner: TreeNode): TreeNode | null => {
    const text = scope.columnOf(inner)
    if (text === null || !texts.has(text)) return null
    return textOfCode(columnReference(table.codeName(text)))
  }
  const name = table.rewrittenName(number)
  const rewritten = scope.rewritten(name, textOf, isNamed)
  return rewritten === null
    ? null
    : { node: rewritten, table: { of: table, name, texts, partials: null, ends: null } }
}

/** Grouped and aggregated by the scan, as far as one scan goes. */
function partialSelect(
  scope: SelectScope,
  templates: RewriteTemplates,
  number: number,
  isNamed: boolean,
): RewrittenSelect | null {
  const { table } = scope
  const form = withPartials(scope, templates)
  if (form === null) return null
  const name = table.rewrittenName(number)
  const rewritten = scope.rewritten(name, form.replacement, isNamed)
  if (rewritten === null) return null
  const { texts, partials, ends, where } = form
  return {
    // The scan has passed over what the statement leaves out.
    node: { ...rewritten, where_clause: where },
    table: { of: table, name, texts, partials, ends },
  }
}

function commonTableNames(tree: TreeNode): ReadonlySet<string> {
  const names = new Set<string>()
  for (const node of nodesOf(tree)) {
    for (const entry of listAt(nodeAt(node, 'cte_map') ?? {}, 'map'))
      names.add(textAt(entry, 'key').toLowerCase())
    // Of a recursive one.
    if (textAt(node, 'cte_name') !== '') names.add(textAt(node, 'cte_name').toLowerCase())
  }
  return names
}
