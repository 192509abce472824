/**
 * Upload: a segment on disk gets an object copy.
 *
 * 1. read the file and check it against the manifest: what rotted on disk is not spread;
 * 2. put it under a content-derived key; read length and checksum back from the store;
 * 3. commit to the archive's manifest, then to the local one;
 *    (a crash in between is found at the next open: the archive knows more, and the local manifest learns it)
 * 4. only then may the disk copy go, when its time comes.
 */
import { present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import { sha256Hex } from '../storage/checksum.ts'
import type { Location, SegmentEntry } from '../format/manifest.ts'
import { segmentKey } from '../format/paths.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import { hasSegment, notedIn } from './committed.ts'
import type { DiskContext, TierMove, TieringContext } from './context.ts'

/** Uploads the named segments in order and returns what moved. */
export async function uploadSegments(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  baseOffsets: readonly number[],
): Promise<readonly TierMove[]> {
  const disk = present(context.disk, 'what is uploaded lies on disk')
  const archive = present(context.archive, 'an upload needs an archive')
  const moves: TierMove[] = []
  for (const baseOffset of baseOffsets) {
    const segment = partition.segments.startingAt(baseOffset)
    if (segment === undefined || segment.object !== null) continue
    const key = segmentKey({ ...segment, logId: log.id, partition: partition.partition })
    const location: Location = { object: key, position: 0, length: segment.length }
    await archive.putSegment(key, await readVerified(disk, segment), segment.sha256)
    const noted = notedIn(disk.manifest.state, log, partition.partition)?.producers
    await archive.commitSegments([
      {
        log,
        partition: partition.partition,
        segment: { ...segment, object: location },
        producers: [...(noted?.values() ?? [])],
      },
    ])
    await noteUpload(context, log, partition, segment, location)
    context.metrics.count('stratalog_upload_bytes_total', segment.length)
    moves.push({
      log: log.name,
      partition: partition.partition,
      from: segment.baseOffset,
      to: segment.endOffset,
      fromTier: 'disk',
      toTier: 'object',
      bytes: segment.length,
    })
  }
  return moves
}

/** Commits to the local manifest that the archive has a segment, and tells the partition. */
export async function noteUpload(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  segment: SegmentEntry,
  location: Location,
): Promise<void> {
  const disk = present(context.disk, 'what is uploaded lies on disk')
  const { baseOffset } = segment
  await disk.manifest.commit((state) => {
    // It was retired meanwhile, and the archive will be told.
    if (!hasSegment(state, log, partition.partition, segment)) return []
    const place = { logId: log.id, partition: partition.partition }
    return [{ kind: 'segment-copied', ...place, baseOffset, tier: 'object', location }]
  })
  if (partition.hasSegment(segment)) partition.setCopy(baseOffset, 'object', location)
}

/** The disk copy's bytes. @throws StratalogError `segment_corrupt` when they are not what the manifest says. */
export async function readVerified(disk: DiskContext, segment: SegmentEntry): Promise<Uint8Array> {
  const location = present(segment.disk, 'a segment that is uploaded has a disk copy')
  const bytes = await disk.fileSystem.read(`${disk.dataDir}/${location.object}`)
  if (bytes.length === segment.length && (await sha256Hex(bytes)) === segment.sha256) return bytes
  throw new StratalogError(
    'segment_corrupt',
    `${location.object} is damaged; it was not uploaded.`,
    {
      details: { path: location.object, from: segment.baseOffset, to: segment.endOffset },
    },
  )
}
