/**
 * Recall: segments that lie in the archive only get a disk copy, because their log was made persistent, or because the
 * directory was restored without its bytes (recalls.ts).
 *
 * 1. fetch the object and check it against the manifest;
 * 2. write it under a temporary name, fsync, rename, fsync its directory;
 *    (a crash here leaves a file that no manifest names; the next open removes it)
 * 3. commit the manifest edit. The object copy stays.
 *
 * Of a directory that was restored so, the archive's engine may have merged the segment with others since: then the one
 * that it made takes the place of all of them here too, and is recalled next; where it reaches beyond what the
 * directory has of the archive, the part that is wanted is written as a segment of the directory's own.
 */
import { present } from '../base/assert.ts'
import { StratalogError, isStratalogError } from '../base/errors.ts'
import { sha256Hex } from '../storage/checksum.ts'
import type { Location, SegmentEntry } from '../format/manifest.ts'
import { segmentDirectory, segmentPath } from '../format/paths.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import { cutSegment } from '../log/segment-cut.ts'
import { ownerOf } from '../log/segment-origin.ts'
import { replacedBy } from '../log/segment-successor.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { commitLocal } from './commit.ts'
import { notedIn } from './committed.ts'
import type { TierMove, TieringContext } from './context.ts'
import { changingSegments } from './one-at-a-time.ts'
import { writeFile } from './packs.ts'
import { replaceHere } from './replace-segments.ts'

/** Brings the named segments to the disk in order, and returns what moved. */
export async function recallSegments(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  baseOffsets: readonly number[],
): Promise<readonly TierMove[]> {
  const disk = present(context.disk, 'what is recalled has a disk to go to')
  const store = present(
    context.archive?.store ?? context.source?.store,
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
    let bytes: Uint8Array
    try {
      bytes = await fetchVerified(store, segment)
    } catch (error) {
      const moved = await recallMoved(context, log, partition, segment, error)
      if (moved === null) throw error
      moves.push(...moved)
      continue
    }
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

/** What the archive has instead of an object that is gone takes its place; null where it has nothing. */
async function recallMoved(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  segment: SegmentEntry,
  error: unknown,
): Promise<readonly TierMove[] | null> {
  const { archive, source = null } = context
  const isGone = isStratalogError(error) && error.code === 'object_not_found'
  if (!isGone || archive !== null || source === null) return null
  const found = await source.succession(partition, segment)
  if (found.kind !== 'moved') return null
  return changingSegments(partition, async () => {
    if (!partition.hasSegment(segment)) return []
    const replaced = replacedBy(partition.segments, found.segment)
    if (replaced !== null) {
      const by = { ...found.segment, disk: null }
      // Files go only when what they hold is on disk again.
      const hasFiles = replaced.some(({ disk }) => disk !== null)
      const disk = hasFiles ? await recallWhole(context, source.store, log, partition, by) : null
      await replaceHere(context, log, partition, replaced, { ...by, disk })
      return []
    }
    const cut = await cutMoved(context, source.store, log, partition, segment, found.segment)
    if (cut === null) return null
    await replaceHere(context, log, partition, [segment], cut)
    const { baseOffset: from, endOffset: to, length } = cut
    const place = { log: log.name, partition: partition.partition }
    return [{ ...place, from, to, fromTier: 'object', toTier: 'disk', bytes: length }]
  })
}

async function recallWhole(
  context: TieringContext,
  store: ObjectStore,
  { id: logId }: LiveLog,
  { partition }: Partition,
  segment: SegmentEntry,
): Promise<Location> {
  const disk = present(context.disk, 'what is recalled has a disk to go to')
  const object = segmentPath({ ...segment, logId, partition })
  const bytes = await fetchVerified(store, segment)
  await writeFile(context, disk, segmentDirectory(logId, partition), object, bytes)
  return { object, position: 0, length: segment.length }
}

/** The segment's records out of another one, in a file of their own; null where none is left. */
async function cutMoved(
  context: TieringContext,
  store: ObjectStore,
  log: LiveLog,
  { partition }: Partition,
  { baseOffset: from, endOffset: to }: SegmentEntry,
  by: SegmentEntry,
): Promise<SegmentEntry | null> {
  const disk = present(context.disk, 'what is recalled has a disk to go to')
  const owner = ownerOf(log.definition, partition, by)
  const writer = { ...owner, engineId: context.engineId, logName: log.name }
  const bytes = await fetchVerified(store, by)
  const cut = await cutSegment(bytes, by, writer, { from, to, clock: context.clock }, log.id)
  if (cut === null) return null
  const path = present(cut.entry.disk, 'what was cut lies on disk').object
  await writeFile(context, disk, segmentDirectory(log.id, partition), path, cut.bytes)
  return cut.entry
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
