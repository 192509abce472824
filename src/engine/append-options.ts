/** What an append may be asked for; the log sees to what each of it means. */
import { StratalogError, throwIfAborted } from '../base/errors.ts'
import type { Duration } from '../base/units.ts'
import type { AckLevel } from '../format/manifest.ts'
import { assertKnownKeys, assertSignal } from './check-arguments.ts'

export interface AppendOptions {
  /** Default: by key on a log with one, else the partitions in turn. */
  readonly partition?: number
  /** Wait for this level instead of the one of the log. */
  readonly ack?: AckLevel
  /** In mode `memory`: the records are gone this long after the append. Default: the log's `ttl`. */
  readonly ttl?: Duration
  /** In mode `memory`: under eviction by priority, lower ones go first. Default: the log's `priority`. */
  readonly priority?: number
  /**
   * Of columns and Arrow data: their buffers are given away and never written to again. Then they are kept as they are,
   * without a copy, where they are big enough and fit the schema.
   */
  readonly adopt?: boolean
  /** Ends a wait for memory; nothing of the append is applied then, nor when it has fired before. */
  readonly signal?: AbortSignal
}

const KEYS: Readonly<Record<keyof AppendOptions, true>> = {
  partition: true,
  ack: true,
  ttl: true,
  priority: true,
  adopt: true,
  signal: true,
}

/** @throws StratalogError `argument_invalid` for options that an append does not know, `aborted`. */
export function assertAppendOptions(options: AppendOptions): void {
  assertKnownKeys(options, KEYS, 'append')
  const { signal, adopt } = options
  if (adopt !== undefined && typeof adopt !== 'boolean') {
    throw new StratalogError('argument_invalid', 'adopt is true or false.')
  }
  if (signal === undefined) return
  assertSignal(signal)
  throwIfAborted(signal)
}
