/**
 * DuckDB's syntax tree of a statement as JSON (`json_serialize_sql`), read, changed and written without losing a digit:
 * the tree holds integers that a double cannot.
 */

export type TreeNode = Readonly<Record<string, unknown>>

/** What TypeScript's library does not have yet of JSON in Node 24. */
interface ExactJson {
  parse(text: string, reviver: (key: string, value: unknown, context: Source) => unknown): unknown
  rawJSON(text: string): unknown
  isRawJSON(value: unknown): boolean
}

interface Source {
  readonly source?: string
}

const exactJson = JSON as unknown as ExactJson

/** Numbers that a double does not hold as they are written stay text inside. */
export function parseTree(json: string): TreeNode {
  return exactJson.parse(json, (_, value, { source }) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && source !== undefined
      ? exactJson.rawJSON(source)
      : value,
  ) as TreeNode
}

export function isNode(value: unknown): value is TreeNode {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isRaw(value)
}

export function nodeAt(node: TreeNode, key: string): TreeNode | null {
  const value = node[key]
  return isNode(value) ? value : null
}

export function listAt(node: TreeNode, key: string): readonly TreeNode[] {
  const value: unknown = node[key]
  return Array.isArray(value) ? value.filter(isNode) : []
}

export function textAt(node: TreeNode, key: string): string {
  const value = node[key]
  return typeof value === 'string' ? value : ''
}

/** Every node of a tree, parents before their children. */
export function* nodesOf(value: unknown): Generator<TreeNode, void, undefined> {
  if (Array.isArray(value)) for (const item of value) yield* nodesOf(item)
  if (!isNode(value)) return
  yield value
  for (const key in value) yield* nodesOf(value[key])
}

/** The tree with every node replaced for which `replacement` has another; those are not searched. */
export function replaceNodes<Tree>(
  tree: Tree,
  replacement: (node: TreeNode) => TreeNode | null,
): Tree {
  const replaced = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(replaced)
    if (!isNode(value)) return value
    return (
      replacement(value) ??
      Object.fromEntries(Object.entries(value).map(([key, child]) => [key, replaced(child)]))
    )
  }
  return replaced(tree) as Tree
}

/** Whether two expressions are the same but for where they are written and what they are called. */
export function isSameExpression(a: TreeNode, b: TreeNode): boolean {
  return expressionText(a) === expressionText(b)
}

function expressionText(node: TreeNode): string {
  return treeText({ ...node, alias: '' })
}

/** A tree as JSON without the places where its nodes are written: equal for trees that say the same. */
export function treeText(tree: TreeNode): string {
  return JSON.stringify(tree, (key, value: unknown) =>
    key === 'query_location' ? undefined : value,
  )
}

/** Where a node begins in its statement; null where the tree does not say. The tree counts in bytes. */
export function placeOf(node: TreeNode, sql: string): { line: number; column: number } | null {
  const position = node['query_location']
  return typeof position === 'number' ? placeAt(sql, position) : null
}

/** Line and column, from 1, of a position in bytes. */
export function placeAt(sql: string, bytePosition: number): { line: number; column: number } {
  const before = Buffer.from(sql).subarray(0, bytePosition).toString()
  const lines = before.split('\n')
  return { line: lines.length, column: (lines.at(-1) ?? '').length + 1 }
}

function isRaw(value: object): boolean {
  return exactJson.isRawJSON(value)
}
