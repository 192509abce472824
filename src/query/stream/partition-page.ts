/** Reads the times of a log, a pinned page at a time, and sees that nothing of what windows need is missing. */
import { fieldIndex } from '../../format/schema.ts'
import type { RecordBatch } from '../../format/record-batch.ts'
import type { Range } from '../../base/range.ts'
import type { LogView, PartitionView } from '../../log/log-view.ts'
import { gapError, isFailure, readPartition, timeColumnOf } from '../../log/view-reader.ts'
import { eventTimes } from './event-times.ts'
import type { StreamedLog } from './stream-ports.ts'

export interface TimedBatch {
  readonly batch: RecordBatch
  readonly times: Float64Array
}

export interface PageOptions {
  /** Every column, or only the time. */
  readonly isWhole: boolean
  readonly skipGaps: boolean
  readonly signal: AbortSignal
}

/**
 * The first batches of `[from, to)`, valid until the next one is asked for. Returns the offset that reading goes on at.
 * @throws StratalogError `offset_gap`, `aborted`, and what reading throws.
 */
export async function* readPage(
  log: StreamedLog,
  partition: number,
  { start: from, end: to }: Range,
  { isWhole, skipGaps, signal }: PageOptions,
): AsyncGenerator<TimedBatch, number, undefined> {
  const view = log.viewOf(partition, from, to)
  try {
    const pinned = view.partitions.find((candidate) => candidate.partition === partition)
    // Everything up to here has gone meanwhile.
    if (pinned === undefined || pinned.endOffset <= from) return to
    const end = Math.min(to, pinned.endOffset)
    if (!skipGaps) assertNoGap(log.name, pinned, { start: from, end: pinned.startOffset })
    const timeColumn = timeColumnOf(view)
    const parts = readPartition(view, partition, {
      from,
      to: end,
      columns: isWhole ? undefined : [timeColumn],
      signal,
      onGap: skipGaps ? 'skip' : 'fail',
    })
    for await (const { batch } of parts) {
      const column = batch.columns[fieldIndex(batch.schema, timeColumn)]
      if (column !== undefined) yield { batch, times: eventTimes(column) }
    }
    return end
  } finally {
    view.release()
  }
}

/** Pins the records that windows need. @throws StratalogError `offset_gap` when some are not there any more. */
export function pinWhole(
  log: StreamedLog,
  ranges: ReadonlyMap<number, Range>,
  skipGaps: boolean,
): LogView {
  const view = log.pin(ranges)
  if (skipGaps) return view
  try {
    for (const pinned of view.partitions) {
      const range = ranges.get(pinned.partition)
      if (range !== undefined) assertCovered(log.name, pinned, range)
    }
  } catch (error) {
    view.release()
    throw error
  }
  return view
}

function assertCovered(log: string, pinned: PartitionView, { start, end }: Range): void {
  let next = start
  for (const source of pinned.sources) {
    const [from, to] =
      source.tier === 'memory'
        ? [source.batch.baseOffset, source.batch.baseOffset + source.batch.length]
        : [source.from, source.to]
    assertNoGap(log, pinned, { start: next, end: from })
    next = to
  }
  assertNoGap(log, pinned, { start: next, end })
}

/** What is gone as its log's policy says is no failure. */
function assertNoGap(log: string, { partition, gaps }: PartitionView, { start, end }: Range): void {
  if (start >= end) return
  const parts = gaps?.within(start, end) ?? [{ start, end, cause: 'missing' as const }]
  for (const { start: from, end: to, cause } of parts)
    if (isFailure(cause)) throw gapError(log, { partition, from, to, cause })
}
