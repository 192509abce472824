/** Expressions of rewritten statements, as trees that DuckDB made. */
import { type TreeNode, listAt, nodeAt, replaceNodes, textAt } from './sql-tree.ts'

type Expression = (...operands: readonly TreeNode[]) => TreeNode

export interface RewriteTemplates {
  readonly textOfCode: Expression
  /** Of numbers of records, as BIGINT. */
  readonly countOf: Expression
  readonly sumOf: Expression
  /** Of the upper and the lower 32 bits of integers, as HUGEINT. */
  readonly wideSumOf: Expression
  /** Of sums and the number of their values. */
  readonly meanOf: Expression
  readonly leastOf: Expression
  readonly greatestOf: Expression
  /** Whether a number of records is above none. */
  readonly anyOf: Expression
}

const OPERANDS = ['a', 'b']

/** What `rewriteTemplates` takes the tree of. Without records there is no number of them, which is none. */
export const TEMPLATES_SQL = `SELECT CAST(a AS VARCHAR), coalesce(CAST(sum(a) AS BIGINT), 0), sum(a),
  sum(a) * CAST(4294967296 AS HUGEINT) + sum(b), CAST(sum(a) AS DOUBLE) / CAST(sum(b) AS DOUBLE), min(a), max(a), a > 0`

export function rewriteTemplates(tree: TreeNode): RewriteTemplates {
  const select = nodeAt(listAt(tree, 'statements')[0] ?? {}, 'node') ?? {}
  const items = listAt(select, 'select_list')
  const template =
    (place: number): Expression =>
    (...operands) =>
      replaceNodes(items[place] ?? {}, (node) => {
        if (textAt(node, 'class') !== 'COLUMN_REF') return null
        const names: unknown = node['column_names']
        const name: unknown = Array.isArray(names) ? names[0] : null
        return operands[OPERANDS.indexOf(String(name))] ?? null
      })
  return {
    textOfCode: template(0),
    countOf: template(1),
    sumOf: template(2),
    wideSumOf: template(3),
    meanOf: template(4),
    leastOf: template(5),
    greatestOf: template(6),
    anyOf: template(7),
  }
}
