/**
 * Recall: segments that lie in the archive only get a disk copy, because their log was made persistent, or because the
 * directory was restored without its bytes (recalls.ts).
 *
 * 1. fetch the object and check it against the manifest;
 * 2. write it under a temporary name, fsync, rename, fsync its directory;
 *    (a crash here leaves a file that no manifest names; the next open removes it)
 * 3. commit the manifest edit. The object copy stays.
 */
import { present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import { sha256Hex } from '../storage/checksum.ts'
import type { Location, SegmentEntry } from '../format/manifest.ts'
import { segmentDirectory, segmentPath } from '../format/paths.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { commitLocal } from './commit.ts'
import { notedIn } from './committed.ts'
import type { TierMove, TieringContext } from './context.ts'
import { writeFile } from './packs.ts'

/** Brings the named segments to the disk in order, and returns what moved. */
export async function recallSegments(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  baseOffsets: readonly number[],
): Promise<readonly TierMove[]> {
  const disk = present(context.disk, 'what is recalled has a disk to go to')
  const store = present(
    context.archive?.store ?? context.source ?? undefined,
    'what is recalled lies in an archive',
  )
  const moves: TierMove[] = []
  for (const baseOffset of baseOffsets) {
    const segment = partition.segments.startingAt(baseOffset)
    if (segment === undefined || segment.disk !== null) continue
    const name = { ...segment, logId: log.id, partition: partition.partition }
    const location = { object: segmentPath(name), position: 0, length: segment.length }
    // A reader holds the file that was dropped before, which goes after it and would take this one along: the next
    // round looks again.
    if (context.pins.isGoing(location.object)) continue
    const bytes = await fetchVerified(store, segment)
    const directory = segmentDirectory(log.id, partition.partition)
    await writeFile(context, disk, directory, location.object, bytes)
    await commitCopy(context, log, partition.partition, segment, location)
    if (!partition.hasSegment(segment)) continue
    partition.setCopy(segment.baseOffset, 'disk', location)
    context.diskBudget.named(location.object)
    moves.push({
      log: log.name,
      partition: partition.partition,
      from: segment.baseOffset,
      to: segment.endOffset,
      fromTier: 'object',
      toTier: 'disk',
      bytes: segment.length,
    })
  }
  return moves
}

/** The object copy's bytes. @throws StratalogError `object_corrupt` when they are not what the manifest says. */
export async function fetchVerified(
  store: ObjectStore,
  segment: SegmentEntry,
): Promise<Uint8Array> {
  const { object, position, length } = present(segment.object, 'an object copy')
  const bytes = await store.get(object, {
    range: { start: position, end: position + length },
  })
  if (bytes.length === segment.length && (await sha256Hex(bytes)) === segment.sha256) return bytes
  throw new StratalogError('object_corrupt', `${object} is damaged; it was not copied.`, {
    details: { key: object, from: segment.baseOffset, to: segment.endOffset },
  })
}

async function commitCopy(
  context: TieringContext,
  log: LiveLog,
  partition: number,
  segment: SegmentEntry,
  location: Location,
): Promise<void> {
  await commitLocal(context, (state) => {
    const { baseOffset } = segment
    const known = notedIn(state, log, partition)?.segments.startingAt(baseOffset)
    // A commit that was answered with an error may have been done; or the segment was retired meanwhile.
    if (known?.sha256 !== segment.sha256 || known.disk !== null) return []
    const copy = { logId: log.id, partition, baseOffset, tier: 'disk', location } as const
    return [{ kind: 'segment-copied', ...copy }]
  })
}
