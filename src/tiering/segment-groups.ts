import { SEGMENT_BYTES_TARGET } from '../format/limits.ts'
import type { Schema } from '../format/schema.ts'
import { type OffsetTerms, runsWithin } from '../log/record-terms.ts'

/** Runs of terms after which a segment ends with its batch: they are in its footer. */
const SEGMENT_TERMS_TARGET = 65_536

/** Records with consecutive offsets, as much of them as a segment takes or leaves. */
export interface SegmentPart {
  readonly schema: Schema
  readonly baseOffset: number
  readonly endOffset: number
  readonly bytes: number
}

const NO_CUTS: ReadonlySet<number> = new Set()

/**
 * Cuts a run of batches into segments: one schema each and no hole between, up to the target size, in order. A segment
 * ends at each of `cuts` where a batch begins there.
 */
export function groupForSegments<Part extends SegmentPart>(
  batches: readonly Part[],
  cuts: ReadonlySet<number> = NO_CUTS,
): readonly (readonly Part[])[] {
  const groups: Part[][] = []
  let bytes = 0
  for (const batch of batches) {
    const group = groups.at(-1)
    const last = group?.at(-1)
    const fits =
      last !== undefined &&
      !cuts.has(batch.baseOffset) &&
      batch.baseOffset === last.endOffset &&
      last.schema.id === batch.schema.id &&
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

/** Where a segment ends because its terms would become too many. */
export function cutsByTerms(
  parts: readonly SegmentPart[],
  terms: readonly OffsetTerms[],
): ReadonlySet<number> {
  const cuts = new Set<number>()
  if (terms.length === 0) return cuts
  let runs = 0
  for (const { baseOffset, endOffset: end } of parts) {
    const own = runsWithin(terms, baseOffset, end).length
    if (runs + own > SEGMENT_TERMS_TARGET) {
      cuts.add(baseOffset)
      runs = 0
    }
    runs += own
  }
  return cuts
}
