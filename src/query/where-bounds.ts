/** Whether a WHERE only bounds columns by constants, as the statement writes it. The plan tells the constants. */
import { type SelectScope, isPlainFunction } from './select-scope.ts'
import { type TreeNode, listAt, nodeAt, nodesOf, textAt } from './sql-tree.ts'

export interface Ends {
  readonly lower: End
  readonly upper: End
}

/** Whether the bound itself is left out. */
type End = 'open' | 'closed' | 'none'

/** By column that is bounded. */
export type OpenEnds = ReadonlyMap<string, Ends>

/** Null where a scan by the table's filter would not leave out just what the WHERE does. */
export function openEnds(scope: SelectScope): OpenEnds | null {
  const where = nodeAt(scope.node, 'where_clause')
  if (where === null) return new Map()
  const { filtered } = scope.table
  const sides = new Map<string, Sides>()
  for (const part of conjuncts(where)) {
    const bound = boundOf(part, scope)
    const known = sides.get(bound?.column ?? '')
    // Of two bounds at one side only DuckDB knows which counts.
    if (bound === null || !areApart(known, bound.sides)) return null
    sides.set(bound.column, { ...known, ...bound.sides })
  }
  if (filtered?.size !== sides.size) return null
  if (![...sides.keys()].every((column) => filtered.has(column))) return null
  const ends = ([column, { lower, upper }]: readonly [string, Sides]): readonly [string, Ends] => [
    column,
    { lower: lower ?? 'none', upper: upper ?? 'none' },
  ]
  return new Map([...sides].map(ends))
}

interface Sides {
  readonly lower?: 'open' | 'closed'
  readonly upper?: 'open' | 'closed'
}

const COMPARISONS: Readonly<Record<string, Sides>> = {
  COMPARE_EQUAL: { lower: 'closed', upper: 'closed' },
  COMPARE_GREATERTHAN: { lower: 'open' },
  COMPARE_GREATERTHANOREQUALTO: { lower: 'closed' },
  COMPARE_LESSTHAN: { upper: 'open' },
  COMPARE_LESSTHANOREQUALTO: { upper: 'closed' },
}

function areApart(a: Sides | undefined, b: Sides): boolean {
  const isLower = a?.lower !== undefined && b.lower !== undefined
  return !isLower && (a?.upper === undefined || b.upper === undefined)
}

function conjuncts(node: TreeNode): readonly TreeNode[] {
  return textAt(node, 'type') === 'CONJUNCTION_AND'
    ? listAt(node, 'children').flatMap(conjuncts)
    : [node]
}

function boundOf(
  node: TreeNode,
  scope: SelectScope,
): { readonly column: string; readonly sides: Sides } | null {
  if (textAt(node, 'type') === 'COMPARE_BETWEEN') {
    const column = columnIn(nodeAt(node, 'input'), scope)
    const isPlain = isConstant(nodeAt(node, 'lower')) && isConstant(nodeAt(node, 'upper'))
    return column !== null && isPlain
      ? { column, sides: { lower: 'closed', upper: 'closed' } }
      : null
  }
  const sides = COMPARISONS[textAt(node, 'type')]
  const [left, right] = [nodeAt(node, 'left'), nodeAt(node, 'right')]
  if (sides === undefined) return null
  const own = columnIn(left, scope)
  if (own !== null) return isConstant(right) ? { column: own, sides } : null
  const other = columnIn(right, scope)
  return other !== null && isConstant(left) ? { column: other, sides: turned(sides) } : null
}

/** `5 < x` is `x > 5`. */
function turned({ lower, upper }: Sides): Sides {
  return {
    ...(lower === undefined ? {} : { upper: lower }),
    ...(upper === undefined ? {} : { lower: upper }),
  }
}

/** A column, or one that is cast. */
function columnIn(node: TreeNode | null, scope: SelectScope): string | null {
  if (node === null) return null
  return textAt(node, 'class') === 'CAST'
    ? columnIn(nodeAt(node, 'child'), scope)
    : scope.columnOf(node)
}

/** The same for every record. */
function isConstant(node: TreeNode | null): boolean {
  if (node === null) return false
  for (const inner of nodesOf(node)) {
    const kind = textAt(inner, 'class')
    if (
      kind === 'FUNCTION'
        ? !isPlainFunction(inner)
        : !['', 'CAST', 'CONSTANT', 'PARAMETER'].includes(kind)
    )
      return false
  }
  return true
}
