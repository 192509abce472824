/**
 * Evict: drop the upper copy. The manifest forgets a disk copy before the file goes, and a reader of it is waited for.
 */
import { present } from '../base/assert.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import type { TierMove, TieringContext } from './context.ts'

/** Drops the disk copies of segments that have a proven object copy. */
export async function dropDiskCopies(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  baseOffsets: readonly number[],
): Promise<readonly TierMove[]> {
  const disk = present(context.disk, 'a disk copy needs a disk')
  const wanted = new Set(baseOffsets)
  const segments = partition.segments.filter(
    (segment) => wanted.has(segment.baseOffset) && segment.disk !== null && segment.object !== null,
  )
  if (segments.length === 0) return []
  await disk.manifest.commit(
    segments.map(({ baseOffset }) => ({
      kind: 'segment-copy-dropped',
      logId: log.id,
      partition: partition.partition,
      baseOffset,
      tier: 'disk',
    })),
  )
  for (const segment of segments) {
    const file = present(segment.disk, 'a disk copy').object
    partition.setCopy(segment.baseOffset, 'disk', null)
    context.pins.whenFree(file, () => {
      // A file that cannot be removed now is an orphan; the next open removes it.
      disk.fileSystem.remove(`${disk.dataDir}/${file}`).catch((error: unknown) => {
        context.logger.warn('A dropped segment file could not be removed.', {
          file,
          reason: String(error),
        })
      })
    })
  }
  return segments.map((segment) => ({
    log: log.name,
    partition: partition.partition,
    from: segment.baseOffset,
    to: segment.endOffset,
    fromTier: 'disk',
    toTier: 'object',
    bytes: segment.length,
  }))
}
