/**
 * Which segments that lie in the archive only get a disk copy: all of a persistent log; of a directory that was
 * restored without its bytes those that the log's `diskTtl` would still have on disk, the newest first, since they are
 * asked for the most.
 */
import { present } from '../base/assert.ts'
import type { SegmentEntry, StoragePolicy } from '../format/manifest.ts'
import type { SegmentEntries } from '../format/segment-entries.ts'
import { dueAt } from './due.ts'

/** What is asked for in one round of the scheduler: others have their turn in between. */
const ROUND_SEGMENTS = 64
const ROUND_BYTES = 256 * 1024 * 1024

export interface RecallFacts {
  readonly policy: StoragePolicy
  readonly segments: SegmentEntries
  /** Whether the directory was restored without its bytes. */
  readonly isFilling?: boolean
}

export function recallsDue(
  { policy, segments, isFilling = false }: RecallFacts,
  now: number,
): Iterable<SegmentEntry> {
  if (policy.mode === 'persistent') return segments.lacking('disk')
  const isWanted = isFilling && policy.mode === 'hybrid' && policy.localDisk
  return isWanted ? fillable(segments, policy.diskTtl, now) : []
}

/** Base offsets of as many of them as one round takes and the disk has room for. */
export function recallsOfRound(
  facts: RecallFacts,
  now: number,
  roomBytes: number = Infinity,
): readonly number[] {
  const round: number[] = []
  let bytes = 0
  for (const { baseOffset, length } of recallsDue(facts, now)) {
    if (bytes + length > roomBytes) break
    if (round.length > 0 && (round.length >= ROUND_SEGMENTS || bytes + length > ROUND_BYTES)) break
    round.push(baseOffset)
    bytes += length
  }
  return round
}

/** From the newest on, up to the first that `diskTtl` would have taken from the disk already. */
function* fillable(
  segments: SegmentEntries,
  diskTtl: number | null,
  now: number,
): Generator<SegmentEntry, void> {
  for (const chunk of segments.chunks.toReversed()) {
    if (chunk.onDisk === chunk.length) continue
    for (let index = chunk.length - 1; index >= 0; index--) {
      if (chunk.hasCopy(index, 'disk')) continue
      const segment = present(chunk.at(index), 'a segment of the chunk')
      if (diskTtl !== null && dueAt(segment.appendTimeMax, diskTtl, now) <= now) return
      yield segment
    }
  }
}
