/**
 * Compact: neighbouring small segments become one, and aged Arrow segments become Parquet, on the tiers that they lie
 * on; and what superseded records there are go (keep-latest.ts). Records keep their offsets, so readers, snapshots and
 * replays see no difference.
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
import type { PartitionState, SegmentEntry } from '../format/manifest.ts'
import { recordsIn, sameLocation } from '../format/segment-entry.ts'
import type { SegmentFormat } from '../format/segment.ts'
import { type OffsetRows, pickRows, writtenRows } from '../format/sparse-rows.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { PagedOffsets } from '../log/paged-offsets.ts'
import type { Partition } from '../log/partition.ts'
import { SegmentReading } from '../log/segment-reading.ts'
import { commitLocal } from './commit.ts'
import { asCommitted, notedIn } from './committed.ts'
import { compactedIn, movedIn, retiredAmong } from './compacted.ts'
import { type CompactionRun, type DroppedRecords, LookOvertaken } from './compaction-plan.ts'
import type { TierMove, TieringContext } from './context.ts'
import { putBatches, writeToDisk } from './flush.ts'
import { changingSegments } from './one-at-a-time.ts'
import { fetchVerified } from './recall.ts'
import { areNamed, putSegments } from './packs.ts'
import { replaceHere, unsettledReplacement } from './replace-segments.ts'
import { noteUploads, readPinned, readVerified } from './upload.ts'

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
      return await compactNow(context, log, partition, segments, run)
    } catch (error) {
      // What was written stays as after a crash; another look knows the snapshot.
      if (error instanceof LookOvertaken) return []
      throw error
    } finally {
      compacting.delete(partition)
    }
  })
}

/** One segment alone is written again only in another format, or with fewer records. */
function isWorthIt(segments: readonly SegmentEntry[], { format, drop }: CompactionRun): boolean {
  const [first] = segments
  if (first === undefined) return false
  return segments.length > 1 || drop !== undefined || (format ?? first.format) !== first.format
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
  { format: wanted, drop }: CompactionRun,
): Promise<readonly TierMove[]> {
  const [first] = segments
  const { disk: diskCopy, object: objectCopy } = present(first, 'a segment to compact')
  // What is Parquet stays so, whatever the log's policy says by now.
  const isParquet = segments.every(({ format }) => format === 'parquet')
  const format: SegmentFormat = wanted ?? (isParquet ? 'parquet' : log.policy.segmentFormat)
  const records = await recordsOf(context, log, partition, segments, drop)
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
    const state = await archive.commitReplaced(
      log,
      number,
      segments,
      segment,
      context.round,
      drop?.check,
    )
    areNamed(partition)
    segment = asCommitted(state, log, number, segment, 'object')
  } else {
    drop?.check(context.archive?.state ?? null)
  }
  await replaceHere(context, log, partition, segments, segment)
  context.metrics.count('stratalog_compacted_segments_total', segments.length)
  context.metrics.count('stratalog_compacted_bytes_total', segment.length)
  if (drop !== undefined) {
    const count = segments.reduce((sum, entry) => sum + recordsIn(entry), -recordsIn(segment))
    context.metrics.count('stratalog_superseded_records_total', count, { log: log.name })
  }
  const tier = segment.disk === null ? 'object' : 'disk'
  const { baseOffset: from, endOffset: to, length: bytes } = segment
  const place = { log: log.name, partition: partition.partition }
  return [{ ...place, from, to, fromTier: tier, toTier: tier, bytes }]
}

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
  const open = unsettledReplacement(partition)
  if (open !== undefined) await replaceHere(context, log, partition, open.replaced, open.segment)
  const state = context.archive?.state ?? null
  const known = state === null ? undefined : notedIn(state, log, partition.partition)
  if (known === undefined) return
  for (const { segment, replaced } of compactedIn(known, partition.segments))
    await replaceHere(context, log, partition, replaced, segment)
  await notePlaces(context, log, partition, movedIn(known, retiredAmong(known, partition.segments)))
  await takeOverCopies(context, log, partition, known)
}

/** Commits to the local manifest that objects lie in other places now, and tells the partition. */
async function notePlaces(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  moved: readonly SegmentEntry[],
): Promise<void> {
  if (moved.length === 0) return
  const place = { logId: log.id, partition: partition.partition, retiredAt: null }
  await commitLocal(context, (state) =>
    moved.flatMap((segment) => {
      const noted = notedIn(state, log, partition.partition)?.segments
      const known = noted?.startingAt(segment.baseOffset)
      // It was retired meanwhile, or an earlier commit did it that was answered with an error.
      if (known?.sha256 !== segment.sha256 || known.object === null) return []
      const { object } = segment
      if (object === null || sameLocation(known.object, object)) return []
      return [{ kind: 'segments-replaced' as const, ...place, segment: { ...known, object } }]
    }),
  )
  for (const segment of moved)
    if (partition.hasSegment(segment))
      partition.setCopy(segment.baseOffset, 'object', segment.object)
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

/** The records of the segments in order but for those that go, and what the last segment says of producers. */
async function recordsOf(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  segments: readonly SegmentEntry[],
  drop: DroppedRecords | undefined,
): Promise<Pick<Parameters<typeof writeToDisk>[1], 'records' | 'producers' | 'sparse'>> {
  const kept: OffsetRows[] = []
  let last: OffsetRows | null = null
  let producers: Parameters<typeof writeToDisk>[1]['producers']
  const owner = { logId: log.id, partition: partition.partition }
  for (const { baseOffset } of segments) {
    // As it lies now.
    const segment = present(partition.segments.startingAt(baseOffset), 'a segment to compact')
    const bytes =
      segment.disk === null
        ? await fetchVerified(present(context.archive, 'it lies in an archive').store, segment)
        : await readPinned(context, present(context.disk, 'it lies on disk'), segment)
    const reading = SegmentReading.fromBytes(bytes, segment, owner)
    const { batches } = reading.facts
    for await (const rows of reading.readRows([...batches.keys()])) {
      last = rows
      const part = drop === undefined ? rows : rowsWithout(rows, drop.gone)
      if (part !== null) kept.push(part)
      await context.clock.yield()
    }
    producers = reading.facts.producers
  }
  const all = kept.length > 0 ? kept : [lastRow(present(last ?? undefined, 'a block'))]
  const range = {
    baseOffset: present(segments[0], 'a segment').baseOffset,
    endOffset: present(segments.at(-1), 'a segment').endOffset,
    latestTo: drop?.latestTo ?? Math.max(...segments.map(({ sparse }) => sparse?.latestTo ?? 0)),
  }
  return { ...writtenRows(all, range), producers }
}

/** The rows that stay; null where none does. */
function rowsWithout(rows: OffsetRows, gone: PagedOffsets): OffsetRows | null {
  const { batch, offsets } = rows
  const { baseOffset, length } = batch
  const ranges: number[] = []
  let start = -1
  for (let row = 0; row <= length; row++) {
    const isKept = row < length && !gone.has(offsets?.[row] ?? baseOffset + row)
    if (isKept && start === -1) start = row
    if (isKept || start === -1) continue
    ranges.push(start, row)
    start = -1
  }
  if (ranges.length === 0) return null
  return ranges[0] === 0 && ranges[1] === length ? rows : pickRows(rows, Int32Array.from(ranges))
}

function lastRow(rows: OffsetRows): OffsetRows {
  const { length } = rows.batch
  return pickRows(rows, Int32Array.of(length - 1, length))
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
