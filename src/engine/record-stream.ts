/** Reading as the user sees it: batches one after the other, each leased until the next is asked for. */
import { StratalogError, isStratalogError, throwIfAborted } from '../base/errors.ts'
import { parseTime } from '../base/units.ts'
import { SYSTEM_COLUMNS, type SystemColumn } from '../format/schema.ts'
import type { LogView, PartitionView } from '../log/log-view.ts'
import { type ReadItem, readPartition } from '../log/view-reader.ts'
import { sliceRecordBatch } from '../format/record-batch.ts'
import { Batch, type RecordRow } from './batch.ts'

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
  /** What to do at offsets that no tier holds: fail with `offset_gap`, or go on after them. Default `fail`. */
  readonly onGap?: 'fail' | 'skip'
}

/** Where a stream takes its views from: a live log or an archive. */
export interface ReadableLog {
  readonly name: string
  readonly partitionCount: number
  /** A pinned view of `[from, to)` of one partition; the caller releases it. */
  viewOf(partition: number, from: number, to: number): LogView
  /** Resolves when the offset is visible, or on abort. */
  waitFor(partition: number, offset: number, signal: AbortSignal): Promise<void>
  /** Called once when the stream has ended, with every view released. */
  close?(): Promise<void>
}

/**
 * Batches of a log in offset order, partition by partition. Iterate once; leaving the loop early gives every lease
 * back.
 *
 * @example
 * for await (const record of clicks.read({ since: '2026-01-01T00:00:00Z' }).rows()) console.log(record)
 */
export class RecordStream implements AsyncIterable<Batch> {
  readonly #log: ReadableLog
  readonly #options: ReadOptions

  constructor(log: ReadableLog, options: ReadOptions) {
    assertOptions(log, options)
    this.#log = log
    this.#options = options
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch, void, undefined> {
    const { partition, limit = Infinity } = this.#options
    const partitions =
      partition === undefined ? [...Array(this.#log.partitionCount).keys()] : [partition]
    let left = limit
    if (left <= 0) return
    try {
      for (const number of partitions) {
        for await (const batch of this.#partition(number, left)) {
          left -= batch.length
          yield batch
          if (left <= 0) return
        }
      }
    } finally {
      await this.#log.close?.()
    }
  }

  /** The records as plain objects. */
  async *rows(): AsyncGenerator<RecordRow, void, undefined> {
    for await (const batch of this) yield* batch.toRows()
  }

  /** Every record as an array: for what fits in memory. */
  async toArray(): Promise<RecordRow[]> {
    const rows: RecordRow[] = []
    for await (const batch of this) {
      // Not spread: one batch may have more rows than a call has arguments.
      for (const row of batch.toRows()) rows.push(row)
    }
    return rows
  }

  async *#partition(partition: number, limit: number): AsyncGenerator<Batch, void, undefined> {
    const { live = false, to = Infinity, signal } = this.#options
    let from = this.#firstOffset(partition)
    let left = limit
    const stop = new AbortController()
    const aborted = signal === undefined ? stop.signal : AbortSignal.any([stop.signal, signal])
    let isFollowing = false
    try {
      for (;;) {
        throwIfAborted(signal)
        const view = this.#log.viewOf(partition, from, to)
        const pinned = partitionOf(view, partition)
        const end = pinned?.endOffset ?? from
        try {
          if (isFollowing && pinned !== undefined) this.#assertFollows(pinned, from)
          for await (const item of readPartition(view, partition, this.#readOptions())) {
            const taken = item.batch.length > left ? cut(item, left) : item
            left -= taken.batch.length
            yield this.#batch(taken, view)
            if (left <= 0) return
          }
        } finally {
          view.release()
        }
        from = Math.max(from, end)
        if (!live || from >= to) return
        isFollowing = true
        await this.#log.waitFor(partition, from, aborted)
        if (aborted.aborted) return
      }
    } catch (error) {
      // A live tail ends by its signal, wherever the signal finds it.
      if (!live || signal?.aborted !== true || !isStratalogError(error) || error.kind !== 'aborted')
        throw error
    } finally {
      stop.abort()
    }
  }

  /** Records that were evicted before a live tail came to them are a gap, not a late start. */
  #assertFollows(pinned: PartitionView, from: number): void {
    const { partition, startOffset, endOffset } = pinned
    if (this.#options.onGap === 'skip' || startOffset <= from || endOffset <= from) return
    throw new StratalogError(
      'offset_gap',
      `Log '${this.#log.name}', partition ${partition}: offsets [${from}, ${startOffset}) were dropped before this reader came to them.`,
      { details: { log: this.#log.name, partition, from, to: startOffset } },
    )
  }

  #firstOffset(partition: number): number {
    const { from = 0, last } = this.#options
    if (last === undefined) return from
    const view = this.#log.viewOf(partition, 0, Infinity)
    try {
      const pinned = partitionOf(view, partition)
      return pinned === undefined
        ? from
        : Math.max(from, pinned.startOffset, pinned.endOffset - last)
    } finally {
      view.release()
    }
  }

  #readOptions(): Parameters<typeof readPartition>[2] {
    const { since, until, signal, onGap } = this.#options
    return {
      onGap: onGap ?? 'fail',
      ...(since === undefined ? {} : { since: parseTime(since, 'since') }),
      ...(until === undefined ? {} : { until: parseTime(until, 'until') }),
      ...(signal === undefined ? {} : { signal }),
    }
  }

  #batch(item: ReadItem, view: LogView): Batch {
    return new Batch(item.batch, {
      partition: item.partition,
      tier: item.tier,
      timeColumn: view.definition.timeColumn ?? '_time',
      keyColumn: view.definition.keyColumn,
      columns: this.#columns(view),
    })
  }

  #columns(view: LogView): readonly string[] | null {
    const { columns } = this.#options
    if (columns === undefined) return null
    for (const name of columns) {
      const isKnown = isSystem(name) || view.schema.fields.some((field) => field.name === name)
      if (isKnown) continue
      const names = view.schema.fields
        .map((field) => field.name)
        .filter((other) => !isSystem(other))
      throw new StratalogError(
        'argument_invalid',
        `Log '${this.#log.name}' has no column ${JSON.stringify(name)}; it has ${names.join(', ')} and ${SYSTEM_COLUMNS.join(', ')}.`,
      )
    }
    return columns
  }
}

function partitionOf(view: LogView, partition: number): PartitionView | undefined {
  return view.partitions.find((candidate) => candidate.partition === partition)
}

function isSystem(name: string): name is SystemColumn {
  return (SYSTEM_COLUMNS as readonly string[]).includes(name)
}

function cut(item: ReadItem, count: number): ReadItem {
  const { baseOffset } = item.batch
  return { ...item, batch: sliceRecordBatch(item.batch, baseOffset, baseOffset + count) }
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
