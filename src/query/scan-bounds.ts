/**
 * Which values a statement can use at all, read from DuckDB's plan. DuckDB pushes no filters into table functions, but
 * `EXPLAIN (FORMAT JSON)` shows the filter directly above each scan, after constants, parameters and `now()` have been
 * folded. Everything here is conservative: what is not understood bounds nothing.
 *
 * While a statement is planned, the columns of a scan bear names that the statement does not contain
 * (`scanColumnName`). DuckDB prints aliases in some expressions, so with guessable names an alias could pass for a
 * column: `SELECT * FROM (SELECT a + 1 AS b FROM t) WHERE b::DOUBLE > 5`.
 */
import { StratalogError } from '../base/errors.ts'
import { type ColumnType, timestampUnit } from '../format/schema.ts'
import { type TableColumn, sqlColumnType } from './table-columns.ts'

/** Numbers and bigints compare by value; times are µs since 1970 as bigint; dates are days since 1970. */
export type BoundValue = number | bigint | string

/** Inclusive bounds of one column of a scan; null means open. */
export interface ColumnBounds {
  readonly column: number
  readonly min: BoundValue | null
  readonly max: BoundValue | null
  /** Whether its ends may be outside: DuckDB prints BETWEEN for all pairs of comparisons. */
  readonly isBetween?: true
}

/** One scan: it can only use rows inside all of these bounds. */
export type ScanBounds = readonly ColumnBounds[]

/** What the scans of a statement can need, by table number. */
export interface PlannedScans {
  /** Null where nothing is known of a table's scans; one without a usable filter has empty bounds. */
  readonly bounds: readonly (readonly ScanBounds[] | null)[]
  /** The columns that any scan of the table gives, by their number; null where that is not known. */
  readonly columns: readonly (readonly number[] | null)[]
  /** Of a table that is scanned once, what its one scan leaves out, where that is just what is outside of these. */
  readonly filters: readonly (ScanBounds | null)[]
}

/** What is known of a filter. */
export interface ScanFilter {
  readonly bounds: ScanBounds
  /** Whether every row inside the bounds passes, and no other. */
  readonly isExact: boolean
}

const NO_FILTER: ScanFilter = { bounds: [], isExact: true }

export function scanColumnName(table: number, column: number, nonce: string): string {
  return `${nonce}_${table}_${column}`
}

/** A word that the statement does not contain. */
export function nonceFor(sql: string): string {
  const text = sql.toLowerCase()
  for (let number = 0; ; number++) {
    const nonce = `scan${number}`
    if (!text.includes(nonce)) return nonce
  }
}

/** @throws StratalogError `query_failed` when the plan is not JSON. */
export function scansFromPlan(
  planJson: string,
  tables: readonly (readonly TableColumn[])[],
  nonce: string,
): PlannedScans {
  const found: FoundScan[] = []
  collectScans(parsePlan(planJson), null, nonce, found)
  const isKnown = found.every((scan) => scan.table !== null && scan.table < tables.length)
  const scansOf = (table: number): readonly FoundScan[] | null =>
    isKnown ? found.filter((scan) => scan.table === table) : null
  const filters = tables.map((columns, table) => {
    const types = columns.map((column) => sqlColumnType(column.origin))
    const filterOf = ({ filter }: FoundScan): ScanFilter =>
      filter === null ? NO_FILTER : parseFilter(filter, `${nonce}_${table}_`, types)
    return scansOf(table)?.map(filterOf) ?? null
  })
  return {
    bounds: filters.map((scans) => scans?.map(({ bounds }) => bounds) ?? null),
    filters: filters.map((scans) => {
      const [only, another] = scans ?? []
      return only?.isExact === true && another === undefined ? only.bounds : null
    }),
    columns: tables.map((_, table) => {
      const given = scansOf(table)?.map(({ columns }) => columns)
      if (given === undefined || given.includes(null)) return null
      return [...new Set(given.flatMap((columns) => columns ?? []))]
    }),
  }
}

/** A scan in a plan; `table` is null when it cannot be told apart, and then nothing may be pruned. */
interface FoundScan {
  readonly table: number | null
  /** That it gives; null when one of them cannot be told. */
  readonly columns: readonly number[] | null
  readonly filter: string | null
}

interface PlanNode {
  readonly name: string
  readonly children: readonly PlanNode[]
  readonly extra_info: Readonly<Record<string, unknown>>
}

function parsePlan(planJson: string): readonly PlanNode[] {
  try {
    return JSON.parse(planJson) as readonly PlanNode[]
  } catch (cause) {
    throw new StratalogError(
      'query_failed',
      'DuckDB explained a query in a form that is not JSON.',
      { cause },
    )
  }
}

function collectScans(
  nodes: readonly PlanNode[],
  filter: string | null,
  nonce: string,
  found: FoundScan[],
): void {
  for (const node of nodes) {
    const name = node.name.trim()
    if (name === SCAN_NODE) found.push({ ...projectionOf(node, nonce), filter })
    const expression = name === 'FILTER' ? node.extra_info['Expression'] : null
    collectScans(node.children, typeof expression === 'string' ? expression : null, nonce, found)
  }
}

/** DuckDB prints the name of a table function in capitals. */
const SCAN_NODE = 'STRATALOG_SCAN'

function projectionOf(node: PlanNode, nonce: string): Omit<FoundScan, 'filter'> {
  const projections = node.extra_info['Projections']
  const names: readonly unknown[] = Array.isArray(projections) ? projections : [projections]
  const pattern = new RegExp(`^${nonce}_(\\d+)_(\\d+)$`)
  const places = names.map((name) => (typeof name === 'string' ? pattern.exec(name) : null))
  const first = places[0]?.[1]
  const table = first === undefined ? null : Number(first)
  const isOfOne = places.every((place) => place !== null && place[1] === first)
  return { table, columns: isOfOne ? places.map((place) => Number(place?.[2])) : null }
}

/**
 * The bounds in a filter as DuckDB prints it: a comparison, or comparisons joined by AND. `prefix` begins the names of
 * the scan's columns, and `types` are their types.
 */
export function parseFilter(
  text: string,
  prefix: string,
  types: readonly ColumnType[],
): ScanFilter {
  const parts = conjuncts(text).map((part) => parseComparison(part, prefix, types))
  const known = parts.filter((part) => part !== null)
  return {
    bounds: known.map(({ bound }) => bound),
    isExact: known.length === parts.length && known.every(({ isExact }) => isExact),
  }
}

function conjuncts(text: string): readonly string[] {
  const inner = withoutParentheses(text.trim())
  if (BETWEEN.test(inner)) return [inner]
  const parts = splitConjunction(inner)
  return parts.length === 1 ? [inner] : parts.flatMap(conjuncts)
}

/** Removes a pair of parentheses that encloses the whole text. */
function withoutParentheses(text: string): string {
  if (!text.startsWith('(')) return text
  let end = -1
  scanTopLevel(text, (position, depth) => {
    if (end === -1 && depth === 0 && text[position] === ')') end = position
  })
  return end === text.length - 1 ? withoutParentheses(text.slice(1, -1).trim()) : text
}

function splitConjunction(text: string): readonly string[] {
  const parts: string[] = []
  let start = 0
  scanTopLevel(text, (position, depth) => {
    if (depth === 0 && text.startsWith(' AND ', position)) {
      parts.push(text.slice(start, position))
      start = position + ' AND '.length
    }
  })
  parts.push(text.slice(start))
  return parts
}

/** Visits every character outside quotes with the depth of parentheses after it. */
function scanTopLevel(text: string, visit: (position: number, depth: number) => void): void {
  let depth = 0
  let quote: string | null = null
  for (let position = 0; position < text.length; position++) {
    const character = text[position] ?? ''
    if (quote !== null) {
      if (character === quote) quote = null
      continue
    }
    if (character === "'" || character === '"') {
      quote = character
      continue
    }
    if (character === '(') depth++
    if (character === ')') depth--
    visit(position, depth)
  }
}

const COLUMN = String.raw`(?:CAST\((?<cast>\w+) AS (?<castType>[A-Z0-9_(), ]+)\)|(?<column>\w+))`
const LITERAL = String.raw`(?:'(?:[^']|'')*'(?:::[A-Z_ ]+)?|-?\d[\d.eE+-]*)`
const COMPARISON = new RegExp(`^${COLUMN} (?<operator>=|>=|<=|>|<) (?<value>${LITERAL})$`)
const BETWEEN = new RegExp(`^${COLUMN} BETWEEN (?<low>${LITERAL}) AND (?<high>${LITERAL})$`)

function parseComparison(
  text: string,
  prefix: string,
  types: readonly ColumnType[],
): { readonly bound: ColumnBounds; readonly isExact: boolean } | null {
  const groups = (BETWEEN.exec(text) ?? COMPARISON.exec(text))?.groups
  if (groups === undefined) return null
  const name = groups['column'] ?? groups['cast'] ?? ''
  const column = name.startsWith(prefix) ? Number(name.slice(prefix.length)) : -1
  const type = types[column]
  if (type === undefined || !isExactCast(type, groups['castType'])) return null
  if (mayFail(type, groups['castType'])) return null
  const isDouble = groups['castType'] === 'DOUBLE'
  const literal = (group: string): BoundValue | null => {
    const value = parseLiteral(groups[group] ?? '', type)
    return isDouble && typeof value === 'bigint' ? exactDouble(Number(value)) : value
  }
  const isSafe = isSafeCast(type, groups['castType'])
  if (groups['low'] !== undefined) {
    const [min, max] = [literal('low'), literal('high')]
    const isExact = isSafe && isCount(min, type) && isCount(max, type)
    return { bound: { column, min, max, isBetween: true }, isExact }
  }
  const value = literal('value')
  if (value === null) return null
  const operator = groups['operator'] ?? ''
  // Of whole numbers, what is less than one is at most the one before.
  const isWhole = isCount(value, type)
  const bound = {
    column,
    min: operator.startsWith('<') ? null : isWhole && operator === '>' ? value + 1n : value,
    max: operator.startsWith('>') ? null : isWhole && operator === '<' ? value - 1n : value,
  }
  return { bound, isExact: isSafe && isWhole }
}

/** Whether a bound is a whole number of the units that the column counts, or of shorter ones. */
function isCount(value: BoundValue | null, type: ColumnType): value is bigint {
  if (typeof value !== 'bigint') return false
  return INTEGERS.test(type) || ['s', 'ms', 'us'].includes(timestampUnit(type) ?? '')
}

const INTEGERS = /^u?int(?:8|16|32|64)$/
const FLOATS = /^float(?:32|64)$/

/** Whether no value of the type is refused by a cast: what a statement fails by must not be left out of it. */
function isSafeCast(type: ColumnType, cast: string | undefined): boolean {
  if (cast === undefined) return true
  if (timestampUnit(type) !== null) return type !== 'timestamp[s]'
  if (cast === 'HUGEINT') return true
  return cast === 'BIGINT' ? type !== 'uint64' : cast === 'INTEGER' && /^u?int(?:8|16)$/.test(type)
}

/**
 * Whether a cast of a column that is no time fails for some values: they may be in what bounds would pass over, and the
 * statement fails by them. Of times only seconds beyond the year 290,000 fail, which no bound is given up for.
 */
function mayFail(type: ColumnType, cast: string | undefined): boolean {
  if (isSafeCast(type, cast) || timestampUnit(type) !== null || cast === 'DOUBLE') return false
  const [, width, scale] = /^DECIMAL\((\d+),(\d+)\)$/.exec(cast ?? '') ?? []
  return Number(width) - Number(scale) < (INTEGER_DIGITS[type] ?? 0) || width === undefined
}

const INTEGER_DIGITS: Readonly<Record<string, number>> = {
  int8: 3,
  uint8: 3,
  int16: 5,
  uint16: 5,
  int32: 10,
  uint32: 10,
  int64: 19,
  uint64: 20,
}

/** Whether a cast of a column keeps every value in place, so that bounds of the one are bounds of the other. */
function isExactCast(type: ColumnType, cast: string | undefined): boolean {
  if (cast === undefined) return true
  // To DOUBLE, integers beyond 2^53 are rounded; `exactDouble` takes no bound from out there.
  if (INTEGERS.test(type))
    return /^(?:DOUBLE|INTEGER|BIGINT|HUGEINT|DECIMAL\(\d+,\d+\))$/.test(cast)
  if (FLOATS.test(type)) return cast === 'DOUBLE'
  return timestampUnit(type) !== null && /^TIMESTAMP(?: WITH TIME ZONE)?$/.test(cast)
}

/** A literal as a value of a column of this type; null for what has no place in an order we know. */
function parseLiteral(text: string, type: ColumnType): BoundValue | null {
  const quoted = /^'((?:[^']|'')*)'(?:::([A-Z_ ]+))?$/.exec(text)
  if (quoted === null) return INTEGERS.test(type) || FLOATS.test(type) ? parseNumber(text) : null
  const value = (quoted[1] ?? '').replaceAll("''", "'")
  const literalType = quoted[2]
  if (literalType === undefined) return type === 'utf8' ? value : null
  if (literalType === 'DATE') return type === 'date' ? parseDays(value) : null
  const isTime =
    timestampUnit(type) !== null && /^TIMESTAMP(?:_S|_MS| WITH TIME ZONE)?$/.test(literalType)
  return isTime ? parseMicros(value) : null
}

const EXACT_MAX = 2 ** 52

/** Whole numbers of any size, fractions only where a double still holds them well. */
function parseNumber(text: string): number | bigint | null {
  if (/^-?\d+$/.test(text)) return BigInt(text)
  return exactDouble(Number(text))
}

function exactDouble(value: number): number | null {
  return Math.abs(value) <= EXACT_MAX ? value : null
}

const TIME_PATTERN = /^(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2}:\d{2})(?:\.(\d{1,6}))?(?:\+00)?$/

function parseMicros(text: string): bigint | null {
  const match = TIME_PATTERN.exec(text)
  const ms = match === null ? NaN : Date.parse(`${match[1] ?? ''}T${match[2] ?? ''}Z`)
  if (Number.isNaN(ms)) return null
  return BigInt(ms) * 1000n + BigInt((match?.[3] ?? '').padEnd(6, '0'))
}

function parseDays(text: string): number | null {
  const ms = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : NaN
  return Number.isNaN(ms) ? null : ms / 86_400_000
}
