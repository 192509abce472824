/** What a statement is, and DuckDB's complaints about it as errors of ours. */
import {
  type DuckDBConnection,
  type DuckDBPreparedStatement,
  StatementType,
} from '@duckdb/node-api'
import { type ErrorCode, StratalogError, isStratalogError } from '../base/errors.ts'

export interface Statement {
  /** The statement itself, or what an EXPLAIN explains. */
  readonly query: string
  readonly isExplain: boolean
  /** False for an EXPLAIN that only shows the plan. */
  readonly isExecuted: boolean
}

/**
 * The statement without a leading EXPLAIN.
 *
 * @throws StratalogError `query_invalid` for an empty one or a NUL in it, `query_forbidden` for one that begins with
 * a word that reads nothing. DuckDB tells a statement's kind only after it has bound its tables, and would complain of
 * those instead.
 */
export function readStatement(sql: string): Statement {
  assertWhole(sql)
  const start = skipSpace(sql, 0)
  assertNotEmpty(sql, start)
  const word = firstWord(sql, start)
  if (word !== 'EXPLAIN') {
    assertReads(word)
    return { query: sql, isExplain: false, isExecuted: true }
  }
  const options = skipSpace(sql, start + word.length)
  let position = options
  if (sql[position] === '(') position = skipSpace(sql, sql.indexOf(')', position) + 1)
  else if (firstWord(sql, position) === 'ANALYZE')
    position = skipSpace(sql, position + 'ANALYZE'.length)
  assertNotEmpty(sql, position)
  assertReads(firstWord(sql, position))
  const isExecuted = /analy[sz]e/i.test(sql.slice(options, position))
  return { query: sql.slice(position), isExplain: true, isExecuted }
}

/** DuckDB reads up to a NUL, and would run what stands before it. */
function assertWhole(sql: string): void {
  const nul = sql.indexOf('\0')
  if (nul === -1) return
  const lines = sql.slice(0, nul).split('\n')
  const [line, column] = [lines.length, (lines.at(-1) ?? '').length + 1]
  throw new StratalogError(
    'query_invalid',
    `There is a NUL character in the SQL, in line ${line}, column ${column}; take it out. Parameters may have one.`,
    { details: { line, column } },
  )
}

function assertNotEmpty(sql: string, position: number): void {
  let end = position
  while (sql[end] === ';') end = skipSpace(sql, end + 1)
  if (end === sql.length) throw new StratalogError('query_invalid', 'The query is empty.')
}

const FORBIDDEN_WORDS: ReadonlySet<string> = new Set(
  (
    'ABORT ALTER ANALYZE ATTACH BEGIN CALL CHECKPOINT COMMENT COMMIT COPY CREATE DEALLOCATE DELETE DETACH DROP END ' +
    'EXECUTE EXPORT FORCE IMPORT INSERT INSTALL LOAD MERGE PRAGMA PREPARE RELEASE RESET ROLLBACK SAVEPOINT SET START ' +
    'TRUNCATE UPDATE USE VACUUM'
  ).split(' '),
)

function assertReads(word: string): void {
  if (FORBIDDEN_WORDS.has(word)) throw refused(word)
}

/** In capitals; empty where none begins. */
function firstWord(sql: string, position: number): string {
  return /^[a-z_]+/i.exec(sql.slice(position))?.[0].toUpperCase() ?? ''
}

function refused(statement: string): StratalogError {
  return new StratalogError('query_forbidden', `Queries only read; ${statement} is refused.`, {
    details: { statement },
  })
}

/** The position of the first character at or after `position` that is neither space nor comment. */
function skipSpace(sql: string, position: number): number {
  const space = /(?:\s|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)*/y
  space.lastIndex = position
  space.exec(sql)
  return space.lastIndex
}

/**
 * Prepares a statement that only reads.
 *
 * @throws StratalogError `query_invalid` for what DuckDB does not understand, `query_forbidden` for more than one
 * statement and for any that could write or change settings.
 */
export async function prepareReadOnly(
  connection: DuckDBConnection,
  sql: string,
  allowed: readonly StatementType[],
): Promise<DuckDBPreparedStatement> {
  const statements = await connection.extractStatements(sql)
  if (statements.count !== 1) {
    throw new StratalogError(
      'query_forbidden',
      `A query is one statement; this has ${statements.count}.`,
    )
  }
  const prepared = await statements.prepare(0)
  if (allowed.includes(prepared.statementType)) return prepared
  const name = StatementType[prepared.statementType] ?? 'unknown'
  prepared.destroySync()
  throw refused(name)
}

/** Kinds of DuckDB's errors that say that the statement is at fault. */
const STATEMENT_FAULTS =
  /^(?:Parser|Binder|Catalog|Conversion|Syntax|Invalid (?:Input|type)|Out of Range|Mismatch Type|Not implemented) Error/i
const OTHER_FAULTS =
  /^(?:Parameter .*|Constraint|Sequence|Expression|Unknown Type|Decimal|Divide by Zero|Settings) Error/

function codeOf(text: string): ErrorCode {
  if (STATEMENT_FAULTS.test(text) || OTHER_FAULTS.test(text)) return 'query_invalid'
  if (text.startsWith('Permission Error')) return 'query_forbidden'
  return text.startsWith('Out of Memory Error') ? 'query_limit' : 'query_failed'
}

/** DuckDB's error as one of ours; `details` has the line and column of the place where it knows it. */
export function statementError(error: unknown): StratalogError {
  if (isStratalogError(error)) return error
  const text = (error instanceof Error ? error.message : String(error)).replace(
    /^Failed to extract statements: /,
    '',
  )
  return new StratalogError(codeOf(text), text, { details: errorPlace(text) })
}

/** DuckDB shows the line and marks the column: `LINE 3: … ` and a caret below. */
function errorPlace(text: string): Readonly<Record<string, unknown>> {
  const match = /^LINE (\d+): (.*)\n( *)\^/m.exec(text)
  if (match === null) return {}
  const column = (match[3] ?? '').length - `LINE ${match[1] ?? ''}: `.length + 1
  return column < 1 ? { line: Number(match[1]) } : { line: Number(match[1]), column }
}
