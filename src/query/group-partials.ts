/**
 * Partial aggregates: a SELECT that asks simple aggregates of groups of records gets them from the scan, which knows
 * the codes and the typed arrays of its columns and passes over millions of records in milliseconds, where handing all
 * of them to DuckDB, 2,048 at a time, takes a turn of two threads each. DuckDB puts together what scans give of each
 * group, once per some hundred thousand records:
 *
 *     SELECT event, count(*), avg(price) FROM events GROUP BY event HAVING max(price) > 5
 *     SELECT CAST(code AS VARCHAR) AS event, sum(rows), sum(price_sum) / sum(price_values)
 *       FROM partials AS events WHERE rows > 0 GROUP BY code HAVING max(price_max) > 5
 *
 * A WHERE goes to the scan where it only compares columns with constants, and the plan shows that nothing else is left
 * of it.
 */
import { type SelectScope, columnReference, isPlainFunction, outsideWhere } from './select-scope.ts'
import { type TreeNode, isNode, listAt, nodeAt, textAt } from './sql-tree.ts'
import { type OpenEnds, openEnds } from './where-bounds.ts'
import type { PartialKind } from './partial-kinds.ts'
import type { RewriteTemplates } from './rewrite-templates.ts'

export interface Partial {
  readonly kind: PartialKind
  /** Empty for the number of records. */
  readonly column: string
}

export interface PartialForm {
  readonly texts: ReadonlySet<string>
  readonly partials: readonly Partial[]
  /** In place of the statement's own. */
  readonly where: TreeNode | null
  /** By column that the scan leaves records out by; null where it gives all. */
  readonly ends: OpenEnds | null
  readonly replacement: (node: TreeNode) => TreeNode | null
}

/** Null where the SELECT asks for more of its groups, or leaves records out in a way that a scan cannot. */
export function withPartials(scope: SelectScope, templates: RewriteTemplates): PartialForm | null {
  const { node, table } = scope
  const texts = scope.groupedTexts
  const groups = listAt(node, 'group_expressions')
  if (!groups.every((group) => scope.textOfGroup(group) !== null)) return null
  const partials = new Map<string, Partial>()
  const aggregates = new Aggregates(scope, templates, partials)
  const ends = openEnds(scope)
  if (ends === null || !isUnderstood(outsideWhere(node), scope, texts, aggregates)) return null
  // Without groups, what asks for no aggregate asks for the records.
  if (partials.size === 0) return null
  // A scan may have nothing to tell for a while. Without groups that adds nothing; with them it would be one.
  const where = texts.size === 0 ? null : templates.anyOf(aggregates.rows())
  const columns = [...partials.values()].map(({ column }) => column)
  if (scope.isAmbiguous(new Set([...texts, ...columns.filter((column) => column !== '')])))
    return null
  return {
    texts,
    partials: [...partials.values()],
    where,
    ends: nodeAt(node, 'where_clause') === null ? null : ends,
    replacement: (inner) => {
      const text = scope.columnOf(inner)
      if (text !== null && texts.has(text))
        return templates.textOfCode(columnReference(table.codeName(text)))
      return aggregates.replacement(inner)
    },
  }
}

/** The aggregates of a SELECT that a scan can prepare. */
class Aggregates {
  readonly #scope: SelectScope
  readonly #templates: RewriteTemplates
  readonly #partials: Map<string, Partial>

  constructor(scope: SelectScope, templates: RewriteTemplates, partials: Map<string, Partial>) {
    this.#scope = scope
    this.#templates = templates
    this.#partials = partials
  }

  /** What an aggregate is replaced by; null for every other node. */
  replacement(node: TreeNode): TreeNode | null {
    if (!isPlainAggregate(node)) return null
    const { countOf, sumOf, wideSumOf, meanOf, leastOf, greatestOf } = this.#templates
    const name = textAt(node, 'function_name')
    const operands = listAt(node, 'children')
    const [operand] = operands
    if (name === 'count_star' && operand === undefined) return countOf(this.#partial('rows', ''))
    if (operand === undefined || operands.length > 1) return null
    const column = this.#scope.columnOf(operand)
    if (column === null) return null
    const of = this.#scope.table.partialClasses.get(column)
    if (of === undefined) return null
    if (name === 'count') return countOf(this.#partial('values', column))
    const isNumber = of === 'number'
    if (of === 'counted') return null
    switch (name) {
      case 'sum':
        if (isNumber) return sumOf(this.#partial('sum', column))
        if (of !== 'wide') return null
        return wideSumOf(this.#partial('high', column), this.#partial('low', column))
      case 'avg':
      case 'mean':
        if (!isNumber) return null
        return meanOf(this.#partial('sum', column), this.#partial('values', column))
      case 'min':
        return leastOf(this.#partial('least', column))
      case 'max':
        return greatestOf(this.#partial('greatest', column))
      default:
        return null
    }
  }

  /** The number of records, whether it is asked for or not. */
  rows(): TreeNode {
    return this.#partial('rows', '')
  }

  #partial(kind: PartialKind, column: string): TreeNode {
    this.#partials.set(`${kind} ${column}`, { kind, column })
    return columnReference(this.#scope.table.partialName(kind, column))
  }
}

function isPlainAggregate(node: TreeNode): boolean {
  return (
    textAt(node, 'class') === 'FUNCTION' &&
    textAt(node, 'schema') === '' &&
    textAt(node, 'catalog') === '' &&
    node['distinct'] === false &&
    node['export_state'] === false &&
    node['is_operator'] === false &&
    !isNode(node['filter']) &&
    listAt(nodeAt(node, 'order_bys') ?? {}, 'orders').length === 0
  )
}

/** Classes of expressions that give one value for each group, whatever else they hold. */
const PLAIN_CLASSES: ReadonlySet<string> = new Set([
  'BETWEEN',
  'CASE',
  'CAST',
  'COMPARISON',
  'CONJUNCTION',
  'CONSTANT',
  'OPERATOR',
  'PARAMETER',
])

/** Whether there is nothing but groups, aggregates of a scan, and what is computed of them. */
function isUnderstood(
  value: unknown,
  scope: SelectScope,
  texts: ReadonlySet<string>,
  aggregates: Aggregates,
): boolean {
  if (Array.isArray(value))
    return value.every((item) => isUnderstood(item, scope, texts, aggregates))
  if (!isNode(value) || aggregates.replacement(value) !== null) return true
  const kind = textAt(value, 'class')
  if (kind === 'COLUMN_REF') {
    const column = scope.columnOf(value)
    return column === null ? scope.isAlias(value) : texts.has(column)
  }
  if (kind === 'FUNCTION' && !isPlainFunction(value)) return false
  if (kind !== '' && kind !== 'FUNCTION' && !PLAIN_CLASSES.has(kind)) return false
  return Object.values(value).every((item) => isUnderstood(item, scope, texts, aggregates))
}
