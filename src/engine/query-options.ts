import { StratalogError } from '../base/errors.ts'
import { type Duration, parseDuration } from '../base/units.ts'
import type { AsOf } from './as-of.ts'
import type { QueryOptions as RunnerOptions } from '../query/query-runner.ts'

export interface QueryOptions {
  readonly signal?: AbortSignal
  /** From the call to the last row, waiting included. Default `5m`. */
  readonly timeout?: Duration
  /** More rows than this end the query with `query_limit`. */
  readonly maxRows?: number
  /** Every log as it was at a snapshot, by name or id, or at a time. */
  readonly asOf?: AsOf
}

const KNOWN_KEYS = ['signal', 'timeout', 'maxRows', 'asOf']

/** @throws StratalogError `argument_invalid` for an unknown key, or a value that is none of its kind. */
export function runnerOptions(options: QueryOptions): RunnerOptions {
  const { signal, timeout, maxRows } = options
  for (const key of Object.keys(options)) {
    if (KNOWN_KEYS.includes(key)) continue
    throw new StratalogError(
      'argument_invalid',
      `A query has no option '${key}'; it has ${KNOWN_KEYS.join(', ')}.`,
    )
  }
  if (maxRows !== undefined && !(Number.isSafeInteger(maxRows) && maxRows >= 0)) {
    throw new StratalogError(
      'argument_invalid',
      `maxRows is a whole number, 0 or more; got ${String(maxRows)}.`,
    )
  }
  return {
    ...(signal === undefined ? {} : { signal }),
    ...(timeout === undefined ? {} : { timeoutMs: parseDuration(timeout, 'timeout') }),
    ...(maxRows === undefined ? {} : { maxRows }),
  }
}
