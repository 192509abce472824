/**
 * The offset at which a partition ended at a moment of the engine's clock.
 *
 * Records of a log whose times the engine stamps are cut to the record. Of a log with a time column of its own, the
 * append time is kept per block: a block whose newest record came after the moment is left out, so at most one block of
 * records that were there already is missing, and none that came later is taken.
 */
import { bigInt64View } from '../format/column.ts'
import type { LogDefinition, LogState, SegmentEntry } from '../format/manifest.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import type { SegmentEntries } from '../format/segment-entries.ts'
import { STAMPED_TIME_COLUMN, fieldIndex } from '../format/schema.ts'
import { type Archive, wholePartition } from '../log/archive-view.ts'
import type { SegmentBytes } from '../log/log-view.ts'
import { bytesInStore } from '../log/segment-copies.ts'
import { SegmentReading } from '../log/segment-reading.ts'
import { ownerOf } from '../log/segment-origin.ts'

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
  const { definition } = log
  const bytesOf = ({ object }: SegmentEntry): SegmentBytes | null =>
    object === null ? null : bytesInStore(archive.store, object)
  const offset = await offsetInSegments({ ...state, definition, bytesOf }, partition, at, signal)
  return offset ?? wholePartition(state, partition).endOffset
}

/** Segments of one partition, and their bytes where they can be had. */
export interface SegmentsAtMoment {
  readonly definition: LogDefinition
  readonly segments: SegmentEntries
  readonly bytesOf: (segment: SegmentEntry) => SegmentBytes | null
}

/** As `offsetAtMoment`; null when all had been appended by then. */
export async function offsetInSegments(
  { definition, segments, bytesOf }: SegmentsAtMoment,
  partition: number,
  at: number,
  signal?: AbortSignal,
): Promise<number | null> {
  const edge = segments.find((segment) => segment.appendTimeMax > at)
  if (edge === undefined) return null
  const bytes = edge.appendTimeMin > at ? null : bytesOf(edge)
  if (bytes === null) return edge.baseOffset
  return offsetInSegment(definition, partition, edge, bytes, at, signal)
}

async function offsetInSegment(
  definition: LogDefinition,
  partition: number,
  segment: SegmentEntry,
  bytes: SegmentBytes,
  at: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  const reading = await SegmentReading.open(
    bytes,
    segment,
    ownerOf(definition, partition, segment),
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
