/**
 * Flush: what is in RAM gets a lower copy. The order is the guarantee:
 *
 * 1. seal the open batch and wait until every record of it is durable in the WAL: a segment never holds a record that a
 *    crash could take back (after a failed fsync those offsets go to other records);
 * 2. write the segment under a temporary name, fsync, rename, fsync its directory;
 *    (a crash here leaves a file that no manifest names; the next open removes it)
 * 3. commit the manifest edit, with what is remembered of the partition's producers;
 * 4. only then may the WAL and the RAM copy go. The checkpoint and the eviction are later steps of the scheduler.
 */
import type { ManifestEdit, ManifestState, SegmentEntry } from '../format/manifest.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import type { EncodedSegment } from '../format/segment-writer.ts'
import { segmentDirectory, segmentKey, segmentPath, temporaryPath } from '../format/paths.ts'
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
import { committedEnds, hasSegment, notedIn } from './committed.ts'
import type { DiskContext, TierMove, TieringContext } from './context.ts'
import { flushRoom } from './disk-pressure.ts'
import { encodeBatches, segmentEntry } from './encode.ts'
import { oneAtATime } from './one-at-a-time.ts'
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
    const flush = { log, partition, target, producers, isAtOnce }
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
  const disk = present(context.disk, 'an engine that flushes has a manifest')
  // What follows them may be in RAM only, and goes with a crash; its producers then send it again.
  const known = producersAsOf(producers, segments.at(-1)?.endOffset ?? 0)
  await commitSegments(disk, log, partition, segments, known)
  return noteSegments(log, partition, segments, 'object')
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
  /** Whether nothing but the manifest and the segments themselves tells of the producers. */
  readonly isAtOnce: boolean
}

/** What a segment is made of. */
interface Filling {
  readonly log: LiveLog
  readonly partition: Partition
  readonly records: readonly RecordBatch[]
  /** A segment that no manifest comes to name says of them itself. */
  readonly producers: readonly ProducerState[]
  /** Of all records, of a log in RAM. */
  readonly terms?: readonly TermsRun[]
}

/** Writes a segment for each group, and names them in one commit. */
async function flushGroups(
  context: TieringContext,
  flush: Flush,
  groups: readonly (readonly BatchPart[])[],
): Promise<readonly TierMove[]> {
  const { log, partition, target, producers, isAtOnce } = flush
  const disk = present(context.disk, 'an engine that flushes has a manifest')
  // What goes straight to the archive is named by its manifest or by nothing, and has the same bytes each time.
  const isTold = isAtOnce && target === 'disk'
  const segments: SegmentEntry[] = []
  // The numbers of its schemas become the archive's too, and without a WAL nothing else here knows them.
  if (target === 'object' && !log.usesWal)
    await disk.manifest.commit((state) => missingSchemas(state, log))
  for (const group of groups) {
    const records = group.map((part) => part.records)
    const end = group.at(-1)?.endOffset ?? 0
    const filling = {
      log,
      partition,
      records,
      producers: isTold ? producersAsOf(producers, end) : [],
    }
    segments.push(
      await (target === 'disk' ? writeToDisk(context, filling) : putBatches(context, filling)),
    )
  }
  if (target === 'object') {
    const archive = present(context.archive, 'an engine that flushes to an archive has one')
    await archive.commitSegments(
      segments.map((segment) => ({ log, partition: partition.partition, segment, producers })),
    )
  }
  await commitSegments(disk, log, partition, segments, producers)
  for (const { disk: copy } of segments) if (copy !== null) context.diskBudget.named(copy.object)
  const bytes = segments.reduce((sum, { length }) => sum + length, 0)
  context.metrics.count('stratalog_flush_bytes_total', bytes)
  return noteSegments(log, partition, segments, target)
}

/** Tells the partition of segments that the manifest has. */
function noteSegments(
  log: LiveLog,
  partition: Partition,
  segments: readonly SegmentEntry[],
  toTier: 'disk' | 'object',
): TierMove[] {
  return segments.map((segment) => {
    partition.addSegment(segment)
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

/** Encodes batches and writes them to disk; no manifest names the file yet. */
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

async function writeThrough(
  context: TieringContext,
  disk: DiskContext,
  temporary: string,
  { log, partition, records, producers }: Filling,
): Promise<SegmentEntry> {
  let encoded: EncodedSegment
  const file = await disk.fileSystem.create(temporary)
  try {
    encoded = await encodeBatches(context, log, partition.partition, records, producers, (piece) =>
      file.write(piece),
    )
    await file.sync()
  } finally {
    await file.close()
  }
  const { baseOffset } = encoded.facts
  const name = {
    logId: log.id,
    partition: partition.partition,
    baseOffset,
    sha256: encoded.sha256,
    format: 'arrow',
  } as const
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
): Promise<SegmentEntry> {
  const segment = await putBatches(context, { log, partition, records: batches, producers: [] })
  const archive = present(context.archive, 'what was put there has an archive')
  await archive.commitSegments([{ log, partition: partition.partition, segment, producers }])
  return segment
}

/** Encodes batches and puts them into the archive; its manifest does not name them yet. */
export async function putBatches(
  context: TieringContext,
  { log, partition, records, producers, terms }: Filling,
): Promise<SegmentEntry> {
  const { archive } = context
  if (archive === null)
    throw new StratalogError(
      'config_invalid',
      `Log '${log.name}' needs an archive, and there is none.`,
    )
  const pieces: Uint8Array[] = []
  const encoded = await encodeBatches(
    context,
    log,
    partition.partition,
    records,
    producers,
    async (piece) => {
      pieces.push(piece)
    },
    terms,
  )
  const key = segmentKey({
    logId: log.id,
    partition: partition.partition,
    baseOffset: encoded.facts.baseOffset,
    sha256: encoded.sha256,
    format: 'arrow',
  })
  await archive.putSegment(key, Buffer.concat(pieces), encoded.sha256)
  const segment = segmentEntry(encoded, 'object', {
    object: key,
    position: 0,
    length: encoded.length,
  })
  return segment
}

async function commitSegments(
  disk: DiskContext,
  log: LiveLog,
  partition: Partition,
  segments: readonly SegmentEntry[],
  producers: readonly ProducerState[],
): Promise<void> {
  const number = partition.partition
  await disk.manifest.commit((state) => {
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

/** Edits for the schemas of a log that a manifest does not know yet. */
export function missingSchemas(state: ManifestState, log: LiveLog): readonly ManifestEdit[] {
  const known = state.logs.get(log.id)?.schemas.length ?? 0
  return log.schemas.slice(known).map((schema) => ({ kind: 'schema-added', logId: log.id, schema }))
}
