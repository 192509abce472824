/**
 * Compact: neighbouring small segments become one, and aged Arrow segments become Parquet, on the tiers that they lie
 * on. Records keep their offsets, so readers, snapshots and replays see no difference.
 *
 * 1. read the segments and check them against the manifest: damage is not copied;
 * 2. encode their records as one segment, which takes the memory of one; write it to disk as a flush does, put it into
 *    the archive as an upload does, and read it back;
 * 3. commit to the archive's manifest, then to the local one, that it stands in their place;
 *    (a crash before leaves a file and an object that no manifest names; one in between an archive that knows more, and
 *    the local manifest learns it, at the next open or before the partition's next compaction)
 * 4. only then remove their files, each when its last reader lets go. Their objects are collected later.
 */
import { present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import type {
  ManifestEdit,
  ManifestState,
  PartitionState,
  SegmentEntry,
} from '../format/manifest.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import type { SegmentFormat } from '../format/segment.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import { SegmentReading } from '../log/segment-reading.ts'
import { commitLocal } from './commit.ts'
import { asCommitted, hasSegment, notedIn } from './committed.ts'
import { type Compacted, compactedIn } from './compacted.ts'
import type { CompactionRun } from './compaction-plan.ts'
import type { TierMove, TieringContext } from './context.ts'
import { removeFiles } from './evict.ts'
import { putBatches, writeToDisk } from './flush.ts'
import { changingSegments } from './one-at-a-time.ts'
import { fetchVerified } from './recall.ts'
import { areNamed, putSegments } from './packs.ts'
import { noteUploads, readVerified } from './upload.ts'

/** Makes one segment of those in `run`, and returns what came to which tier; nothing where they are not there. */
export function compactSegments(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  run: CompactionRun,
): Promise<readonly TierMove[]> {
  return changingSegments(partition, async () => {
    const segments = partition.segments.filter(
      ({ baseOffset, endOffset }) => baseOffset >= run.from && endOffset <= run.to,
    )
    if (!isWorthIt(segments, run) || !isOwn(context, log, partition, segments)) return []
    compacting.add(partition)
    try {
      return await compactNow(context, log, partition, segments, run.format)
    } finally {
      compacting.delete(partition)
    }
  })
}

/** One segment alone is written again only in another format. */
function isWorthIt(segments: readonly SegmentEntry[], { format }: CompactionRun): boolean {
  const [first] = segments
  return segments.length > 1 || (first !== undefined && (format ?? first.format) !== first.format)
}

const compacting = new WeakSet<Partition>()

/** Whether segments of the partition become one now, which may wait for the archive. */
export function isCompacting(partition: Partition): boolean {
  return compacting.has(partition)
}

/** The archive may have come to know of a segment since the policy looked. */
function isOwn(
  { archive }: TieringContext,
  log: LiveLog,
  { partition }: Partition,
  segments: readonly SegmentEntry[],
): boolean {
  const isArchived = segments.every(({ object }) => object !== null)
  return isArchived || archive === null || archive.lacks(log, partition, segments)
}

async function compactNow(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  segments: readonly SegmentEntry[],
  wanted: SegmentFormat | undefined,
): Promise<readonly TierMove[]> {
  const [first] = segments
  const { disk: diskCopy, object: objectCopy } = present(first, 'a segment to compact')
  // What is Parquet stays so, whatever the log's policy says by now.
  const isParquet = segments.every(({ format }) => format === 'parquet')
  const format = wanted ?? (isParquet ? 'parquet' : log.policy.segmentFormat)
  const records = await recordsOf(context, log, partition, segments)
  const filling = { log, partition, format, ...records }
  let segment: SegmentEntry
  if (diskCopy === null) {
    segment = await putBatches(context, filling)
  } else {
    segment = await writeToDisk(context, filling)
    if (objectCopy !== null) segment = await upload(context, log, partition, segment)
  }
  if (segment.object !== null) {
    const archive = present(context.archive, 'an object copy is in an archive')
    const number = partition.partition
    const state = await archive.commitReplaced(log, number, segments, segment, context.round)
    areNamed(partition)
    segment = asCommitted(state, log, number, segment, 'object')
  }
  await replaceHere(context, log, partition, segments, segment)
  context.metrics.count('stratalog_compacted_segments_total', segments.length)
  context.metrics.count('stratalog_compacted_bytes_total', segment.length)
  const tier = segment.disk === null ? 'object' : 'disk'
  const { baseOffset: from, endOffset: to, length: bytes } = segment
  const place = { log: log.name, partition: partition.partition }
  return [{ ...place, from, to, fromTier: tier, toTier: tier, bytes }]
}

/** Of a partition: the compaction whose local commit was answered with an error, and may have been done. */
const unsettled = new WeakMap<Partition, Compacted>()

/**
 * Manifests may know of a compaction that the partition does not know of: a commit was answered with an error. What the
 * archive has retired it collects, so the partition learns of it before its segments change in another way.
 */
export function settleCompaction(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
): Promise<void> {
  return changingSegments(partition, () => settleNow(context, log, partition))
}

async function settleNow(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
): Promise<void> {
  const open = unsettled.get(partition)
  if (open !== undefined) await replaceHere(context, log, partition, open.replaced, open.segment)
  const state = context.archive?.state ?? null
  const known = state === null ? undefined : notedIn(state, log, partition.partition)
  if (known === undefined) return
  for (const { segment, replaced } of compactedIn(known, partition.segments))
    await replaceHere(context, log, partition, replaced, segment)
  await takeOverCopies(context, log, partition, known)
}

/** Uploads that the archive knows of and the partition does not. */
async function takeOverCopies(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  known: PartitionState,
): Promise<void> {
  const uploaded: SegmentEntry[] = []
  for (const segment of partition.segments.lacking('object')) {
    const { baseOffset, sha256 } = segment
    const there = known.segments.startingAt(baseOffset)
    if (there?.sha256 !== sha256 || there.object === null) continue
    uploaded.push({ ...segment, object: there.object })
  }
  if (uploaded.length > 0) await noteUploads(context, log, partition, uploaded)
}

async function replaceHere(
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
  partition.replaceSegments(segments, segment)
  if (segment.disk !== null) context.diskBudget.named(segment.disk.object)
  const files = segments.flatMap((entry) => entry.disk ?? [])
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

/** The records of the segments in order, and what the last one says of producers. */
async function recordsOf(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  segments: readonly SegmentEntry[],
): Promise<Pick<Parameters<typeof writeToDisk>[1], 'records' | 'producers'>> {
  const records: RecordBatch[] = []
  let producers: Parameters<typeof writeToDisk>[1]['producers']
  const owner = { logId: log.id, partition: partition.partition }
  for (const segment of segments) {
    const bytes =
      segment.disk === null
        ? await fetchVerified(present(context.archive, 'it lies in an archive').store, segment)
        : await readVerified(present(context.disk, 'it lies on disk'), segment)
    const reading = SegmentReading.fromBytes(bytes, segment, owner)
    const { batches } = reading.facts
    for await (const batch of reading.read([...batches.keys()])) {
      records.push(batch)
      await context.clock.yield()
    }
    producers = reading.facts.producers
  }
  return { records, producers }
}

async function upload(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  segment: SegmentEntry,
): Promise<SegmentEntry> {
  const disk = present(context.disk, 'it lies on disk')
  const { baseOffset, sha256, format } = segment
  const name = { logId: log.id, partition: partition.partition, baseOffset, sha256, format }
  const bytes = await readVerified(disk, segment)
  const { retention } = log.policy
  const [location] = await putSegments(context, [{ partition, retention, name, bytes }])
  return { ...segment, object: present(location, 'what was put lies somewhere') }
}
