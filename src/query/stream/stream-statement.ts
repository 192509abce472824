/**
 * What a continuous query asks for, from DuckDB's own parser: which log, which windows, and the statement taken apart
 * so that it can run over the rows of the windows that are due.
 *
 * The statement that the caller wrote becomes two. `rows` is what it reads: every record that passes its WHERE, with
 * the keys of its groups for sessions. `groups` is the rest, over a table `stream_due` that has `window_start` and
 * `window_end` beside the log's columns.
 */
import { StratalogError, isStratalogError } from '../../base/errors.ts'
import type { QueryParameters } from '../../base/query-parameters.ts'
import { readStatement } from '../statement.ts'
import { parseTableName } from '../table-columns.ts'
import {
  type TreeNode,
  isNode,
  isSameExpression,
  listAt,
  nodeAt,
  nodesOf,
  parseTree,
  placeAt,
  placeOf,
  replaceNodes,
  textAt,
} from '../sql-tree.ts'
import type { WindowSpec } from './window-spec.ts'

/** Runs a statement that names no log. */
export type RunSql = (
  sql: string,
  parameters: QueryParameters,
) => Promise<readonly Readonly<Record<string, unknown>>[]>

export interface StreamStatement {
  readonly sql: string
  readonly log: string
  readonly spec: WindowSpec
  /** Number of the groups' keys beside the window; of sessions they are columns `stream_key_0`, … of `rows`. */
  readonly keyCount: number
  readonly rowsSql: string
  readonly groupsSql: string
  /** As `groupsSql`, of the groups that have a row with `stream_new`. */
  readonly changedSql: string
  /** What of the statement DuckDB may complain about, with its place. */
  readonly tree: TreeNode
}

/** What is known of a log before anything is read of it. */
export interface StreamedSchema {
  readonly timeColumn: string
  readonly columns: readonly string[]
}

/** Nodes that are put into the statement, written as SQL: whatever DuckDB's tree looks like, they fit into it. */
const TEMPLATE = `SELECT *, window_start, window_end FROM stream_due WHERE true
  GROUP BY window_start, window_end HAVING bool_or(stream_new) AND true ORDER BY window_end, window_start`

const WINDOW_FUNCTIONS: Readonly<Record<string, number>> = { tumble: 2, hop: 3, session: 2 }

/**
 * @throws StratalogError `query_invalid` with line and column, `query_forbidden` for what does not read,
 * `query_not_streamable` for what has no answer window by window, and what `schemaOf` throws of the log.
 */
export async function readStreamStatement(
  sql: string,
  schemaOf: (log: string) => StreamedSchema,
  run: RunSql,
): Promise<StreamStatement> {
  const { isExplain } = readStatement(sql)
  if (isExplain) throw notStreamable('EXPLAIN explains a query that ends', {})
  const [own, template] = await parse(sql, run)
  const statement = new StatementTree(sql, own, template)
  const { log } = statement
  statement.resolve(schemaOf(log))
  const [rowsSql, groupsSql, changedSql, sizesSql] = await print(statement, run)
  const spec = statement.specOf(await sizesOf(sizesSql, statement, run))
  const keyCount = statement.keys.length
  return { sql, log, spec, keyCount, rowsSql, groupsSql, changedSql, tree: statement.node }
}

async function parse(sql: string, run: RunSql): Promise<readonly [TreeNode, TreeNode]> {
  const [row] = await run(
    'SELECT json_serialize_sql($1::VARCHAR) AS own, json_serialize_sql($2::VARCHAR) AS template',
    [sql, TEMPLATE],
  )
  const own = parseTree(String(row?.['own']))
  if (own['error'] === true) throw syntaxError(sql, own)
  const statements = listAt(own, 'statements')
  if (statements.length === 1 && statements[0] !== undefined)
    return [statements[0], listAt(parseTree(String(row?.['template'])), 'statements')[0] ?? {}]
  throw new StratalogError(
    'query_forbidden',
    `A query is one statement; this has ${statements.length}.`,
  )
}

function syntaxError(sql: string, tree: TreeNode): StratalogError {
  const message = textAt(tree, 'error_message')
  const position = Number(tree['position'])
  const details = Number.isNaN(position) ? {} : placeAt(sql, position)
  return new StratalogError('query_invalid', `Parser Error: ${message}`, { details })
}

async function print(
  { rows, groups, changed, sizes }: StatementTree,
  run: RunSql,
): Promise<readonly [string, string, string, string]> {
  const trees = [rows, groups, changed, sizes].map((statement) =>
    JSON.stringify({ error: false, statements: [statement] }),
  )
  const [row] = await run(
    `SELECT ${trees.map((_, index) => `json_deserialize_sql($${index + 1}::VARCHAR::JSON) AS t${index}`).join(', ')}`,
    trees,
  )
  return [String(row?.['t0']), String(row?.['t1']), String(row?.['t2']), String(row?.['t3'])]
}

/** The intervals of the window's function, in ms. */
async function sizesOf(
  sizesSql: string,
  statement: StatementTree,
  run: RunSql,
): Promise<readonly number[]> {
  const names = statement.sizeNames
  const columns = names.map(
    (name) =>
      `epoch_us(TIMESTAMP '1970-01-01' + ${name}) AS ${name}, datepart('month', ${name}) + 12 * datepart('year', ${name}) AS ${name}_months`,
  )
  const [row = {}] = await run(`SELECT ${columns.join(', ')} FROM (${sizesSql})`, []).catch(
    (cause: unknown) => {
      throw statement.windowError('takes intervals such as INTERVAL 1 MINUTE', cause)
    },
  )
  return names.map((name) => {
    const micros = Number(row[name])
    const isFixed = Number(row[`${name}_months`]) === 0
    if (isFixed && micros > 0 && micros % 1000 === 0 && Number.isSafeInteger(micros))
      return micros / 1000
    throw statement.windowError(
      'takes intervals of a fixed length, whole ms, above 0; months have none',
    )
  })
}

/** One statement's tree while it is taken apart. */
class StatementTree {
  readonly node: TreeNode
  readonly log: string
  readonly #sql: string
  readonly #statement: TreeNode
  readonly #template: TreeNode
  readonly #from: TreeNode
  /** The groups, ordinals and aliases resolved; the window's function is among them. */
  #groups: readonly TreeNode[] = []
  #window: TreeNode = {}

  constructor(sql: string, statement: TreeNode, template: TreeNode) {
    this.#sql = sql
    this.#statement = statement
    this.#template = nodeAt(template, 'node') ?? {}
    const node = nodeAt(statement, 'node') ?? {}
    this.node = node
    this.#assertStreamable(node)
    this.#from = this.#fromTable(node)
    this.log = this.#logOf(this.#from)
  }

  get keys(): readonly TreeNode[] {
    return this.#groups.filter((group) => group !== this.#window)
  }

  /** Finds the window among the groups. */
  resolve({ timeColumn, columns }: StreamedSchema): void {
    this.#groups = listAt(this.node, 'group_expressions').map((group) =>
      this.#resolveGroup(group, new Set(columns.map((name) => name.toLowerCase()))),
    )
    const windows = this.#groups.filter(isWindowCall)
    const [window] = windows
    if (window === undefined)
      throw notStreamable(
        'a continuous query has one of TUMBLE, HOP and SESSION in its GROUP BY',
        {},
      )
    if (windows.length > 1) throw this.#refused('a continuous query has one window', windows[1])
    this.#window = window
    const calls = [...nodesOf(this.node)].filter(isWindowCall)
    const other = calls.find((call) => !isSameExpression(call, window))
    if (other !== undefined) throw this.#refused('a continuous query has one window', other)
    const nested = this.keys.find((key) => [...nodesOf(key)].some(isWindowCall))
    if (nested !== undefined) throw this.#refused('a window is a group by itself', nested)
    const taken = columns.find((name) => /^(?:window_(?:start|end)|stream_\w+)$/i.test(name))
    if (taken !== undefined)
      throw notStreamable(
        `the log has a column ${JSON.stringify(taken)}, a name that windows need`,
        {},
      )
    this.#assertTime(timeColumn)
  }

  get #arguments(): readonly TreeNode[] {
    return listAt(this.#window, 'children')
  }

  get #kind(): WindowSpec['kind'] {
    return textAt(this.#window, 'function_name').toLowerCase() as WindowSpec['kind']
  }

  get sizeNames(): readonly string[] {
    return this.#arguments.slice(1).map((_, index) => `size_${index}`)
  }

  specOf(sizes: readonly number[]): WindowSpec {
    const [first = 1, second = first] = sizes
    if (this.#kind !== 'hop') return { kind: this.#kind, sizeMs: first, slideMs: first }
    if (first <= second && second <= first * HOPS_MAX)
      return { kind: 'hop', slideMs: first, sizeMs: second }
    throw this.windowError(
      `is HOP(time, slide, size): the slide is at most the size, and the size at most ${HOPS_MAX} slides`,
    )
  }

  /** The statement that reads: every column, and for sessions the keys. */
  get rows(): TreeNode {
    const keys = this.#kind === 'session' ? this.keys : []
    return this.#statementOf({
      ...this.#template,
      select_list: [
        ...listAt(this.#template, 'select_list').slice(0, 1),
        ...keys.map((key, index) => ({ ...key, alias: `stream_key_${index}` })),
      ],
      from_table: this.#from,
      where_clause: this.node['where_clause'],
      group_expressions: [],
      group_sets: [],
      having: null,
      modifiers: [],
    })
  }

  get groups(): TreeNode {
    return this.#statementOf(this.#grouped(this.node['having']))
  }

  get changed(): TreeNode {
    const having = nodeAt(this.#template, 'having') ?? {}
    const [isNew] = listAt(having, 'children')
    const own = nodeAt(this.node, 'having')
    return this.#statementOf(
      this.#grouped(own === null ? isNew : { ...having, children: [isNew, own] }),
    )
  }

  /** The sizes of the window as columns. */
  get sizes(): TreeNode {
    const names = this.sizeNames
    const sizes = this.#arguments.slice(1)
    return this.#statementOf({
      ...this.#template,
      select_list: sizes.map((size, index) => ({ ...size, alias: names[index] })),
      from_table: { type: 'EMPTY', alias: '', sample: null, query_location: 0 },
      where_clause: null,
      group_expressions: [],
      group_sets: [],
      having: null,
      modifiers: [],
    })
  }

  windowError(what: string, cause?: unknown): StratalogError {
    const name = this.#kind.toUpperCase()
    const details = placeOf(this.#window, this.#sql) ?? {}
    return new StratalogError('query_invalid', `${name} ${what}.`, {
      details,
      ...(cause === undefined ? {} : { cause }),
    })
  }

  #grouped(having: unknown): TreeNode {
    const [, start = {}, end = {}] = listAt(this.#template, 'select_list')
    const replaced = <Tree>(tree: Tree): Tree =>
      replaceNodes(tree, (node) =>
        isWindowCall(node) ? { ...start, alias: textAt(node, 'alias') } : null,
      )
    const own = replaced(listAt(this.node, 'select_list'))
    const isSelected = (name: string): boolean =>
      own.some((item) => (textAt(item, 'alias') || lastName(item)).toLowerCase() === name)
    const added = [
      ...(isSelected('window_start') ? [] : [start]),
      ...(isSelected('window_end') ? [] : [end]),
    ]
    const keys = this.keys.map((key) => ({ ...key, alias: '' }))
    const groups = [...keys, start, end]
    const [order] = listAt(this.#template, 'modifiers')
    const orders = order === undefined ? [] : listAt(order, 'orders')
    return {
      ...this.node,
      select_list: [...added, ...own],
      from_table: {
        ...nodeAt(this.#template, 'from_table'),
        alias: textAt(this.#from, 'alias') || textAt(this.#from, 'table_name'),
      },
      where_clause: null,
      group_expressions: groups,
      group_sets: [groups.map((_, index) => index)],
      having: replaced(having) ?? null,
      modifiers: [
        {
          ...order,
          orders: [...orders, ...keys.map((key) => ({ ...orders[0], expression: key }))],
        },
      ],
    }
  }

  #statementOf(node: TreeNode): TreeNode {
    return { ...this.#statement, node }
  }

  #assertStreamable(node: TreeNode): void {
    if (textAt(node, 'type') !== 'SELECT_NODE')
      throw notStreamable(
        'UNION, INTERSECT, EXCEPT and recursion have no answer window by window',
        {},
      )
    const modifier = textAt(listAt(node, 'modifiers')[0] ?? {}, 'type')
    if (modifier !== '')
      throw notStreamable(
        `${MODIFIERS[modifier] ?? modifier} needs all rows, and there is no last one`,
        {},
      )
    if (listAt(nodeAt(node, 'cte_map') ?? {}, 'map').length > 0)
      throw notStreamable('WITH is not taken: a continuous query reads one log', {})
    if (isNode(node['qualify']))
      throw this.#refused('QUALIFY is not taken', nodeAt(node, 'qualify'))
    if (isNode(node['sample'])) throw notStreamable('samples are not taken', {})
    const sets: unknown = node['group_sets']
    if (
      textAt(node, 'aggregate_handling') !== 'STANDARD_HANDLING' ||
      (Array.isArray(sets) && sets.length > 1)
    )
      throw notStreamable('GROUP BY names its groups; ALL and several sets are not taken', {})
    for (const inner of nodesOf(listOfParts(node))) {
      const kind = textAt(inner, 'class')
      if (kind === 'SUBQUERY') throw this.#refused('subqueries are not taken', inner)
      if (kind === 'WINDOW')
        throw this.#refused('OVER needs all rows, and there is no last one', inner)
    }
  }

  #fromTable(node: TreeNode): TreeNode {
    const from = nodeAt(node, 'from_table')
    const type = from === null ? '' : textAt(from, 'type')
    if (from === null || type !== 'BASE_TABLE')
      throw notStreamable(
        type === 'JOIN'
          ? 'joins are not taken: a continuous query reads one log'
          : 'a continuous query reads FROM one log',
        {},
      )
    const names: unknown = from['column_name_alias']
    const isPlain = from['at_clause'] === null && from['sample'] === null
    if (!isPlain || (Array.isArray(names) && names.length > 0))
      throw this.#refused('a continuous query reads all of a log, by its own names', from)
    return from
  }

  #logOf(from: TreeNode): string {
    const table = parseTableName(textAt(from, 'table_name'))
    if (table === null || textAt(from, 'table_name').includes('$'))
      throw this.#refused('a continuous query reads all tiers of a log', from)
    return table.log
  }

  /** What an ordinal or the name of a selected expression stands for. A column goes before such a name. */
  #resolveGroup(group: TreeNode, columns: ReadonlySet<string>): TreeNode {
    const selected = listAt(this.node, 'select_list')
    const value = nodeAt(group, 'value')?.['value']
    if (textAt(group, 'class') === 'CONSTANT' && typeof value === 'number')
      return selected[value - 1] ?? group
    const name = soleName(group)
    if (name === null || columns.has(name)) return group
    return selected.find((item) => textAt(item, 'alias').toLowerCase() === name) ?? group
  }

  #assertTime(timeColumn: string): void {
    const [time, ...sizes] = this.#arguments
    const count = WINDOW_FUNCTIONS[this.#kind] ?? 0
    if (time === undefined || sizes.length !== count - 1)
      throw this.windowError(`takes ${count} arguments: the time column and its intervals`)
    const name = lastName(time).toLowerCase()
    if (name !== '_time' && name !== timeColumn.toLowerCase())
      throw this.#refused(
        `windows are over _time${timeColumn === '_time' ? '' : ` or ${JSON.stringify(timeColumn)}`}, the log's time`,
        time,
      )
    const isConstant = [...nodesOf(sizes)].every(
      (node) => !['COLUMN_REF', 'PARAMETER', 'SUBQUERY'].includes(textAt(node, 'class')),
    )
    if (!isConstant) throw this.windowError('takes intervals that are constants')
  }

  #refused(what: string, node: TreeNode | null | undefined): StratalogError {
    return notStreamable(what, (node && placeOf(node, this.#sql)) ?? {})
  }
}

/** Windows that a record may be in. */
const HOPS_MAX = 1000

const MODIFIERS: Readonly<Record<string, string>> = {
  ORDER_MODIFIER: 'ORDER BY',
  LIMIT_MODIFIER: 'LIMIT',
  LIMIT_PERCENT_MODIFIER: 'LIMIT',
  DISTINCT_MODIFIER: 'DISTINCT',
}

/** The expressions of a statement. */
function listOfParts(node: TreeNode): readonly unknown[] {
  return [node['select_list'], node['where_clause'], node['group_expressions'], node['having']]
}

function isWindowCall(node: TreeNode): boolean {
  const name = textAt(node, 'function_name').toLowerCase()
  return textAt(node, 'class') === 'FUNCTION' && Object.hasOwn(WINDOW_FUNCTIONS, name)
}

function columnNames(node: TreeNode): readonly string[] {
  const names: unknown = node['column_names']
  return textAt(node, 'class') === 'COLUMN_REF' && Array.isArray(names) ? names.map(String) : []
}

/** The name of a column, without that of its table; empty for anything else. */
function lastName(node: TreeNode): string {
  return columnNames(node).at(-1) ?? ''
}

function soleName(node: TreeNode): string | null {
  const names = columnNames(node)
  return names.length === 1 ? (names[0] ?? '').toLowerCase() : null
}

function notStreamable(why: string, details: Readonly<Record<string, unknown>>): StratalogError {
  return new StratalogError('query_not_streamable', `The query cannot go on for ever: ${why}.`, {
    details,
  })
}

/**
 * What DuckDB has against the statement, at the caller's own place of it: the place that DuckDB knows is one in the
 * statement that was made of it.
 */
export function placedError(error: unknown, { sql, tree }: StreamStatement): unknown {
  if (!isStratalogError(error) || error.code !== 'query_invalid') return error
  const message = error.message.replace(/\n+LINE \d+: [\s\S]*$/, '')
  const culprit = [...nodesOf(tree)].find((node) => {
    const name = lastName(node) || textAt(node, 'function_name')
    return name !== '' && isNamedIn(message, name)
  })
  const details = (culprit && placeOf(culprit, sql)) ?? {}
  return new StratalogError('query_invalid', message, { cause: error, details })
}

function isNamedIn(message: string, name: string): boolean {
  const parts = message.toLowerCase().split(/[^\p{L}\p{N}_$]+/u)
  const quoted = `"${name.toLowerCase()}"`
  return (
    message.toLowerCase().includes(quoted) ||
    (/Function/.test(message) && parts.includes(name.toLowerCase()))
  )
}
