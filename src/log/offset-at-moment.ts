/**
 * The offset at which a partition ended at a moment of the engine's clock.
 *
 * Records of a log whose times the engine stamps are cut to the record. Of a log with a time column of its own, the
 * append time is kept per block, in RAM per batch: one whose newest record came after the moment is left out, so at
 * most one block of records that were there already is missing, and none that came later is taken.
 */
import { once } from '../base/once.ts'
import { bigInt64View } from '../format/column.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import { STAMPED_TIME_COLUMN, fieldIndex } from '../format/schema.ts'
import { blockEnd } from '../format/segment.ts'
import type { LogView, SegmentSource } from './log-view.ts'
import { ownerOf } from './segment-origin.ts'
import { successorOf } from './segment-successor.ts'

/** Decoders that a log in RAM never needs. */
const loadReading = once(() => import('./segment-reading.ts'))

/** The offset after the last record of the partition that had been appended by `at`, ms. */
export async function offsetAtMoment(
  view: LogView,
  partition: number,
  at: number,
  signal?: AbortSignal,
): Promise<number> {
  const found = view.partitions.find((candidate) => candidate.partition === partition)
  if (found === undefined) return 0
  const edge = found.sources.find((source) =>
    source.tier === 'memory' ? source.batch.appendTimeMax > at : source.segment.appendTimeMax > at,
  )
  if (edge === undefined) return found.endOffset
  if (edge.tier === 'memory') return offsetInBatch(edge.batch, at)
  if (edge.segment.appendTimeMin > at) return edge.from
  const offset = await offsetInSegment(view, partition, edge, at, signal)
  return Math.min(Math.max(offset, edge.from), edge.to)
}

async function offsetInSegment(
  view: LogView,
  partition: number,
  source: SegmentSource,
  at: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  try {
    return await offsetInBlocks(view, partition, source, at, signal)
  } catch (error) {
    const moved = await successorOf(source, error)
    if (moved === null) throw error
    return offsetInBlocks(view, partition, moved, at, signal)
  }
}

async function offsetInBlocks(
  view: LogView,
  partition: number,
  { segment, bytes }: SegmentSource,
  at: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  const { SegmentReading } = await loadReading()
  const owner = ownerOf(view.definition, partition, segment)
  const reading = await SegmentReading.open(bytes, segment, owner, signal)
  const { facts } = reading
  const index = facts.batches.findIndex((block) => block.appendTimeMax > at)
  const block = facts.batches[index]
  if (block === undefined) return segment.endOffset
  const stamped = fieldIndex(facts.schema, STAMPED_TIME_COLUMN)
  if (stamped === -1 || block.appendTimeMin > at) return block.baseOffset
  for await (const { batch, offsets } of reading.readRows([index], {
    columns: [stamped],
    signal,
  })) {
    const rows = rowsBy(batch, 0, at)
    return offsets === null ? batch.baseOffset + rows : (offsets[rows] ?? blockEnd(block))
  }
  return block.baseOffset
}

function offsetInBatch(batch: RecordBatch, at: number): number {
  const stamped = fieldIndex(batch.schema, STAMPED_TIME_COLUMN)
  if (stamped === -1 || batch.appendTimeMin > at) return batch.baseOffset
  return batch.baseOffset + rowsBy(batch, stamped, at)
}

/** How many of the first rows are not after `at`, by the stamped time. */
function rowsBy(batch: RecordBatch, stamped: number, at: number): number {
  const column = batch.columns[stamped]
  if (column === undefined) return 0
  const times = bigInt64View(column.values)
  let rows = 0
  while (rows < batch.length && (times[rows] ?? 0n) <= BigInt(at)) rows++
  return rows
}
