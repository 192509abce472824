import {
  type DuckDBPreparedStatement,
  type DuckDBValue,
  blobValue,
  timestampValue,
} from '@duckdb/node-api'
import { StratalogError } from '../base/errors.ts'
import { type QueryParameter, type QueryParameters, isInt128 } from '../base/query-parameters.ts'

/** Gives a statement its parameters. @throws StratalogError `query_invalid` when they do not fit its placeholders. */
export function bindParameters(
  statement: DuckDBPreparedStatement,
  parameters: QueryParameters,
): void {
  const count = statement.parameterCount
  const given = Array.isArray(parameters) ? parameters.length : Object.keys(parameters).length
  if (given !== count) {
    throw new StratalogError(
      'query_invalid',
      `The query has ${count} parameters and was given ${given}.`,
      {
        details: { expected: count, given },
      },
    )
  }
  for (let index = 1; index <= count; index++) {
    const name = statement.parameterName(index)
    bindOne(statement, index, parameterOf(parameters, index, name))
  }
}

/** The same for a statement made of another one: by place, the names of those of the other's placeholders it has. */
export function bindKnownParameters(
  statement: DuckDBPreparedStatement,
  parameters: QueryParameters,
  placeholders: readonly string[],
): void {
  for (let index = 1; index <= statement.parameterCount; index++) {
    // Those without a name are called by their place.
    const name = placeholders[index - 1] ?? ''
    const own = Array.isArray(parameters) ? name : statement.parameterName(index)
    bindOne(statement, index, parameterOf(parameters, Number(name), own))
  }
}

function parameterOf(parameters: QueryParameters, place: number, name: string): QueryParameter {
  if (Array.isArray(parameters)) return (parameters as readonly QueryParameter[])[place - 1] ?? null
  const named = parameters as Readonly<Record<string, QueryParameter>>
  if (Object.hasOwn(named, name)) return named[name] ?? null
  throw new StratalogError('query_invalid', `The query's parameter $${name} was not given.`, {
    details: { name },
  })
}

const INT64_MAX = 2n ** 63n - 1n

function bindOne(statement: DuckDBPreparedStatement, index: number, value: QueryParameter): void {
  if (value === null) statement.bindNull(index)
  else if (typeof value === 'string') statement.bindVarchar(index, value)
  else if (typeof value === 'boolean') statement.bindBoolean(index, value)
  else if (typeof value === 'number') bindNumber(statement, index, value)
  else if (typeof value === 'bigint') bindBigInt(statement, index, value)
  else statement.bindValue(index, objectValue(value))
}

/** Compared with a double, a whole number of a column is rounded; so a whole number goes as what it is. */
function bindNumber(statement: DuckDBPreparedStatement, index: number, value: number): void {
  if (Number.isInteger(value) && isInt128(BigInt(value)))
    bindBigInt(statement, index, BigInt(value))
  else statement.bindDouble(index, value)
}

function bindBigInt(statement: DuckDBPreparedStatement, index: number, value: bigint): void {
  if (value <= INT64_MAX && value >= -INT64_MAX - 1n) statement.bindBigInt(index, value)
  else statement.bindHugeInt(index, value)
}

function objectValue(value: Date | Uint8Array): DuckDBValue {
  return value instanceof Date ? timestampValue(BigInt(value.getTime()) * 1000n) : blobValue(value)
}
