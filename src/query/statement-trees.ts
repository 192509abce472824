/**
 * Statements as trees and back, by DuckDB's parser. Either way takes it milliseconds and depends on nothing but the
 * text: not on tables, settings or parameters. So what was found is kept, and a statement that comes again costs none.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { RecentValues } from './recent-values.ts'
import { type TreeNode, listAt, parseTree, treeText } from './sql-tree.ts'

/** Of a hundred statements of the usual size, whose trees are some thirty times as long. */
const KEPT_LENGTH_MAX = 2 * 1024 ** 2

/** What the trees are made with; a DuckDB connection has it. */
export type TreeParser = Pick<DuckDBConnection, 'runAndReadAll'>

export class StatementTrees {
  readonly #trees: RecentValues<TreeNode>
  readonly #texts: RecentValues<string | null>

  constructor(lengthMax: number = KEPT_LENGTH_MAX) {
    this.#trees = new RecentValues(lengthMax)
    this.#texts = new RecentValues(lengthMax)
  }

  async treeOf(parser: TreeParser, sql: string): Promise<TreeNode> {
    const known = this.#trees.get(sql)
    if (known !== undefined) return known
    const reader = await parser.runAndReadAll('SELECT json_serialize_sql($1::VARCHAR)', [sql])
    const json = String(reader.getRows()[0]?.[0])
    const tree = parseTree(json)
    this.#trees.set(sql, tree, json.length)
    return tree
  }

  /** A statement as text; null where DuckDB would read that text as another statement. */
  async textOf(parser: TreeParser, tree: TreeNode): Promise<string | null> {
    const json = JSON.stringify(tree)
    const known = this.#texts.get(json)
    if (known !== undefined) return known
    const reader = await parser.runAndReadAll(
      'SELECT sql, json_serialize_sql(sql) FROM (SELECT json_deserialize_sql($1::VARCHAR::JSON) AS sql)',
      [json],
    )
    const [sql, again] = reader.getRows()[0] ?? []
    const isSame = statementText(parseTree(String(again))) === statementText(tree)
    const text = isSame ? String(sql) : null
    this.#texts.set(json, text, text?.length ?? 0)
    return text
  }
}

/** Without the list of its parameters, which may be fewer than those of the statement that a tree was made of. */
function statementText(tree: TreeNode): string {
  const statements = listAt(tree, 'statements').map((item) => ({ ...item, named_param_map: [] }))
  return treeText({ ...tree, statements })
}
