/**
 * Keep the latest: records of aged segments that a newer one of their key has superseded go; see
 * docs/rfcs/0004-keep-latest.md.
 *
 * 1. read the keys of the aged prefix in offset order, and note which records may go;
 * 2. write each segment of which enough may go again without them, as compaction does: one commit for each.
 *
 * A crash leaves some segments written again and others not, and each of them is right by itself: the newer record of
 * what went lies in the prefix, which nothing takes away but what takes the older ones first.
 */
import { isStratalogError } from '../base/errors.ts'
import type { PartitionState, SnapshotPartition } from '../format/manifest.ts'
import { endOffset as batchEnd, sliceRecordBatch } from '../format/record-batch.ts'
import { TOMBSTONE_COLUMN, fieldIndex } from '../format/schema.ts'
import { recordsIn } from '../format/segment-entry.ts'
import { keyColumnOf } from '../log/latest-views.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { LogView } from '../log/log-view.ts'
import type { Partition } from '../log/partition.ts'
import { SupersededRecords } from '../log/superseded-records.ts'
import { readPartition } from '../log/view-reader.ts'
import { compactSegments } from './compact.ts'
import { notedIn } from './committed.ts'
import { type CompactionRun, type DroppedRecords, LookOvertaken } from './compaction-plan.ts'
import type { TierMove, TieringContext } from './context.ts'
import { compactionScope } from './facts.ts'
import { lastLook, noteLook } from './latest-looks.ts'
import { agedPrefix } from './latest-plan.ts'
import { snapshotRanges } from './snapshot-ranges.ts'

/** A segment is written again when at least this part of its records may go. */
const GONE_SHARE_MIN = 0.5

/** Records that are looked at in one stretch: a few ms. */
const STRETCH_ROWS = 8_192

/** What may go of the aged prefix of a partition. */
interface Look extends DroppedRecords {
  /** Of the prefix; behind `latestTo` where there are too many keys. */
  readonly end: number
  /** A snapshot is there that it did not know of: no more goes, and the next round looks again. */
  readonly isOvertaken: () => boolean
}

/** Looks through the aged prefix, writes again what is worth it, and returns that. */
export async function keepLatest(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
): Promise<readonly TierMove[]> {
  const look = await lookForSuperseded(context, log, partition)
  if (look === null) return []
  const moves = await writeAgain(context, log, partition, look, GONE_SHARE_MIN)
  note(partition, look)
  return moves
}

/** By hand: each record that may go goes, and `runs` of neighbours become one segment on the way. */
export async function keepLatestOnly(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  runs: readonly CompactionRun[],
): Promise<readonly TierMove[]> {
  const look = await lookForSuperseded(context, log, partition)
  const moves: TierMove[] = []
  for (const run of runs) moves.push(...(await compactWithout(context, log, partition, run, look)))
  if (look === null) return moves
  moves.push(...(await writeAgain(context, log, partition, look, 0)))
  note(partition, look)
  return moves
}

function note(partition: Partition, { latestTo, end, isOvertaken }: Look): void {
  if (!isOvertaken()) noteLook(partition, { lookedTo: latestTo, triedTo: end })
}

/** Null where nothing is aged. */
async function lookForSuperseded(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
): Promise<Look | null> {
  if (log.definition.keyColumn === null || log.schema === null) return null
  const { hotStart, segments, startOffset } = partition
  const compaction = compactionScope(log, partition.partition, context.archive)
  const prefix = agedPrefix({ segments, compaction, hotStart, look: lastLook(partition) })
  if (prefix.end <= startOffset) return null
  return lookThrough(context, log, partition, prefix.end, prefix.lookedTo)
}

async function writeAgain(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  look: Look,
  shareMin: number,
): Promise<readonly TierMove[]> {
  const { from: own = 0 } = compactionScope(log, partition.partition, context.archive)
  const moves: TierMove[] = []
  for (const segment of partition.segments) {
    const { baseOffset: from, endOffset: to } = segment
    if (from < own) continue
    if (to > look.latestTo || look.isOvertaken()) break
    const records = recordsIn(segment)
    const count = look.gone.count(from, to)
    // One record stays in any case.
    if (count === 0 || records === 1 || count < shareMin * records) continue
    moves.push(...(await compactWithout(context, log, partition, { from, to }, look)))
  }
  return moves
}

async function compactWithout(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  run: CompactionRun,
  look: Look | null,
): Promise<readonly TierMove[]> {
  if (look === null || run.to > look.latestTo) return compactSegments(context, log, partition, run)
  const moves = await compactSegments(context, log, partition, { ...run, drop: look })
  // They are gone now, and are not counted again.
  if (moves.length > 0) look.gone.clear(run.from, run.to)
  return moves
}

async function lookThrough(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  end: number,
  lookedBefore: number,
): Promise<Look> {
  const number = partition.partition
  const archived = (await context.archive?.manifest())?.state ?? null
  // From here to the view in one synchronous stretch: a snapshot that comes later ends behind all that is looked at.
  const { startOffset } = partition
  const snapshots = snapshotRanges(context, log, number, archived)
  const view = log.view(new Map([[number, { start: startOffset, end }]]))
  try {
    const keyColumn = keyColumnOf(view)
    const type = view.schema.fields[fieldIndex(view.schema, keyColumn)]?.type ?? 'utf8'
    const found = new SupersededRecords({
      type,
      snapshotEnds: snapshots.map((range) => range.endOffset),
      tombstones: {
        from: tombstonesFrom(startOffset, snapshots, archived && notedIn(archived, log, number)),
        to: lookedBefore,
      },
    })
    const latestTo = await readKeys(context, view, number, found, keyColumn)
    const sight = { startOffset, end, snapshots }
    return {
      gone: found.gone,
      latestTo: latestTo ?? end,
      end,
      ...checking(context, log, number, sight),
    }
  } finally {
    view.release()
  }
}

/** Older records of a key, that the partition no longer has, may come back from the archive or a snapshot. */
function tombstonesFrom(
  startOffset: number,
  snapshots: readonly SnapshotPartition[],
  archived: PartitionState | null | undefined,
): number {
  // It is told of a new start later: until then a restore begins at its own.
  if ((archived?.startOffset ?? startOffset) < startOffset) return Infinity
  const older = snapshots.filter((range) => range.startOffset < startOffset)
  return Math.max(startOffset, ...older.map((range) => range.endOffset))
}

interface Sight {
  readonly startOffset: number
  readonly end: number
  readonly snapshots: readonly SnapshotPartition[]
}

/** A snapshot whose commit was answered with an error may come to be known after the look. */
function checking(
  context: TieringContext,
  log: LiveLog,
  number: number,
  { startOffset, end, snapshots }: Sight,
): Pick<Look, 'check' | 'isOvertaken'> {
  const isOlder = (range: SnapshotPartition): boolean => range.startOffset < startOffset
  const ends = new Set(snapshots.map((range) => range.endOffset))
  const olderEnds = new Set(snapshots.filter(isOlder).map((range) => range.endOffset))
  const isHarmless = (range: SnapshotPartition): boolean =>
    (range.endOffset >= end || ends.has(range.endOffset)) &&
    (!isOlder(range) || olderEnds.has(range.endOffset))
  let isOvertaken = false
  return {
    isOvertaken: () => isOvertaken,
    check: (archived) => {
      const ranges = snapshotRanges(context, log, number, archived)
      isOvertaken ||= !ranges.every(isHarmless)
      if (isOvertaken) throw new LookOvertaken()
    },
  }
}

/** Where it ended before the end of the view, because of too many keys; null where it did not. */
async function readKeys(
  { clock, logger }: TieringContext,
  view: LogView,
  partition: number,
  found: SupersededRecords,
  keyColumn: string,
): Promise<number | null> {
  const columns = [keyColumn, TOMBSTONE_COLUMN].filter(
    (name) => fieldIndex(view.schema, name) !== -1,
  )
  if (columns[0] !== keyColumn) return null
  let rows = 0
  for await (const { batch } of readPartition(view, partition, { columns, onGap: 'skip' })) {
    for (let from = batch.baseOffset; from < batchEnd(batch); from += STRETCH_ROWS) {
      const to = Math.min(batchEnd(batch), from + STRETCH_ROWS)
      try {
        found.add(sliceRecordBatch(batch, from, to), keyColumn)
      } catch (error) {
        if (!isStratalogError(error) || error.code !== 'query_limit') throw error
        const { name } = view.definition
        logger.warn('A log that keeps the latest has too many keys to be looked through whole.', {
          log: name,
          partition,
          offset: from,
        })
        return from
      }
      rows += to - from
      if (rows < STRETCH_ROWS) continue
      rows = 0
      await clock.yield()
    }
  }
  return null
}
