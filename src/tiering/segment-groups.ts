import { SEGMENT_BYTES_TARGET } from '../format/limits.ts'
import type { HotBatch } from '../log/hot-batch.ts'

/**
 * Cuts a run of batches into segments: one schema each, up to the target size, in order. A segment ends at `cutAt`
 * where a batch begins there.
 */
export function groupForSegments(
  batches: readonly HotBatch[],
  cutAt: number | null = null,
): readonly (readonly HotBatch[])[] {
  const groups: HotBatch[][] = []
  let bytes = 0
  for (const batch of batches) {
    const group = groups.at(-1)
    const first = group?.[0]
    const fits =
      first !== undefined &&
      batch.baseOffset !== cutAt &&
      first.schema.id === batch.schema.id &&
      bytes + batch.bytes <= SEGMENT_BYTES_TARGET
    if (group !== undefined && fits) {
      group.push(batch)
      bytes += batch.bytes
    } else {
      groups.push([batch])
      bytes = batch.bytes
    }
  }
  return groups
}
