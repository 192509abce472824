import { StratalogError } from '../base/errors.ts'
import { type ByteSize, type Duration, parseBytes, parseDuration } from '../base/units.ts'
import type { QueryParameters } from '../base/query-parameters.ts'
import type { AsOf } from './as-of.ts'
import {
  LOOKED_AT_LATER,
  type OptionKind,
  SIGNAL,
  assertObject,
  assertOptions,
  assertText,
} from './check-arguments.ts'
import type { QueryOptions as RunnerOptions } from '../query/query-runner.ts'

export interface QueryOptions {
  readonly signal?: AbortSignal
  /** From the call to the last row, waiting included. Default `5m`. */
  readonly timeout?: Duration
  /** More rows than this end the query with `query_limit`. */
  readonly maxRows?: number
  /**
   * More bytes of rows than this, in Arrow's layout, end the query with `query_limit`. Default none for rows that are
   * read as they come, `1GB` for those that are collected.
   */
  readonly maxBytes?: ByteSize
  /** Every log as it was at a snapshot, by name or id, or at a time. */
  readonly asOf?: AsOf
}

/** How long it may take to prepare a query. */
export type PrepareOptions = Pick<QueryOptions, 'signal' | 'timeout'>

const PREPARE_KINDS: Readonly<Record<keyof PrepareOptions, OptionKind>> = {
  signal: SIGNAL,
  timeout: LOOKED_AT_LATER,
}

const KINDS: Readonly<Record<keyof QueryOptions, OptionKind>> = {
  ...PREPARE_KINDS,
  maxRows: LOOKED_AT_LATER,
  maxBytes: LOOKED_AT_LATER,
  asOf: LOOKED_AT_LATER,
}

/** @throws StratalogError `argument_invalid`. */
export function prepareOptions(sql: string, options: PrepareOptions): RunnerOptions {
  assertText(sql, 'The statement of a query')
  assertOptions(options, PREPARE_KINDS, 'prepare')
  return timeLimits(options)
}

/** @throws StratalogError `argument_invalid` for an unknown key, or a value that is none of its kind. */
export function runnerOptions(
  sql: string,
  parameters: QueryParameters,
  options: QueryOptions,
): RunnerOptions {
  assertText(sql, 'The statement of a query')
  assertObject(parameters, 'The parameters of a query are an array, or an object by name')
  assertOptions(options, KINDS, 'query')
  const { maxRows, maxBytes } = options
  if (maxRows !== undefined && !(Number.isSafeInteger(maxRows) && maxRows >= 0)) {
    throw new StratalogError(
      'argument_invalid',
      `maxRows is a whole number, 0 or more; got ${String(maxRows)}.`,
    )
  }
  return {
    ...timeLimits(options),
    ...(maxRows === undefined ? {} : { maxRows }),
    ...(maxBytes === undefined ? {} : { maxBytes: parseBytes(maxBytes, 'maxBytes') }),
  }
}

function timeLimits({ signal, timeout }: PrepareOptions): RunnerOptions {
  return {
    ...(signal === undefined ? {} : { signal }),
    ...(timeout === undefined ? {} : { timeoutMs: parseDuration(timeout, 'timeout') }),
  }
}
