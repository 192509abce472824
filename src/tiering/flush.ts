/**
 * Flush: what is in RAM gets a lower copy. The order is the guarantee:
 *
 * 1. seal the open batch and wait until every record of it is durable in the WAL: a segment never holds a record that a
 *    crash could take back (after a failed fsync those offsets go to other records);
 * 2. write the segment under a temporary name, fsync, rename, fsync its directory; small ones of many partitions share
 *    one file (`packs.ts`);
 *    (a crash here leaves a file that no manifest names; the next open removes it)
 * 3. commit the manifest edit, with what is remembered of the partition's producers: once for all of a round;
 * 4. only then may the WAL and the RAM copy go. The checkpoint and the eviction are later steps of the scheduler.
 */
import type { ManifestEdit, ManifestState, SegmentEntry } from '../format/manifest.ts'
import { type RecordBatch, recordBatchBytes } from '../format/record-batch.ts'
import type { EncodedSegment, SegmentFormat, SparseRange } from '../format/segment.ts'
import { PACKED_FLUSH_BYTES_MAX } from '../format/limits.ts'
import { type SegmentName, segmentDirectory, segmentPath, temporaryPath } from '../format/paths.ts'
import { randomHex } from '../base/random.ts'
import { StratalogError } from '../base/errors.ts'
import { present } from '../base/assert.ts'
import { type ProducerState, producersAsOf } from '../format/producer.ts'
import type { HotBatch } from '../log/hot-batch.ts'
import type { TermsRun } from '../format/segment-terms.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import { producerEdits } from '../log/producer-table.ts'
import { archivedBeyond } from './adopt-archived.ts'
import { commitLocal } from './commit.ts'
import { asCommitted, committedEnds, hasSegment, notedIn } from './committed.ts'
import type { DiskContext, TierMove, TieringContext } from './context.ts'
import { flushRoom } from './disk-pressure.ts'
import { encodeBatches, segmentEntry } from './encode.ts'
import { areNamed, putSegments, writeSegment } from './packs.ts'
import { oneAtATime } from './one-at-a-time.ts'
import { PieceRoom } from './piece-room.ts'
import { type SegmentPart, groupForSegments } from './segment-groups.ts'

/** Flushes every record the partition holds when called, or what the disk has room for; holes between them stay. */
export async function flushPartition(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  target: 'disk' | 'object',
): Promise<readonly TierMove[]> {
  return oneAtATime(partition, async () => {
    // A log in RAM flushes what it owes, which ends where a batch does.
    const all = log.policy.mode === 'memory' ? partition.owedEnd : partition.nextOffset
    if (target === 'object') return flushNow(context, log, partition, target, all)
    const { diskBudget } = context
    const { flushedEnd, batches } = partition
    const { end, bytes } = flushRoom(diskBudget.facts(), batches, flushedEnd, all)
    const giveBack = diskBudget.reserve(bytes)
    try {
      return await flushNow(context, log, partition, target, end)
    } finally {
      giveBack()
    }
  })
}

async function flushNow(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  target: 'disk' | 'object',
  end: number,
): Promise<readonly TierMove[]> {
  if (end <= partition.flushedEnd) return []
  // As of `end`: all that is flushed lies below it.
  const producers = producersAsOf(partition.producerStates, end)
  if (end === partition.nextOffset) partition.sealOpenBatch()
  if (log.usesWal) await context.wal?.flush()
  const moves = await takeOverArchived(context, log, partition, end, producers)
  const batches = partition.leaseSealed(partition.flushedEnd, Math.min(partition.durableEnd, end))
  const states = [context.disk?.manifest.state, context.archive?.state]
  try {
    const parts = batches.flatMap((batch) => partsOf(batch, partition))
    const groups = groupForSegments(parts, committedEnds(states, log, partition))
    // What is in no WAL only the manifest knows to have been applied: records and producers go into one commit.
    const isAtOnce = producers.length > 0 && batches.some(({ firstLsn }) => firstLsn === Infinity)
    const flush = { log, partition, target, producers }
    for (const part of isAtOnce && groups.length > 0 ? [groups] : groups.map((group) => [group]))
      moves.push(...(await flushGroups(context, flush, part)))
    return moves
  } finally {
    for (const batch of batches) batch.release()
  }
}

async function takeOverArchived(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  end: number,
  producers: readonly ProducerState[],
): Promise<TierMove[]> {
  const segments = await archivedBeyond(context, log, partition, end)
  if (segments.length === 0) return []
  // What follows them may be in RAM only, and goes with a crash; its producers then send it again.
  const known = producersAsOf(producers, segments.at(-1)?.endOffset ?? 0)
  const state = await commitSegments(context, log, partition, segments, known)
  return noteSegments(state, log, partition, segments, 'object')
}

interface BatchPart extends SegmentPart {
  readonly records: RecordBatch
}

/** What of a batch has no lower copy: without its holes, and without what expired. */
function partsOf(batch: HotBatch, { flushedEnd, expiryTime }: Partition): readonly BatchPart[] {
  const { schema, endOffset, length } = batch
  return batch.liveRanges(flushedEnd, endOffset, expiryTime).map(({ start, end }) => ({
    schema,
    baseOffset: start,
    endOffset: end,
    bytes: (batch.bytes * (end - start)) / length,
    records: batch.view(start, end),
  }))
}

/** What a flush was asked for, and the producers as they were then. */
interface Flush {
  readonly log: LiveLog
  readonly partition: Partition
  readonly target: 'disk' | 'object'
  readonly producers: readonly ProducerState[]
}

/** What a segment is made of. */
interface Filling {
  readonly log: LiveLog
  readonly partition: Partition
  readonly records: readonly RecordBatch[]
  /** The log's when absent. */
  readonly format?: SegmentFormat
  /** As of its end; undefined where it says nothing of them, as the WAL or a manifest does. */
  readonly producers: readonly ProducerState[] | undefined
  /** Of all records, of a log in RAM. */
  readonly terms?: readonly TermsRun[]
  /** Where the records have an offset column. */
  readonly sparse?: SparseRange
  /** Of segments that are put one after the other. */
  readonly room?: PieceRoom
}

/** Writes a segment for each group, and names them in one commit. */
async function flushGroups(
  context: TieringContext,
  flush: Flush,
  groups: readonly (readonly BatchPart[])[],
): Promise<readonly TierMove[]> {
  const { log, partition, target, producers } = flush
  // The next open may take over a file of a log without a WAL that no manifest names, so it tells of the producers.
  // What goes straight to the archive is named by its manifest or by nothing, and has the same bytes each time.
  const isTold = target === 'disk' && !log.policy.wal
  const segments: SegmentEntry[] = []
  // The numbers of its schemas become the archive's too, and without a WAL nothing else here knows them.
  if (target === 'object' && !log.usesWal)
    await commitLocal(context, (state) => missingSchemas(state, log))
  for (const group of groups) {
    const records = group.map((part) => part.records)
    const end = group.at(-1)?.endOffset ?? 0
    const filling = {
      log,
      partition,
      records,
      producers: isTold ? producersAsOf(producers, end) : undefined,
    }
    const write =
      target === 'object' ? putBatches : mayBePacked(context, filling) ? writePacked : writeToDisk
    segments.push(await write(context, filling))
  }
  if (target === 'object') {
    const archive = present(context.archive, 'an engine that flushes to an archive has one')
    const archived = await archive.commitSegments(
      segments.map((segment) => ({ log, partition: partition.partition, segment, producers })),
      context.round,
    )
    areNamed(partition)
    for (const [index, segment] of segments.entries())
      segments[index] = asCommitted(archived, log, partition.partition, segment, 'object')
  }
  const state = await commitSegments(context, log, partition, segments, producers)
  for (const { disk: copy } of segments) if (copy !== null) context.diskBudget.named(copy.object)
  const bytes = segments.reduce((sum, { length }) => sum + length, 0)
  context.metrics.count('stratalog_flush_bytes_total', bytes)
  return noteSegments(state, log, partition, segments, target)
}

/** Tells the partition of segments that the manifest has. */
function noteSegments(
  state: ManifestState,
  log: LiveLog,
  partition: Partition,
  segments: readonly SegmentEntry[],
  toTier: 'disk' | 'object',
): TierMove[] {
  return segments.map((segment) => {
    partition.addSegment(asCommitted(state, log, partition.partition, segment, toTier))
    // Of a log in RAM what was owed is below it now, and is served from there.
    if (log.policy.mode === 'memory') partition.dropHot(partition.flushedEnd)
    return {
      log: log.name,
      partition: partition.partition,
      from: segment.baseOffset,
      to: segment.endOffset,
      fromTier: 'memory',
      toTier,
      bytes: segment.length,
    }
  })
}

/** Encodes batches and writes them to a file of their own; no manifest names it yet. */
export async function writeToDisk(
  context: TieringContext,
  filling: Filling,
): Promise<SegmentEntry> {
  const disk = present(context.disk, 'an engine that flushes to disk has one')
  const temporary = `${disk.dataDir}/${temporaryPath(randomHex(context.random, 8))}`
  try {
    return await writeThrough(context, disk, temporary, filling)
  } catch (error) {
    // On a full disk, what a failed flush leaves behind would be in the way of the next.
    await disk.fileSystem.remove(temporary).catch(() => {})
    throw error
  }
}

/**
 * Whether a flush to disk may share a file with those of other partitions. What no WAL has lies in a file of its own:
 * the next open takes that over, should a crash come before its commit.
 */
function mayBePacked({ round }: TieringContext, { log, records }: Filling): boolean {
  if (round === undefined || !log.usesWal) return false
  const bytes = records.reduce((sum, batch) => sum + recordBatchBytes(batch), 0)
  return bytes <= PACKED_FLUSH_BYTES_MAX
}

async function writePacked(context: TieringContext, filling: Filling): Promise<SegmentEntry> {
  const { log, partition } = filling
  const { encoded, name, bytes } = await encodeToBytes(context, filling)
  const { mode, retention } = log.policy
  const isLeaving = mode === 'hybrid' && context.archive !== null
  const location = await writeSegment(context, { partition, retention, isLeaving, name, bytes })
  return segmentEntry(encoded, 'disk', location)
}

async function writeThrough(
  context: TieringContext,
  disk: DiskContext,
  temporary: string,
  { log, partition, records, format, producers, sparse }: Filling,
): Promise<SegmentEntry> {
  let encoded: EncodedSegment
  const file = await disk.fileSystem.create(temporary)
  try {
    encoded = await encodeBatches(
      context,
      log,
      partition.partition,
      records,
      producers,
      (piece) => file.write(piece),
      { format, sparse },
    )
    await file.sync()
  } finally {
    await file.close()
  }
  const { baseOffset, format: written } = encoded.facts
  const name = {
    logId: log.id,
    partition: partition.partition,
    baseOffset,
    sha256: encoded.sha256,
    format: written,
  }
  const path = segmentPath(name)
  const directory = `${disk.dataDir}/${segmentDirectory(log.id, partition.partition)}`
  await disk.fileSystem.makeDirectory(directory)
  await disk.fileSystem.rename(temporary, `${disk.dataDir}/${path}`)
  context.diskBudget.written(path, encoded.length)
  await disk.fileSystem.syncDirectory(directory)
  const segment = segmentEntry(encoded, 'disk', {
    object: path,
    position: 0,
    length: encoded.length,
  })
  return segment
}

/** Encodes batches, puts them into the archive, and commits them with their producers to its manifest. */
export async function archiveBatches(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  batches: readonly RecordBatch[],
  producers: readonly ProducerState[],
  terms: readonly TermsRun[] = [],
): Promise<SegmentEntry> {
  const segment = await putBatches(context, {
    log,
    partition,
    records: batches,
    producers: undefined,
    terms,
  })
  const archive = present(context.archive, 'what was put there has an archive')
  const number = partition.partition
  const state = await archive.commitSegments(
    [{ log, partition: number, segment, producers }],
    context.round,
  )
  areNamed(partition)
  return asCommitted(state, log, number, segment, 'object')
}

/** Encodes batches and puts them into the archive; its manifest does not name them yet. */
export async function putBatches(context: TieringContext, filling: Filling): Promise<SegmentEntry> {
  const { log, partition } = filling
  if (context.archive === null)
    throw new StratalogError(
      'config_invalid',
      `Log '${log.name}' needs an archive, and there is none.`,
    )
  const { encoded, name, bytes } = await encodeToBytes(context, filling)
  const { retention } = log.policy
  const [location] = await putSegments(context, [{ partition, retention, name, bytes }])
  return segmentEntry(encoded, 'object', present(location, 'what was put lies somewhere'))
}

async function encodeToBytes(
  context: TieringContext,
  { log, partition, records, format, producers, terms, sparse, room = new PieceRoom() }: Filling,
): Promise<{
  readonly encoded: EncodedSegment
  readonly name: SegmentName
  readonly bytes: Uint8Array
}> {
  const number = partition.partition
  const rawBytes = records.reduce((sum, batch) => sum + recordBatchBytes(batch), 0)
  const joined = room.joined(rawBytes, context.clock)
  const sink = (piece: Uint8Array): Promise<void> => joined.add(piece)
  const made = { format, terms, sparse }
  const encoded = await encodeBatches(context, log, number, records, producers, sink, made)
  const { facts, sha256 } = encoded
  const { baseOffset, format: written } = facts
  const name = { logId: log.id, partition: number, baseOffset, sha256, format: written }
  return { encoded, name, bytes: joined.bytes() }
}

function commitSegments(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  segments: readonly SegmentEntry[],
  producers: readonly ProducerState[],
): Promise<ManifestState> {
  const number = partition.partition
  return commitLocal(context, (state) => {
    const added = segments.filter((segment) => !hasSegment(state, log, number, segment))
    const noted = producerEdits(log.id, number, notedIn(state, log, number), producers)
    if (added.length === 0) return noted
    return [
      ...missingSchemas(state, log),
      ...added.map((segment) => ({
        kind: 'segment-added' as const,
        logId: log.id,
        partition: number,
        segment,
      })),
      ...noted,
    ]
  })
}

/** Edits for the schemas of a log that a manifest does not know yet; none of a log that has just ended. */
export function missingSchemas(state: ManifestState, log: LiveLog): readonly ManifestEdit[] {
  const known = state.logs.get(log.id)
  if (known === undefined) return []
  return log.schemas
    .slice(known.schemas.length)
    .map((schema) => ({ kind: 'schema-added', logId: log.id, schema }))
}
