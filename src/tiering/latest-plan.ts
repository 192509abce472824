/**
 * When a partition of a log that keeps the latest is looked through for superseded records, and how far: over its aged
 * prefix, once the records that came to it since the last look are as many as those before. So a look is paid for by
 * new records, and each of them is looked at about twice. Pure.
 */
import { recordsIn } from '../format/segment-entry.ts'
import type { SegmentEntries } from '../format/segment-entries.ts'
import type { CompactionScope } from './compaction-plan.ts'
import type { LatestLook } from './latest-looks.ts'

export interface LatestFacts {
  readonly segments: SegmentEntries
  readonly compaction: CompactionScope
  /** RAM has no records before it. */
  readonly hotStart: number
  /** The last look, as far as is known beside the segments. */
  readonly look?: LatestLook
}

export interface AgedPrefix {
  readonly end: number
  /** Records before where the last look was to end, and behind that. */
  readonly looked: number
  readonly fresh: number
  /** All records before it were looked at. */
  readonly lookedTo: number
}

const known = new WeakMap<SegmentEntries, { readonly key: string; readonly prefix: AgedPrefix }>()

/** Where a look would end now; null when none is due. */
export function latestRunDue(facts: LatestFacts): number | null {
  const { end, looked, fresh } = agedPrefix(facts)
  const isOwn = end > (facts.compaction.from ?? 0)
  return isOwn && fresh > 0 && fresh >= looked ? end : null
}

/**
 * The segments from the first on that RAM has nothing of, and that compaction may touch or at least read. No version in
 * the archive goes for a newer one that only the disk has: losing the machine then would lose the key.
 */
export function agedPrefix(facts: LatestFacts): AgedPrefix {
  const { segments, compaction, hotStart, look = { lookedTo: 0, triedTo: 0 } } = facts
  const { onDisk, archived, archives = false } = compaction
  const key = `${onDisk} ${archived} ${archives} ${hotStart} ${look.lookedTo} ${look.triedTo}`
  const last = known.get(segments)
  if (last?.key === key) return last.prefix
  let { lookedTo } = look
  for (const { sparse } of segments) lookedTo = Math.max(lookedTo, sparse?.latestTo ?? 0)
  const triedTo = Math.max(look.triedTo, lookedTo)
  let [end, looked, fresh] = [0, 0, 0]
  let hasObject = false
  for (const segment of segments) {
    if (archives && hasObject && segment.object === null) break
    hasObject ||= segment.object !== null
    const isAged = segment.endOffset <= hotStart && (segment.object === null ? onDisk : archived)
    if (!isAged) break
    end = segment.endOffset
    if (end <= triedTo) looked += recordsIn(segment)
    else fresh += recordsIn(segment)
  }
  const prefix = { end, looked, fresh, lookedTo }
  known.set(segments, { key, prefix })
  return prefix
}
