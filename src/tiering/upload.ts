/**
 * Upload: a segment on disk gets an object copy.
 *
 * 1. read the file and check it against the manifest: what rotted on disk is not spread;
 * 2. put it under a content-derived key, small ones of many partitions in one pack; the store says the checksum of what
 *    it holds in its answer, or is asked for it;
 * 3. commit to the archive's manifest, then to the local one: once each for all of a round, or for a few full packs of
 *    one partition;
 *    (a crash in between is found at the next open: the archive knows more, and the local manifest learns it)
 * 4. only then may the disk copy go, when its time comes, and after the object was read back (`evict.ts`).
 */
import { present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import { sha256Hex } from '../storage/checksum.ts'
import { PACK_BYTES_MAX } from '../format/limits.ts'
import type { SegmentEntry } from '../format/manifest.ts'
import type { SegmentName } from '../format/paths.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import { readWhole } from '../log/segment-copies.ts'
import { commitLocal } from './commit.ts'
import { asCommitted, hasSegment, notedIn } from './committed.ts'
import type { DiskContext, TierMove, TieringContext } from './context.ts'
import { areNamed, putSegments } from './packs.ts'

/** Segments of one partition that are put together weigh this at most, or are one: a pack of them is full. */
const PORTION_BYTES = PACK_BYTES_MAX - 1024 * 1024

/** Portions that one commit names. More would spare little, and a crash before the commit makes them be sent again. */
const PORTIONS_PER_COMMIT = 4

/** Uploads segments in order and returns what moved. Where one fails, those before it are moved all the same. */
export async function uploadSegments(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  baseOffsets: readonly number[],
  portionBytes: number = PORTION_BYTES,
): Promise<readonly TierMove[]> {
  const disk = present(context.disk, 'what is uploaded lies on disk')
  const moves: TierMove[] = []
  let portion: ReadSegment[] = []
  let bytes = 0
  let portions = 0
  let put: SegmentEntry[] = []
  const namePut = async (): Promise<void> => {
    const named = put
    put = []
    portions = 0
    if (named.length > 0) moves.push(...(await nameTogether(context, log, partition, named)))
  }
  const putPortion = async (): Promise<void> => {
    const read = portion
    portion = []
    bytes = 0
    if (read.length === 0) return
    put.push(...(await putTogether(context, log, partition, read)))
    if (++portions === PORTIONS_PER_COMMIT) await namePut()
  }
  const endPut = async (): Promise<void> => {
    try {
      await putPortion()
    } finally {
      await namePut()
    }
  }
  try {
    for (const baseOffset of baseOffsets) {
      const segment = partition.segments.startingAt(baseOffset)
      if (segment === undefined || segment.object !== null) continue
      if (bytes + segment.length > portionBytes) await putPortion()
      portion.push({ segment, bytes: await readPinned(context, disk, segment) })
      bytes += segment.length
    }
  } catch (error) {
    // What comes before it goes; what comes behind would leave a hole.
    await endPut()
    throw error
  }
  await endPut()
  return moves
}

interface ReadSegment {
  readonly segment: SegmentEntry
  readonly bytes: Uint8Array
}

/** Puts segments, which nothing names yet, and says where they lie. */
async function putTogether(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  read: readonly ReadSegment[],
): Promise<readonly SegmentEntry[]> {
  const { retention } = log.policy
  const locations = await putSegments(
    context,
    read.map(({ segment, bytes }) => {
      const name = { ...nameOf(segment), logId: log.id, partition: partition.partition }
      return { partition, retention, name, bytes, isProvenLater: true }
    }),
  )
  return read.map(({ segment }, index) => ({
    ...segment,
    object: present(locations[index], 'each segment lies somewhere'),
  }))
}

async function nameTogether(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  put: readonly SegmentEntry[],
): Promise<readonly TierMove[]> {
  const disk = present(context.disk, 'what is uploaded lies on disk')
  const archive = present(context.archive, 'an upload needs an archive')
  const number = partition.partition
  const noted = notedIn(disk.manifest.state, log, number)?.producers
  const producers = [...(noted?.values() ?? [])]
  const state = await archive.commitSegments(
    put.map((segment) => ({ log, partition: number, segment, producers })),
    context.round,
  )
  areNamed(partition)
  const committed = put.map((segment) => asCommitted(state, log, number, segment, 'object'))
  await noteUploads(context, log, partition, committed)
  return committed.map(({ baseOffset: from, endOffset: to, length: bytes }) => {
    context.metrics.count('stratalog_upload_bytes_total', bytes)
    const place = { log: log.name, partition: number }
    return { ...place, from, to, fromTier: 'disk', toTier: 'object', bytes }
  })
}

function nameOf({
  baseOffset,
  sha256,
  format,
}: SegmentEntry): Pick<SegmentName, 'baseOffset' | 'sha256' | 'format'> {
  return { baseOffset, sha256, format }
}

/** Commits to the local manifest what object copies the archive has of segments, and tells the partition. */
export async function noteUploads(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  segments: readonly SegmentEntry[],
): Promise<void> {
  await commitLocal(context, (state) =>
    segments.flatMap((segment) => {
      // It was retired meanwhile, and the archive will be told.
      if (!hasSegment(state, log, partition.partition, segment)) return []
      const place = { logId: log.id, partition: partition.partition }
      const location = present(segment.object, 'what was uploaded has an object copy')
      const { baseOffset } = segment
      return [{ kind: 'segment-copied' as const, ...place, baseOffset, tier: 'object', location }]
    }),
  )
  for (const segment of segments)
    if (partition.hasSegment(segment))
      partition.setCopy(segment.baseOffset, 'object', segment.object)
}

/** As `readVerified`, of a file that stays while it is read though its segment is retired meanwhile. */
export async function readPinned(
  { pins }: TieringContext,
  disk: DiskContext,
  segment: SegmentEntry,
): Promise<Uint8Array> {
  const { object: file } = present(segment.disk, 'a segment that is read has a disk copy')
  pins.pin(file)
  try {
    return await readVerified(disk, segment)
  } finally {
    pins.unpin(file)
  }
}

/** The disk copy's bytes. @throws StratalogError `segment_corrupt` when they are not what the manifest says. */
export async function readVerified(disk: DiskContext, segment: SegmentEntry): Promise<Uint8Array> {
  const location = present(segment.disk, 'a segment that is uploaded has a disk copy')
  const bytes = await readWhole(disk.fileSystem, disk.dataDir, location)
  if (bytes.length === segment.length && (await sha256Hex(bytes)) === segment.sha256) return bytes
  throw new StratalogError(
    'segment_corrupt',
    `${location.object} is damaged; it was not uploaded.`,
    {
      details: { path: location.object, from: segment.baseOffset, to: segment.endOffset },
    },
  )
}
