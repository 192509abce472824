import { StratalogError } from '../base/errors.ts'
import { type ByteSize, type Duration, parseBytes, parseDuration } from '../base/units.ts'
import type { AsOf } from './as-of.ts'
import { assertKnownKeys, assertStatement } from '../base/check-arguments.ts'
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

const PREPARE_KEYS: Readonly<Record<keyof PrepareOptions, true>> = { signal: true, timeout: true }

const KEYS: Readonly<Record<keyof QueryOptions, true>> = {
  signal: true,
  timeout: true,
  maxRows: true,
  maxBytes: true,
  asOf: true,
}

/** @throws StratalogError `argument_invalid`. */
export function prepareOptions(sql: string, options: PrepareOptions): RunnerOptions {
  assertStatement(sql)
  assertKnownKeys(options, PREPARE_KEYS, 'prepare')
  return timeLimits(options)
}

/** @throws StratalogError `argument_invalid` for no text, an unknown option, or a value that is none of its kind. */
export function runnerOptions(sql: string, options: QueryOptions): RunnerOptions {
  assertStatement(sql)
  assertKnownKeys(options, KEYS, 'query')
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
