/** What the names in one SELECT over one of our tables mean, in DuckDB's syntax tree. All names are in lower case. */
import type { PartialClass, PartialKind } from './partial-kinds.ts'
import { type TreeNode, isNode, listAt, nodeAt, nodesOf, replaceNodes, textAt } from './sql-tree.ts'

/** A table as a statement may name it, and what a scan can make of its columns. */
export interface GroupableTable {
  /** Its place among the query's tables. */
  readonly number: number
  readonly name: string
  /** As they are declared, which is what DuckDB calls a result's. */
  readonly columns: ReadonlyMap<string, string>
  /** Those that may have codes. */
  readonly texts: ReadonlySet<string>
  /** Those that scans can aggregate. */
  readonly partialClasses: ReadonlyMap<string, PartialClass>
  /** Those by which a scan can leave out just what the plan of the statement says; null where it cannot. */
  readonly filtered: ReadonlySet<string> | null
  /** Of the forms of the table in the rewritten statement. */
  readonly rewrittenName: (number: number) => string
  /** The name of the column with the codes of a text column. */
  readonly codeName: (text: string) => string
  readonly partialName: (kind: PartialKind, column: string) => string
}

/** The names of one SELECT over one table. */
export class SelectScope {
  readonly node: TreeNode
  readonly table: GroupableTable
  /** The text columns among its groups. */
  readonly groupedTexts: ReadonlySet<string>
  readonly #alias: string
  /** By alias, what it stands for. */
  readonly #selected: ReadonlyMap<string, TreeNode>

  constructor(node: TreeNode, table: GroupableTable, alias: string) {
    this.node = node
    this.table = table
    this.#alias = alias
    this.#selected = new Map(
      listAt(node, 'select_list')
        .map((item) => [textAt(item, 'alias').toLowerCase(), item] as const)
        .filter(([name]) => name !== ''),
    )
    const groups = listAt(node, 'group_expressions').map((group) => this.textOfGroup(group))
    this.groupedTexts = new Set(groups.filter((text) => text !== null))
  }

  /** Whether every name outside of WHERE is a column or an alias, and nothing there reaches further. */
  get isUnderstood(): boolean {
    if (this.table.columns.has(this.#alias)) return false
    for (const node of nodesOf(outsideWhere(this.node))) {
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

  /**
   * The SELECT from the table `name`, with every expression outside of WHERE for which there is a replacement. Null
   * where DuckDB would call a column of its result something else, unless `isNamed`: their names are their text.
   */
  rewritten(
    name: string,
    replacement: (node: TreeNode) => TreeNode | null,
    isNamed: boolean,
  ): TreeNode | null {
    const keepsName = (item: TreeNode): boolean =>
      textAt(item, 'alias') !== '' ||
      this.columnOf(item) !== null ||
      [...nodesOf(item)].every((inner) => replacement(inner) === null)
    const items = listAt(this.node, 'select_list')
    if (!isNamed && !items.every(keepsName)) return null
    const read = <Tree>(tree: Tree): Tree =>
      replaceNodes(tree, (inner) => {
        const other = replacement(inner)
        return other === null ? null : { ...other, alias: textAt(inner, 'alias') }
      })
    const from = nodeAt(this.node, 'from_table') ?? {}
    return {
      ...this.node,
      from_table: {
        ...from,
        table_name: name,
        alias: textAt(from, 'alias') || textAt(from, 'table_name'),
      },
      group_expressions: listAt(this.node, 'group_expressions').map((group) => {
        const text = this.textOfGroup(group)
        return text === null ? group : columnReference(this.table.codeName(text))
      }),
      select_list: items.map((item) => {
        const column = this.columnOf(item)
        const alias = textAt(item, 'alias') || (this.table.columns.get(column ?? '') ?? '')
        return { ...read(item), alias: column === null ? textAt(item, 'alias') : alias }
      }),
      having: read(this.node['having']),
      qualify: read(this.node['qualify']),
      modifiers: read(this.node['modifiers']),
    }
  }

  /** The column that a reference names, by itself or behind the name of its table. */
  columnOf(node: TreeNode): string | null {
    if (textAt(node, 'class') !== 'COLUMN_REF') return null
    const names = namesOf(node)
    const [first = '', second = ''] = names
    const column = names.length === 1 ? first : first === this.#alias ? second : ''
    return names.length <= 2 && this.table.columns.has(column) ? column : null
  }

  /** The text column that a group is, written by its name, its place or its alias. */
  textOfGroup(group: TreeNode): string | null {
    const place = nodeAt(group, 'value')?.['value']
    const item =
      textAt(group, 'class') === 'CONSTANT' && typeof place === 'number'
        ? listAt(this.node, 'select_list')[place - 1]
        : undefined
    const alias =
      this.columnOf(group) === null ? this.#selected.get(namesOf(group)[0] ?? '') : undefined
    const column = this.columnOf(item ?? alias ?? group)
    return column !== null && this.table.texts.has(column) ? column : null
  }

  /** Whether it is the name of an expression of the SELECT. */
  isAlias(reference: TreeNode): boolean {
    const names = namesOf(reference)
    return names.length === 1 && this.#selected.has(names[0] ?? '')
  }

  #isKnown(reference: TreeNode): boolean {
    const [first = '', second] = namesOf(reference)
    if (first === this.#alias) return this.columnOf(reference) !== null
    // A field of a struct; of a text there is none.
    if (second !== undefined) return this.table.columns.has(first) && !this.table.texts.has(first)
    return this.table.columns.has(first) || this.#selected.has(first)
  }
}

const UNKNOWN_CLASSES: ReadonlySet<string> = new Set([
  'STAR',
  'SUBQUERY',
  'LAMBDA',
  'LAMBDA_REF',
  'POSITIONAL_REFERENCE',
])

/** Functions of one row, as far as statements over groups use them. */
const PLAIN_FUNCTIONS: ReadonlySet<string> = new Set(
  (
    'abs ceil ceiling concat date_trunc epoch epoch_ms floor format greatest ifnull least left length ln log10 lower ' +
    'ltrim now nullif printf replace right round rtrim sqrt strftime substring today trim trunc upper'
  ).split(' '),
)

/** Whether a function gives a value for a row of operands, whatever they are. */
export function isPlainFunction(node: TreeNode): boolean {
  return node['is_operator'] === true || PLAIN_FUNCTIONS.has(textAt(node, 'function_name'))
}

export function outsideWhere(node: TreeNode): readonly unknown[] {
  const { select_list, group_expressions, having, qualify, modifiers } = node
  return [select_list, group_expressions, having, qualify, modifiers]
}

export function columnReference(name: string): TreeNode {
  return {
    class: 'COLUMN_REF',
    type: 'COLUMN_REF',
    alias: '',
    query_location: 0,
    column_names: [name],
  }
}

export function namesOf(reference: TreeNode): readonly string[] {
  const names: unknown = reference['column_names']
  return Array.isArray(names) ? names.map((name) => String(name).toLowerCase()) : []
}

/** Named without a schema, and read as a whole. */
export function plainTableName(from: TreeNode): string | null {
  const isPlain =
    textAt(from, 'type') === 'BASE_TABLE' &&
    textAt(from, 'schema_name') === '' &&
    textAt(from, 'catalog_name') === '' &&
    !isNode(from['sample']) &&
    !isNode(from['at_clause']) &&
    isListOf(from['column_name_alias'], 0)
  return isPlain ? textAt(from, 'table_name').toLowerCase() : null
}

/** One set of groups, each of them named, or none; and no sample. */
export function isPlainGrouping(node: TreeNode): boolean {
  const sets: unknown = node['group_sets']
  const groups = listAt(node, 'group_expressions')
  return (
    textAt(node, 'aggregate_handling') === 'STANDARD_HANDLING' &&
    Array.isArray(sets) &&
    (sets.length === 1 ? isListOf(sets[0], groups.length) : sets.length + groups.length === 0) &&
    !isNode(node['sample'])
  )
}

function isListOf(value: unknown, length: number): boolean {
  return Array.isArray(value) && value.length === length
}
