/** What a read may be asked for. */
import { StratalogError } from '../base/errors.ts'
import type { OffsetGap } from '../log/view-reader.ts'
import type { AsOf } from './as-of.ts'
import { assertKnownKeys, assertSignal } from './check-arguments.ts'

export interface ReadOptions {
  /** Default: every partition, one after the other. */
  readonly partition?: number
  /** First offset; with `partition`, or on a log of one. */
  readonly from?: number
  /** Offset after the last. */
  readonly to?: number
  /** Records at or after this time. */
  readonly since?: Date | string | number
  /** Records before this time. */
  readonly until?: Date | string | number
  /** At most this many records. */
  readonly limit?: number
  /** The newest `last` records of each partition that is read. */
  readonly last?: number
  /** Names of columns, the user's and the system's, in the order wanted. */
  readonly columns?: readonly string[]
  /**
   * Goes on with new records as they come, until the signal fires or the loop is left. Needs `partition` on a log of
   * several.
   */
  readonly live?: boolean
  readonly signal?: AbortSignal
  /** As it was at a snapshot, by name or id, or when the engine's clock showed a time. What expired since is gone. */
  readonly asOf?: AsOf
  /**
   * What to do at offsets that no tier holds: fail with `offset_gap`, go on after them, or be told of each and go on.
   * Default `fail`. Without `from` a log begins at its first readable offset, and that is no gap.
   */
  readonly onGap?: 'fail' | 'skip' | ((gap: OffsetGap) => void)
}

const KEYS: Readonly<Record<keyof ReadOptions, true>> = {
  partition: true,
  from: true,
  to: true,
  since: true,
  until: true,
  limit: true,
  last: true,
  columns: true,
  live: true,
  signal: true,
  asOf: true,
  onGap: true,
}

/** Of each option by itself, whatever the log. @throws StratalogError `argument_invalid` */
export function assertReadOptions(options: ReadOptions): void {
  assertKnownKeys(options, KEYS, 'read')
  const { columns, onGap, signal, asOf, live } = options
  if (columns !== undefined && !Array.isArray(columns)) {
    throw new StratalogError('argument_invalid', 'columns is an array of names of columns.')
  }
  const isGapWord = onGap === undefined || onGap === 'fail' || onGap === 'skip'
  if (!isGapWord && typeof onGap !== 'function') {
    throw new StratalogError(
      'argument_invalid',
      `onGap is 'fail', 'skip' or a function; got ${String(onGap)}.`,
    )
  }
  if (signal !== undefined) assertSignal(signal)
  if (asOf !== undefined && live === true)
    throw new StratalogError(
      'argument_invalid',
      'asOf is of the past, and live goes on: leave one out.',
    )
}
