/** One segment takes the place of others in the manifest of the directory and in the partition. */
import { present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import type { ManifestEdit, ManifestState, SegmentEntry } from '../format/manifest.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import { commitLocal } from './commit.ts'
import { hasSegment } from './committed.ts'
import type { Compacted } from './compacted.ts'
import type { TieringContext } from './context.ts'
import { removeFiles } from './evict.ts'

/** Of a partition: the replacement whose local commit was answered with an error, and may have been done. */
const unsettled = new WeakMap<Partition, Compacted>()

export function unsettledReplacement(partition: Partition): Compacted | undefined {
  return unsettled.get(partition)
}

/** To be called while nobody else changes the segments of the partition (one-at-a-time.ts). */
export async function replaceHere(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  segments: readonly SegmentEntry[],
  segment: SegmentEntry,
): Promise<void> {
  const disk = present(context.disk, 'segments are named by a manifest')
  unsettled.set(partition, { segment, replaced: segments })
  await commitLocal(context, (state) =>
    replacingEdits(state, log, partition.partition, segments, segment),
  )
  unsettled.delete(partition)
  // Their files may have come to lie elsewhere since they were read.
  const files = segments.flatMap(
    ({ baseOffset }) => partition.segments.startingAt(baseOffset)?.disk ?? [],
  )
  partition.replaceSegments(segments, segment)
  if (segment.disk !== null) context.diskBudget.named(segment.disk.object)
  removeFiles(context, disk, files)
}

/** None when a commit that was answered with an error did it. @throws StratalogError when other segments are there. */
function replacingEdits(
  state: ManifestState,
  log: LiveLog,
  partition: number,
  segments: readonly SegmentEntry[],
  segment: SegmentEntry,
): readonly ManifestEdit[] {
  if (hasSegment(state, log, partition, segment)) return []
  if (segments.every((entry) => hasSegment(state, log, partition, entry)))
    return [{ kind: 'segments-replaced', logId: log.id, partition, segment, retiredAt: null }]
  throw new StratalogError(
    'internal',
    `Log '${log.name}', partition ${partition}: segments changed while they were compacted.`,
  )
}
