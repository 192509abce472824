/**
 * When a partition of a log that keeps the latest is looked through for superseded records, and how far: over its aged
 * prefix, once the records that came to it since the last look are as many as those before. So a look is paid for by
 * new records, and each of them is looked at about twice. Pure.
 */
import { recordsIn } from '../format/segment-entry.ts'
import type { SegmentEntries } from '../format/segment-entries.ts'
import type { CompactionScope } from './compaction-plan.ts'

export interface LatestFacts {
  readonly segments: SegmentEntries
  readonly compaction: CompactionScope
  /** RAM has no records before it. */
  readonly hotStart: number
  /** Where the last look ended, as far as is known beside the segments. */
  readonly lookedTo?: number
}

export interface AgedPrefix {
  readonly end: number
  /** Records before the end of the last look, and behind it. */
  readonly looked: number
  readonly fresh: number
  readonly lookedTo: number
}

const known = new WeakMap<SegmentEntries, { readonly key: string; readonly prefix: AgedPrefix }>()

/** Where a look would end now; null when none is due. */
export function latestRunDue(facts: LatestFacts): number | null {
  const { end, looked, fresh } = agedPrefix(facts)
  const isOwn = end > (facts.compaction.from ?? 0)
  return isOwn && fresh > 0 && fresh >= looked ? end : null
}

/** The segments from the first on that RAM has nothing of, and that compaction may touch or at least read. */
export function agedPrefix(facts: LatestFacts): AgedPrefix {
  const { segments, compaction, hotStart, lookedTo = 0 } = facts
  const { onDisk, archived } = compaction
  const key = `${onDisk} ${archived} ${hotStart} ${lookedTo}`
  const last = known.get(segments)
  if (last?.key === key) return last.prefix
  let upTo = lookedTo
  for (const { sparse } of segments) upTo = Math.max(upTo, sparse?.latestTo ?? 0)
  let [end, looked, fresh] = [0, 0, 0]
  for (const segment of segments) {
    const isAged = segment.endOffset <= hotStart && (segment.object === null ? onDisk : archived)
    if (!isAged) break
    end = segment.endOffset
    if (end <= upTo) looked += recordsIn(segment)
    else fresh += recordsIn(segment)
  }
  const prefix = { end, looked, fresh, lookedTo: upTo }
  known.set(segments, { key, prefix })
  return prefix
}
