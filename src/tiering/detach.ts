/**
 * Detach: a data directory forgets a log that lies wholly in the archive, and the archive keeps it.
 *
 * 1. prove it, while nothing of the log moves: no record in RAM alone, and of each segment the object is read back;
 * 2. while appends to it wait, look whether any came in between;
 * 3. commit to the local manifest that it is detached;
 *    (a crash before leaves the log as it was; after it, files that no manifest names, which the next open removes, and
 *    WAL frames of a log that is known to be gone)
 * 4. refuse what waited, give RAM back, and remove the files when their readers let go.
 */
import { present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import type { SegmentEntry } from '../format/manifest.ts'
import type { SegmentEntries } from '../format/segment-entries.ts'
import { segmentKey } from '../format/paths.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import type { ArchiveWriter } from './archive-writer.ts'
import { hasSegment } from './committed.ts'
import type { DiskContext, TierMove, TieringContext } from './context.ts'
import { type Leave, commitEnd } from './end-log.ts'
import { removeFiles } from './evict.ts'
import { fetchVerified } from './recall.ts'

/** Objects that are read back side by side. */
const PARALLEL_PROOFS = 8

/**
 * To be called while nothing of the log moves. `forget` takes it from the logs of the engine. Returns the disk copies
 * that go. @throws StratalogError `log_not_archived`, `object_corrupt`, and what disk and store throw.
 */
export async function detachLog(
  context: TieringContext,
  log: LiveLog,
  forget: Leave,
): Promise<readonly TierMove[]> {
  const disk = present(context.disk, 'a log that is detached is of a directory')
  const archive = present(context.archive, 'what is detached lies in an archive')
  // What is lost would be forgotten along with it.
  if (log.refusal !== null) throw log.refusal
  const proven = await prove(archive, log)
  const leave: Leave = (isSure) => {
    forget(isSure)
    log.close(new StratalogError('engine_closed', `Log '${log.name}' was detached.`))
  }
  await log.alter(async () => {
    const isSame = log.partitions.every(
      (partition, index) => isArchived(partition) && partition.segments === proven[index],
    )
    if (!isSame) throw notArchived(log, present(log.partitions[0], 'a partition'))
    const end = { kind: 'log-detached', logId: log.id, name: log.name } as const
    await commitEnd(disk, log, end, { leave, done: () => forget(true) })
    leave(true)
    return { policy: log.policy, isDenseFromHere: false, isOwed: false }
  })
  return proven.flatMap((segments, partition) => movesOf(context, disk, log, partition, segments))
}

/** Of each partition the segments, all of which the archive holds. */
async function prove(archive: ArchiveWriter, log: LiveLog): Promise<readonly SegmentEntries[]> {
  for (const partition of log.partitions)
    if (!isArchived(partition)) throw notArchived(log, partition)
  const manifest = await archive.manifest()
  await archive.settle()
  // Whoever attaches it finds the policy and the schemas that it has now.
  await manifest.commit((state) => archive.describe(state, log))
  for (const { partition, segments } of log.partitions) {
    for (const segment of segments)
      if (!hasSegment(manifest.state, log, partition, segment))
        throw notArchived(log, log.partition(partition))
    const all = segments[Symbol.iterator]()
    const work = async (): Promise<void> => {
      for (let next = all.next(); next.done !== true; next = all.next())
        await proveObject(archive, log, partition, next.value)
    }
    await Promise.all(Array.from({ length: PARALLEL_PROOFS }, work))
  }
  return log.partitions.map(({ segments }) => segments)
}

/** Existence is not evidence; what lies in one object with others is fetched. */
async function proveObject(
  archive: ArchiveWriter,
  { id: logId }: LiveLog,
  partition: number,
  segment: SegmentEntry,
): Promise<void> {
  const { object } = present(segment.object, 'an object copy')
  const { baseOffset, sha256, format, length } = segment
  if (object === segmentKey({ logId, partition, baseOffset, sha256, format }))
    await archive.verify(object, length, sha256)
  else await fetchVerified(archive.store, segment)
}

function isArchived({ nextOffset, flushedEnd, segments }: Partition): boolean {
  return nextOffset === flushedEnd && segments.countHaving('object') === segments.length
}

function movesOf(
  context: TieringContext,
  disk: DiskContext,
  log: LiveLog,
  partition: number,
  segments: SegmentEntries,
): readonly TierMove[] {
  return Array.from(segments.having('disk'), ({ baseOffset: from, endOffset: to, ...segment }) => {
    removeFiles(context, disk, [present(segment.disk, 'a disk copy')], log)
    const bytes = segment.length
    return { log: log.name, partition, from, to, fromTier: 'disk', toTier: 'object', bytes }
  })
}

function notArchived(log: LiveLog, partition: Partition): StratalogError {
  const { archivedEnd: from, nextOffset: to } = partition
  return new StratalogError(
    'log_not_archived',
    `Log '${log.name}', partition ${partition.partition}, has records that the archive has not: offsets ${from} to ${to}. Stop appending to it, bring them there with tier now, and detach it then.`,
    { details: { log: log.name, partition: partition.partition, from, to } },
  )
}
