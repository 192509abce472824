/**
 * How much of a partition a reader pins at a time. Hot batches are pinned a few at a time, so that a reader that stands
 * still keeps a few MiB of memory from being reclaimed, and not all of it; what lies below them is files and objects,
 * and pinned together.
 */
import type { Range } from '../base/range.ts'
import type { HotBatch } from './hot-batch.ts'
import type { Partition } from './partition.ts'

const WINDOW_BYTES = 4 * 1024 * 1024
const WINDOW_BATCHES_MAX = 16

/** The first part of `[from, to)`, never empty where the partition has offsets in it. */
export function readWindow(partition: Partition, from: number, to: number): Range {
  const { batches, hotStart } = partition
  const start = Math.max(from, partition.startOffset)
  if (start < hotStart) return { start: from, end: Math.min(to, hotStart) }
  let end = to
  let bytes = 0
  const first = firstBatchAfter(batches, start)
  for (let index = first; index < batches.length && bytes < WINDOW_BYTES; index++) {
    const batch = batches[index]
    if (batch === undefined || index - first >= WINDOW_BATCHES_MAX) break
    bytes += batch.bytes
    end = batch.endOffset
  }
  return { start: from, end: Math.min(to, end) }
}

/** Position of the first batch with an offset at or above `offset`; their number when there is none. */
export function firstBatchAfter(batches: readonly HotBatch[], offset: number): number {
  let low = 0
  let high = batches.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((batches[middle]?.endOffset ?? Infinity) > offset) high = middle
    else low = middle + 1
  }
  return low
}
