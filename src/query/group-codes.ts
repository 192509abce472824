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
 * Everything here is conservative: a statement with anything that is not surely understood stays as it is.
 */
import { type TreeNode, isNode, listAt, nodeAt, nodesOf, replaceNodes, textAt } from './sql-tree.ts'

/** A table as a statement may name it, and those of its columns that may have codes. */
export interface CodableTable {
  /** In lower case, as are all names here. */
  readonly name: string
  /** As they are declared, which is what DuckDB calls a result's. */
  readonly columns: ReadonlyMap<string, string>
  readonly texts: ReadonlySet<string>
  /** Under which it has its codes too. */
  readonly codedName: string
  /** The name of the column with the codes of a text column. */
  readonly codeName: (text: string) => string
}

export interface CodedStatement {
  readonly tree: TreeNode
  /** By table, the text columns whose codes are needed. */
  readonly coded: ReadonlyMap<CodableTable, ReadonlySet<string>>
}

/** `textOfCode` is DuckDB's tree of `CAST(x AS VARCHAR)`. Null where no group of the statement can have codes. */
export function withGroupCodes(
  tree: TreeNode,
  tables: readonly CodableTable[],
  textOfCode: TreeNode,
): CodedStatement | null {
  const names = commonTableNames(tree)
  const known = new Map(
    tables.filter(({ name }) => !names.has(name)).map((table) => [table.name, table]),
  )
  const coded = new Map<CodableTable, Set<string>>()
  const rewritten = (value: TreeNode): TreeNode =>
    replaceNodes(value, (node) => {
      if (textAt(node, 'type') !== 'SELECT_NODE') return null
      const select = codedSelect(node, known, textOfCode)
      if (select === null) return null
      const texts = coded.get(select.table) ?? new Set()
      coded.set(select.table, texts)
      for (const text of select.texts) texts.add(text)
      // What its WHERE asks of other tables may group as well; the rest holds no statement.
      const where = nodeAt(node, 'where_clause')
      return where === null ? select.node : { ...select.node, where_clause: rewritten(where) }
    })
  const result = rewritten(tree)
  return coded.size === 0 ? null : { tree: result, coded }
}

interface CodedSelect {
  readonly node: TreeNode
  readonly table: CodableTable
  readonly texts: ReadonlySet<string>
}

function codedSelect(
  node: TreeNode,
  tables: ReadonlyMap<string, CodableTable>,
  textOfCode: TreeNode,
): CodedSelect | null {
  const from = nodeAt(node, 'from_table')
  const table = from === null ? undefined : tables.get(plainTableName(from) ?? '')
  if (from === null || table === undefined || !isPlainGrouping(node)) return null
  const scope = new Scope(node, table, textAt(from, 'alias').toLowerCase() || table.name)
  if (!scope.isUnderstood) return null
  const groups = listAt(node, 'group_expressions')
  const texts = new Set<string>()
  const codedGroups = groups.map((group) => {
    const text = scope.textOfGroup(group)
    if (text === null) return group
    texts.add(text)
    return columnReference(table.codeName(text))
  })
  if (texts.size === 0 || scope.isAmbiguous(texts) || !scope.keepsNames(texts)) return null
  const read = <Tree>(tree: Tree, named: boolean): Tree =>
    replaceNodes(tree, (inner) => {
      const text = scope.columnOf(inner)
      if (text === null || !texts.has(text)) return null
      const alias = textAt(inner, 'alias') || (named ? (table.columns.get(text) ?? text) : '')
      return { ...textOfCode, child: columnReference(table.codeName(text)), alias }
    })
  return {
    table,
    texts,
    node: {
      ...node,
      from_table: {
        ...from,
        table_name: table.codedName,
        alias: textAt(from, 'alias') || textAt(from, 'table_name'),
      },
      group_expressions: codedGroups,
      select_list: listAt(node, 'select_list').map((item) =>
        read(item, scope.columnOf(item) !== null),
      ),
      having: read(node['having'], false),
      qualify: read(node['qualify'], false),
      modifiers: read(node['modifiers'], false),
    },
  }
}

/** The names of one SELECT over one table. */
class Scope {
  readonly #table: CodableTable
  readonly #alias: string
  readonly #node: TreeNode
  /** By alias, what it stands for. */
  readonly #selected: ReadonlyMap<string, TreeNode>

  constructor(node: TreeNode, table: CodableTable, alias: string) {
    this.#node = node
    this.#table = table
    this.#alias = alias
    this.#selected = new Map(
      listAt(node, 'select_list')
        .map((item) => [textAt(item, 'alias').toLowerCase(), item] as const)
        .filter(([name]) => name !== ''),
    )
  }

  /** Whether every name outside of WHERE is a column or an alias, and nothing there reaches further. */
  get isUnderstood(): boolean {
    if (this.#table.columns.has(this.#alias)) return false
    for (const node of nodesOf(outsideWhere(this.#node))) {
      if (UNKNOWN_CLASSES.has(textAt(node, 'class'))) return false
      if (textAt(node, 'class') === 'COLUMN_REF' && !this.#isKnown(node)) return false
    }
    return true
  }

  /** Whether an alias hides one of the columns. */
  isAmbiguous(texts: ReadonlySet<string>): boolean {
    return [...texts].some((text) => {
      const item = this.#selected.get(text)
      return item !== undefined && this.columnOf(item) !== text
    })
  }

  /** Whether the result's columns have the same names when others are read: DuckDB names expressions by their text. */
  keepsNames(texts: ReadonlySet<string>): boolean {
    return listAt(this.#node, 'select_list').every(
      (item) =>
        textAt(item, 'alias') !== '' ||
        this.columnOf(item) !== null ||
        [...nodesOf(item)].every((node) => !texts.has(this.columnOf(node) ?? '')),
    )
  }

  /** The column that a reference names, by itself or behind the name of its table. */
  columnOf(node: TreeNode): string | null {
    if (textAt(node, 'class') !== 'COLUMN_REF') return null
    const names = namesOf(node)
    const [first = '', second = ''] = names
    const column = names.length === 1 ? first : first === this.#alias ? second : ''
    return names.length <= 2 && this.#table.columns.has(column) ? column : null
  }

  /** The text column that a group is, written by its name, its place or its alias. */
  textOfGroup(group: TreeNode): string | null {
    const place = nodeAt(group, 'value')?.['value']
    const item =
      textAt(group, 'class') === 'CONSTANT' && typeof place === 'number'
        ? listAt(this.#node, 'select_list')[place - 1]
        : undefined
    const alias =
      this.columnOf(group) === null ? this.#selected.get(namesOf(group)[0] ?? '') : undefined
    const column = this.columnOf(item ?? alias ?? group)
    return column !== null && this.#table.texts.has(column) ? column : null
  }

  #isKnown(reference: TreeNode): boolean {
    const [first = '', second] = namesOf(reference)
    if (first === this.#alias) return this.columnOf(reference) !== null
    // A field of a struct; of a text there is none.
    if (second !== undefined) return this.#table.columns.has(first) && !this.#table.texts.has(first)
    return this.#table.columns.has(first) || this.#selected.has(first)
  }
}

const UNKNOWN_CLASSES: ReadonlySet<string> = new Set([
  'STAR',
  'SUBQUERY',
  'LAMBDA',
  'LAMBDA_REF',
  'POSITIONAL_REFERENCE',
])

/** Named without a schema, and read as a whole. */
function plainTableName(from: TreeNode): string | null {
  const isPlain =
    textAt(from, 'type') === 'BASE_TABLE' &&
    textAt(from, 'schema_name') === '' &&
    textAt(from, 'catalog_name') === '' &&
    !isNode(from['sample']) &&
    !isNode(from['at_clause']) &&
    isEmptyList(from['column_name_alias'])
  return isPlain ? textAt(from, 'table_name').toLowerCase() : null
}

/** One set of groups, each of them named, and no sample. */
function isPlainGrouping(node: TreeNode): boolean {
  const sets: unknown = node['group_sets']
  const groups = listAt(node, 'group_expressions')
  return (
    textAt(node, 'aggregate_handling') === 'STANDARD_HANDLING' &&
    Array.isArray(sets) &&
    sets.length === 1 &&
    Array.isArray(sets[0]) &&
    sets[0].length === groups.length &&
    !isNode(node['sample'])
  )
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

function outsideWhere(node: TreeNode): readonly unknown[] {
  const { select_list, group_expressions, having, qualify, modifiers } = node
  return [select_list, group_expressions, having, qualify, modifiers]
}

function columnReference(name: string): TreeNode {
  return {
    class: 'COLUMN_REF',
    type: 'COLUMN_REF',
    alias: '',
    query_location: 0,
    column_names: [name],
  }
}

function namesOf(reference: TreeNode): readonly string[] {
  const names: unknown = reference['column_names']
  return Array.isArray(names) ? names.map((name) => String(name).toLowerCase()) : []
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0
}
