/** What of a view lies in RAM, ready to be cut into segments. */
import type { Clock } from '../base/clock.ts'
import { type RecordBatch, endOffset, recordBatchBytes } from '../format/record-batch.ts'
import type { ViewSource } from '../log/log-view.ts'
import type { SegmentPart } from './segment-groups.ts'

export interface MemoryPart extends SegmentPart {
  readonly batch: RecordBatch
}

/** To slice so many batches takes a few tenths of a millisecond. */
const BATCHES_PER_TURN = 16

/** Some at a time: a partition may have thousands of batches. */
export async function memoryParts(
  sources: readonly ViewSource[],
  clock: Clock,
): Promise<readonly MemoryPart[]> {
  const parts: MemoryPart[] = []
  for (const source of sources) {
    if (source.tier !== 'memory') continue
    const { batch } = source
    const { schema, baseOffset } = batch
    const bytes = recordBatchBytes(batch)
    parts.push({ schema, baseOffset, endOffset: endOffset(batch), bytes, batch })
    if (parts.length % BATCHES_PER_TURN === 0) await clock.yield()
  }
  return parts
}
