/**
 * The offset at which a partition ended at a moment of the engine's clock.
 *
 * Records of a log whose times the engine stamps are cut to the record. Of a log with a time column of its own, the
 * append time is kept per block: a block whose newest record came after the moment is left out, so at most one block of
 * records that were there already is missing, and none that came later is taken.
 */
import { bigInt64View } from '../format/column.ts'
import type { LogState, SegmentEntry } from '../format/manifest.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import { STAMPED_TIME_COLUMN, fieldIndex } from '../format/schema.ts'
import { type Archive, wholePartition } from '../log/archive-view.ts'
import { bytesInStore } from '../log/segment-copies.ts'
import { SegmentReading } from '../log/segment-reading.ts'

/** The offset after the last record of the partition that had been appended by `at`. */
export async function offsetAtMoment(
  archive: Archive,
  log: LogState,
  partition: number,
  at: number,
  signal?: AbortSignal,
): Promise<number> {
  const state = log.partitions[partition]
  if (state === undefined) return 0
  const edge = state.segments.find((segment) => segment.appendTimeMax > at)
  if (edge === undefined) return wholePartition(state, partition).endOffset
  if (edge.appendTimeMin > at || edge.object === null) return edge.baseOffset
  return offsetInSegment(archive, log, partition, edge, at, signal)
}

async function offsetInSegment(
  archive: Archive,
  log: LogState,
  partition: number,
  segment: SegmentEntry,
  at: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  if (segment.object === null) return segment.baseOffset
  const bytes = bytesInStore(archive.store, segment.object)
  const reading = await SegmentReading.open(
    bytes,
    segment,
    { logId: log.definition.id, partition },
    signal,
  )
  const { facts } = reading
  const index = facts.batches.findIndex((block) => block.appendTimeMax > at)
  const block = facts.batches[index]
  if (block === undefined) return segment.endOffset
  const stamped = fieldIndex(facts.schema, STAMPED_TIME_COLUMN)
  if (stamped === -1 || block.appendTimeMin > at) return block.baseOffset
  for await (const batch of reading.read([index], { columns: [stamped], signal })) {
    return batch.baseOffset + rowsBy(batch, at)
  }
  return block.baseOffset
}

/** How many of the first rows of a batch with the stamped time alone are not after `at`. */
function rowsBy(batch: RecordBatch, at: number): number {
  const [column] = batch.columns
  if (column === undefined) return 0
  const times = bigInt64View(column.values)
  let rows = 0
  while (rows < batch.length && (times[rows] ?? 0n) <= BigInt(at)) rows++
  return rows
}
