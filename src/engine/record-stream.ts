/** Reading as the user sees it: batches one after the other, each leased until the next is asked for. */
import { StratalogError } from '../base/errors.ts'
import { parseTime } from '../base/units.ts'
import type { Batch } from './batch.ts'
import { BatchCursor } from './batch-cursor.ts'
import { BatchStream } from './batch-stream.ts'
import type { ReadOptions } from './read-options.ts'
import type { ReadableLog } from './readable-log.ts'
import { StreamReader, type StreamRequest } from './stream-reader.ts'

export type { ReadableLog } from './readable-log.ts'

/**
 * Batches of a log in offset order, partition by partition. Iterate once; leaving the loop early gives every lease
 * back.
 *
 * @example
 * for await (const record of clicks.read({ since: '2026-01-01T00:00:00Z' }).rows()) console.log(record)
 */
export class RecordStream extends BatchStream {
  /** @param pin finds what is read, when reading begins, in place of `log`. */
  constructor(
    log: ReadableLog,
    options: ReadOptions,
    pin: (() => Promise<ReadableLog>) | null = null,
  ) {
    assertOptions(log, options)
    super(() =>
      pin === null
        ? new BatchCursor(() => new StreamReader(log, requestOf(log, options)))
        : pinnedBatches(pin, options),
    )
  }
}

async function* pinnedBatches(
  pin: () => Promise<ReadableLog>,
  options: ReadOptions,
): AsyncGenerator<Batch, void, undefined> {
  yield* new RecordStream(await pin(), options)
}

/** @throws StratalogError `argument_invalid` for a time that is none. */
function requestOf(log: ReadableLog, options: ReadOptions): StreamRequest {
  const { partition, from, to = Infinity, since, until, limit = Infinity, last, columns } = options
  const hasBounds = since !== undefined || until !== undefined
  return {
    partitions: partition === undefined ? [...Array(log.partitionCount).keys()] : [partition],
    from: from ?? null,
    to,
    bounds: hasBounds
      ? {
          since: since === undefined ? null : parseTime(since, 'since'),
          until: until === undefined ? null : parseTime(until, 'until'),
        }
      : null,
    limit,
    last: last ?? null,
    columns: columns ?? null,
    live: options.live ?? false,
    signal: options.signal,
    onGap: options.onGap,
  }
}

function assertOptions(log: ReadableLog, options: ReadOptions): void {
  const { partition, from, to, limit, last } = options
  if (
    partition !== undefined &&
    !(Number.isInteger(partition) && partition >= 0 && partition < log.partitionCount)
  ) {
    throw new StratalogError(
      'partition_not_found',
      `Log '${log.name}' has partitions 0 to ${log.partitionCount - 1}; there is no partition ${String(partition)}.`,
    )
  }
  for (const [name, value] of Object.entries({ from, to, limit, last })) {
    if (value === undefined || (Number.isSafeInteger(value) && value >= 0)) continue
    throw new StratalogError(
      'argument_invalid',
      `${name} is a whole number, 0 or more; got ${String(value)}.`,
    )
  }
  if (from !== undefined && to !== undefined && from > to) {
    throw new StratalogError('argument_invalid', `from (${from}) is after to (${to}).`)
  }
  const needsOne = options.live === true || from !== undefined || to !== undefined
  if (needsOne && partition === undefined && log.partitionCount > 1) {
    throw new StratalogError(
      'argument_invalid',
      `Log '${log.name}' has ${log.partitionCount} partitions: name one with from, to and live.`,
    )
  }
}
