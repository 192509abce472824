/**
 * Evict: drop the upper copy. The object copy is read back first, for what was there after its upload need not be there
 * now. The manifest forgets a disk copy before the file goes, and a reader of it is waited for.
 */
import { present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import type { Location, SegmentEntry } from '../format/manifest.ts'
import { isPackPath, parsePath } from '../format/paths.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import { commitLocal } from './commit.ts'
import { notedIn } from './committed.ts'
import type { ArchiveWriter } from './archive-writer.ts'
import type { DiskContext, TierMove, TieringContext } from './context.ts'
import { loosenPack } from './loose-packs.ts'
import type { Round } from './round.ts'
import { readPinned } from './upload.ts'

/**
 * Drops the disk copies of segments that have a proven object copy.
 * @throws StratalogError `object_corrupt` when the archive holds something else for one of them; then none is dropped.
 */
export async function dropDiskCopies(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  baseOffsets: readonly number[],
): Promise<readonly TierMove[]> {
  const disk = present(context.disk, 'a disk copy needs a disk')
  const segments = baseOffsets.flatMap((baseOffset) => {
    const segment = partition.segments.startingAt(baseOffset)
    return segment === undefined || segment.disk === null || segment.object === null
      ? []
      : [segment]
  })
  if (segments.length === 0) return []
  for (const segment of segments) await proveObjectCopy(context, disk, segment)
  const number = partition.partition
  await commitLocal(context, (state) => {
    // What an earlier commit dropped though it was answered with an error is not dropped again, nor what was retired.
    const known = notedIn(state, log, number)?.segments
    return segments
      .filter((segment) => {
        const entry = known?.startingAt(segment.baseOffset)
        return entry?.sha256 === segment.sha256 && entry.disk !== null
      })
      .map(({ baseOffset }) => ({
        kind: 'segment-copy-dropped',
        logId: log.id,
        partition: number,
        baseOffset,
        tier: 'disk',
      }))
  })
  for (const segment of segments) {
    // It may have come to lie elsewhere meanwhile.
    const own = partition.segments.startingAt(segment.baseOffset)
    if (own?.sha256 !== segment.sha256 || own.disk === null) continue
    partition.setCopy(segment.baseOffset, 'disk', null)
    removeFiles(context, disk, [own.disk])
  }
  return segments.map((segment) => ({
    log: log.name,
    partition: number,
    from: segment.baseOffset,
    to: segment.endOffset,
    fromTier: 'disk',
    toTier: 'object',
    bytes: segment.length,
  }))
}

/**
 * Removes segment files that their log no longer names, each when its last reader lets go. One that another log shares
 * stays until that log lets go of it too.
 */
export function removeFiles(
  { pins, logger, diskBudget, logs, clock }: TieringContext,
  disk: DiskContext,
  files: readonly Location[],
  detached: LiveLog | null = null,
): void {
  const { fileSystem, dataDir } = disk
  for (const location of files) {
    const { object: file, length } = location
    // Other segments may lie there too.
    if (isPackPath(file)) {
      loosenPack(disk, location, clock.now(), () => diskBudget.dropped(length))
      continue
    }
    if (isFileNamed(file, logs(), detached)) continue
    const gone = diskBudget.dropped(length)
    pins.whenFree(file, () => {
      if (isFileNamed(file, logs(), detached)) {
        // It was forked while a reader held the file.
        gone()
        diskBudget.written(file, length)
        diskBudget.named(file)
        return undefined
      }
      // A file that cannot be removed now is an orphan; the next open removes it.
      return fileSystem.remove(`${dataDir}/${file}`).then(gone, (error: unknown) => {
        logger.warn('A dropped segment file could not be removed.', { file, reason: String(error) })
      })
    })
  }
}

/** Whether a fork, or the log that it was made of, has a segment in the file. */
function isFileNamed(file: string, logs: Iterable<LiveLog>, detached: LiveLog | null): boolean {
  const path = parsePath(file)
  if (path?.kind !== 'segment') return false
  for (const log of logs) {
    const { id, definition, partitions } = log
    const mayName = id === path.logId || definition.origins !== undefined
    if (!mayName || log === detached) continue
    const segment = partitions[path.partition]?.segments.startingAt(path.baseOffset)
    if (segment?.disk?.object === file) return true
  }
  return false
}

/**
 * Reads the object copy back. One that is gone is put again, from the disk copy; one that is damaged stays as evidence.
 */
async function proveObjectCopy(
  context: TieringContext,
  disk: DiskContext,
  segment: SegmentEntry,
): Promise<void> {
  const archive = present(context.archive, 'an object copy is in an archive')
  const location = present(segment.object, 'an object copy')
  const { object } = location
  if (isPackPath(object)) return provePack(context, archive, location)
  try {
    await archive.verify(object, segment.length, segment.sha256)
  } catch (error) {
    if ((await archive.store.head(object)) !== null) throw error
    context.logger.warn('A segment is gone from the archive and is put there again.', { object })
    await archive.putSegment(object, await readPinned(context, disk, segment), segment.sha256)
  }
}

/** Packs that were read back in a round, which many of its steps want. */
const proven = new WeakMap<Round, Map<string, Promise<boolean>>>()

async function provePack(
  { round }: TieringContext,
  archive: ArchiveWriter,
  location: Location,
): Promise<void> {
  const { object, position, length } = location
  const known = round === undefined ? undefined : (proven.get(round) ?? new Map())
  const isThere = known?.get(object) ?? archive.hasPack(location)
  if (round !== undefined && known !== undefined) proven.set(round, known.set(object, isThere))
  if (await isThere) return
  throw new StratalogError('object_corrupt', `${object} does not hold what was put there.`, {
    details: { key: object, position, length },
  })
}
