/**
 * What to move, as a pure function of what exists and of the time. Executors carry the plan out and ask nothing.
 *
 * Moves count from the append, on the engine's clock, so an idle log tiers too. Each partition moves contiguous
 * prefixes only: a segment is archived after the one before it, and leaves the disk after the one before it.
 *
 * Bytes count as well as ages: above the watermark of the disk's budget segments are uploaded and dropped early, and
 * what does not fit is not flushed (see disk-pressure.ts).
 */
import type { SegmentEntry, StoragePolicy } from '../format/manifest.ts'
import type { SegmentEntries } from '../format/segment-entries.ts'
import { recordsIn } from '../format/segment-entry.ts'
import {
  type CompactionRun,
  type CompactionScope,
  agedRun,
  compactionDue,
} from './compaction-plan.ts'
import {
  type DiskFacts,
  type EarlyMoves,
  NO_EARLY_MOVES,
  isFlushHeld,
  planEarlyMoves,
} from './disk-pressure.ts'
import { type SegmentTotals, newestTime } from '../log/segment-list.ts'
import { dueAt } from './due.ts'
import type { LatestLook } from './latest-looks.ts'
import { latestRunDue } from './latest-plan.ts'
import { recallsDue, recallsOfRound } from './recalls.ts'

/** A hot batch as the policy sees it. */
export interface BatchFactsInRam {
  readonly baseOffset: number
  readonly endOffset: number
  readonly appendTimeMin: number
  readonly appendTimeMax: number
  readonly bytes: number
}

export interface PartitionFacts {
  readonly logId: number
  readonly partition: number
  readonly policy: StoragePolicy
  readonly flushedEnd: number
  /** Of its segments; null where nothing goes by age or size. */
  readonly totals: SegmentTotals | null
  /** Whether the archive's manifest still has segments before the partition's start. */
  readonly isArchiveBehind: boolean
  readonly compaction: CompactionScope
  /** RAM has no records before it; left out with `look` where the log keeps all. */
  readonly hotStart?: number
  /** Where the last look for superseded records ended. */
  readonly look?: LatestLook
  /** False without an archive, and while a commit to it may have been done that is not known of. */
  readonly isArchiveSure: boolean
  /** Records below are due whatever their age: the log's policy was changed, and promises more of them now. */
  readonly owedEnd?: number
  /** It holds records whose frames the WAL should let go of, however idle the log is. */
  readonly isWalDue?: boolean
  /** Its last move to the archive failed, and is not tried again yet. */
  readonly isFailing?: boolean
  /** Somebody paused it: only what a budget asks for moves. */
  readonly isPaused?: boolean
  readonly batches: readonly BatchFactsInRam[]
  readonly segments: SegmentEntries
  /** Whether the directory was restored without its bytes, and is filled now. */
  readonly isFilling?: boolean
}

export interface PartitionPlan {
  readonly logId: number
  readonly partition: number
  /** The partition begins here from now on, where a segment ends; 0: it begins where it did. */
  readonly retireTo: number
  /** Tell the archive where the partition begins. */
  readonly retireArchived: boolean
  /** Write everything in RAM that has no lower copy: to disk, or straight to the object store. */
  readonly flush: 'disk' | 'object' | null
  /** Base offsets of segments to upload, in order. */
  readonly upload: readonly number[]
  /** Drop RAM copies of batches that end at or below this offset; 0 drops nothing. */
  readonly dropHotTo: number
  /** Base offsets of segments whose disk copy goes. */
  readonly dropDisk: readonly number[]
  /** Neighbouring segments that become one. */
  readonly compact: CompactionRun | null
  /** Look for superseded records in aged segments. */
  readonly keepLatest: boolean
  /** Base offsets of segments that get a disk copy from the archive. */
  readonly recall: readonly number[]
}

export interface TieringInput {
  readonly now: number
  readonly hasArchive: boolean
  /** Absent: nothing is too much for it. */
  readonly disk?: DiskFacts | null
  readonly partitions: readonly PartitionFacts[]
}

/** One plan for each partition that has something to move. */
export function planTiering(input: TieringInput): readonly PartitionPlan[] {
  const plans: PartitionPlan[] = []
  const { disk = null, partitions } = input
  const early = planEarlyMoves(disk, partitions)
  for (const facts of partitions) {
    const plan = planPartition(facts, input, early.get(facts) ?? NO_EARLY_MOVES)
    if (
      plan.retireTo > 0 ||
      plan.retireArchived ||
      plan.compact !== null ||
      plan.keepLatest ||
      plan.flush !== null ||
      plan.upload.length > 0 ||
      plan.dropHotTo > 0 ||
      plan.dropDisk.length > 0 ||
      plan.recall.length > 0
    )
      plans.push(plan)
  }
  return plans
}

function planPartition(
  facts: PartitionFacts,
  { now, hasArchive, disk = null }: TieringInput,
  early: EarlyMoves,
): PartitionPlan {
  if (facts.isPaused === true) return planForBudgets(facts, disk, early)
  const { logId, partition, isArchiveSure } = facts
  const start = retireTo(facts, now)
  const mustAsk = !isArchiveSure && isArchivedAround(facts.segments, start)
  return {
    logId,
    partition,
    retireTo: mustAsk ? 0 : start,
    retireArchived: hasArchive && (facts.isArchiveBehind || mustAsk),
    compact: runToCompact(facts, now, disk),
    keepLatest: isLatestDue(facts, disk),
    flush: isFlushDue(facts, now) ? flushTarget(facts, disk) : null,
    upload: hasArchive ? longer(uploadsDue(facts, now), early.upload) : [],
    dropHotTo: dropHotTo(facts, now),
    dropDisk: hasArchive ? longer(diskDropsDue(facts, now), early.dropDisk) : [],
    recall: mayRecall(facts, hasArchive) ? recallsOfRound(facts, now, disk?.roomBytes) : [],
  }
}

/** The WAL's bytes, and the disk's. */
function planForBudgets(
  facts: PartitionFacts,
  disk: DiskFacts | null,
  { upload, dropDisk }: EarlyMoves,
): PartitionPlan {
  const { logId, partition, isWalDue = false } = facts
  return {
    logId,
    partition,
    retireTo: 0,
    retireArchived: false,
    flush: isWalDue ? flushTarget(facts, disk) : null,
    upload,
    dropHotTo: 0,
    dropDisk,
    compact: null,
    keepLatest: false,
    recall: [],
  }
}

/** Of two prefixes of one list. */
function longer(one: readonly number[], other: readonly number[]): readonly number[] {
  return one.length < other.length ? other : one
}

/** Null while the disk has no room for it. */
function flushTarget(
  { policy, batches, flushedEnd }: PartitionFacts,
  disk: DiskFacts | null,
): PartitionPlan['flush'] {
  if (!policy.localDisk) return 'object'
  return isFlushHeld(disk, batches, flushedEnd) ? null : 'disk'
}

/** Whether RAM holds records that the log owes to a lower tier. */
function isOwing({ owedEnd = 0, flushedEnd, batches }: PartitionFacts): boolean {
  if (flushedEnd >= owedEnd) return false
  const first = batches.find((batch) => batch.endOffset > flushedEnd)
  return first !== undefined && first.baseOffset < owedEnd
}

/** Segments that a log which acknowledges at `object` owes to the archive. */
function isUploadOwed(
  { policy, owedEnd = 0 }: PartitionFacts,
  { baseOffset }: SegmentEntry,
): boolean {
  return policy.ack === 'object' && baseOffset < owedEnd
}

function mayRecall({ isFilling = false }: PartitionFacts, hasArchive: boolean): boolean {
  return hasArchive || isFilling
}

/** Records that are not yet where the log's policy wants them since it was changed. */
export function pendingRecords(facts: PartitionFacts, now: number): number {
  const { owedEnd = 0, flushedEnd, batches, segments } = facts
  let records = 0
  for (const { baseOffset, endOffset } of batches) {
    if (endOffset <= flushedEnd || baseOffset >= owedEnd) continue
    records += Math.min(endOffset, owedEnd) - Math.max(baseOffset, flushedEnd)
  }
  for (const segment of segments.lacking('object'))
    if (isUploadOwed(facts, segment)) records += recordsIn(segment)
  for (const segment of recallsDue(facts, now)) records += recordsIn(segment)
  return records
}

/**
 * Retention takes segments from the front, each when its newest record is due. Age counts from a record's own time,
 * against the smaller of the clock and the newest record's time: neither a clock that runs ahead nor a pause of the
 * writer makes all records old.
 */
function retireTo({ policy, segments, totals }: PartitionFacts, now: number): number {
  const { retention, retentionBytes } = policy
  if (policy.mode === 'memory' || totals === null) return 0
  let to = 0
  if (retention !== null) {
    const before = Math.min(now, totals.newestTime) - retention
    for (const segment of segments) {
      if (newestTime(segment) > before) break
      to = segment.endOffset
    }
  }
  if (retentionBytes !== null) {
    let bytes = totals.storedBytes
    for (const { length, endOffset } of segments) {
      // The newest segment stays, however big it is.
      if (bytes <= retentionBytes || endOffset === segments.at(-1)?.endOffset) break
      bytes -= length
      to = Math.max(to, endOffset)
    }
  }
  return to
}

/** Whether the archive has the segments on both sides of an offset: it may have one from before it to behind it. */
export function isArchivedAround(segments: SegmentEntries, offset: number): boolean {
  const index = segments.indexAt(offset)
  const around = [segments.at(Math.max(0, index - 1)), segments.at(index)]
  return index > 0 && around.every((segment) => (segment?.object ?? null) !== null)
}

/**
 * None while the disk lacks room: a merge takes as much as the segments, until they are gone. Where segments leave for
 * want of room they are not merged before; a log that has nowhere to go would wait for ever.
 */
function runToCompact(
  facts: PartitionFacts,
  now: number,
  disk: DiskFacts | null,
): CompactionRun | null {
  const { segments } = facts
  const run = runInMind(facts, now)
  if (run === null || disk === null) return run
  let bytes = 0
  for (const segment of segments.from(run.from)) {
    if (segment.baseOffset >= run.to) break
    if (segment.disk !== null) bytes += segment.length
  }
  const isLeaving = disk.excessBytes > 0 && facts.policy.archiveAfter !== null
  return bytes > 0 && (bytes > disk.roomBytes || isLeaving) ? null : run
}

/** A segment that is written again takes room on disk until the old one is gone. */
function isLatestDue(facts: PartitionFacts, disk: DiskFacts | null): boolean {
  const { policy, segments, compaction, hotStart, look } = facts
  if (policy.keep !== 'latest' || policy.mode === 'memory' || hotStart === undefined) return false
  if (disk !== null && disk.excessBytes > 0) return false
  return (
    latestRunDue({ segments, compaction, hotStart, ...(look === undefined ? {} : { look }) }) !==
    null
  )
}

function runInMind(
  { policy, segments, compaction }: PartitionFacts,
  now: number,
): CompactionRun | null {
  const { mode, parquetAfter } = policy
  if (mode === 'memory') return null
  const run = compactionDue(segments, compaction)
  if (run !== null || parquetAfter === null) return run
  return agedRun(
    segments,
    compaction,
    ({ appendTimeMax }) => dueAt(appendTimeMax, parquetAfter, now) <= now,
  )
}

/** When the oldest Arrow segment has the age to become Parquet, where it has not yet. */
function agedAt({ policy, segments }: PartitionFacts, now: number): number {
  if (policy.parquetAfter === null) return Infinity
  for (const { appendTimeMax } of segments.inArrow()) {
    const due = dueAt(appendTimeMax, policy.parquetAfter, now)
    return due > now ? due : Infinity
  }
  return Infinity
}

/** When the first segment's newest record is due; Infinity where nothing is retired by age. */
function retireDueAt({ policy, segments, totals }: PartitionFacts): number {
  const first = segments.at(0)
  if (policy.mode === 'memory' || policy.retention === null || totals === null) return Infinity
  if (first === undefined) return Infinity
  const due = newestTime(first) + policy.retention
  return due <= totals.newestTime ? due : Infinity
}

/** A memory-mode log never flushes by its age. Without a local disk the archive's delay is the one that counts. */
function isFlushDue(facts: PartitionFacts, now: number): boolean {
  const { policy } = facts
  if (isOwing(facts) || facts.isWalDue === true) return true
  if (policy.mode === 'memory') return false
  const after = policy.localDisk ? policy.diskAfter : (policy.archiveAfter ?? policy.diskAfter)
  const oldest = facts.batches.find((batch) => batch.endOffset > facts.flushedEnd)
  return oldest !== undefined && dueAt(oldest.appendTimeMin, after, now) <= now
}

function uploadsDue(facts: PartitionFacts, now: number): readonly number[] {
  const after = facts.policy.archiveAfter
  if (after === null) return []
  const due: number[] = []
  for (const segment of facts.segments.lacking('object')) {
    const isDue = dueAt(segment.appendTimeMin, after, now) <= now
    if (!isDue && !isUploadOwed(facts, segment)) break
    due.push(segment.baseOffset)
  }
  return due
}

function dropHotTo(facts: PartitionFacts, now: number): number {
  if (facts.policy.mode === 'memory') return 0
  let to = 0
  for (const batch of facts.batches) {
    const isDue = dueAt(batch.appendTimeMax, facts.policy.memoryTtl, now) <= now
    if (batch.endOffset > facts.flushedEnd || !isDue) break
    to = batch.endOffset
  }
  return to
}

function diskDropsDue(facts: PartitionFacts, now: number): readonly number[] {
  const ttl = facts.policy.diskTtl
  if (ttl === null) return []
  const due: number[] = []
  for (const segment of facts.segments.having('disk')) {
    if (segment.object === null || dueAt(segment.appendTimeMax, ttl, now) > now) break
    due.push(segment.baseOffset)
  }
  return due
}

/** What a plan may do with a partition. */
export type TierAction =
  | 'flush'
  | 'upload'
  | 'drop-memory'
  | 'drop-disk'
  | 'recall'
  | 'compact'
  | 'retire'

/** When, in ms from now, a plan could next have something to do; Infinity when nothing ages. */
export function nextDueMs(input: TieringInput): number {
  const { now, disk = null, partitions } = input
  if (planEarlyMoves(disk, partitions).size > 0) return 0
  let least = Infinity
  const note = (action: TierAction, at: number, facts: PartitionFacts): void => {
    if (at >= least) return
    const isDue = at <= now
    if (action === 'flush' && isDue && flushTarget(facts, disk) === null) return
    least = at
  }
  for (const facts of partitions) {
    if (facts.isPaused !== true) eachUpcoming(facts, input, note)
    else if (facts.isWalDue === true) note('flush', now, facts)
  }
  return Math.max(0, least - now)
}

export interface NextMove {
  readonly action: TierAction
  readonly inMs: number
  /** The disk's budget has a segment leave it before its time, or has a flush wait. */
  readonly isForDisk: boolean
}

/** What is around a partition. */
export type Around = Omit<TieringInput, 'partitions'>

/** The next thing that a plan could do with a partition, and in how many ms; null when nothing ages. */
export function nextMove(
  facts: PartitionFacts,
  around: Around,
  early: EarlyMoves = NO_EARLY_MOVES,
): NextMove | null {
  const { now, disk = null } = around
  if (early.dropDisk.length > 0) return { action: 'drop-disk', inMs: 0, isForDisk: true }
  if (early.upload.length > 0) return { action: 'upload', inMs: 0, isForDisk: true }
  let next: { action: TierAction; at: number } | null = null
  eachUpcoming(facts, around, (action, at) => {
    if (at < (next?.at ?? Infinity)) next = { action, at }
  })
  const found = next as { action: TierAction; at: number } | null
  if (found === null) return null
  const { action, at } = found
  const isHeld = action === 'flush' && at <= now && flushTarget(facts, disk) === null
  return { action, inMs: Math.max(0, at - now), isForDisk: isHeld }
}

/** Tells what comes next of each kind, and when, in ms of the clock: `now` is what is due. */
function eachUpcoming(
  facts: PartitionFacts,
  { now, hasArchive, disk = null }: Around,
  tell: (action: TierAction, at: number, facts: PartitionFacts) => void,
): void {
  const { policy, batches, segments, flushedEnd } = facts
  const note = (action: TierAction, at: number): void => tell(action, at, facts)
  if (isOwing(facts) || facts.isWalDue === true) note('flush', now)
  note('retire', retireDueAt(facts))
  if (policy.retentionBytes !== null && retireTo(facts, now) > 0) note('retire', now)
  if (policy.mode !== 'memory') {
    const isCompactDue = isLatestDue(facts, disk) || runToCompact(facts, now, disk) !== null
    note('compact', isCompactDue ? now : agedAt(facts, now))
    const oldest = batches.find((batch) => batch.endOffset > flushedEnd)
    const after = policy.localDisk ? policy.diskAfter : (policy.archiveAfter ?? policy.diskAfter)
    if (oldest !== undefined) note('flush', dueAt(oldest.appendTimeMin, after, now))
    const first = batches[0]
    if (first !== undefined) note('drop-memory', dueAt(first.appendTimeMax, policy.memoryTtl, now))
  }
  if (mayRecall(facts, hasArchive) && recallsOfRound(facts, now, disk?.roomBytes).length > 0)
    note('recall', now)
  if (!hasArchive) return
  if (facts.isArchiveBehind) note('retire', now)
  const [waiting] = segments.lacking('object')
  if (waiting !== undefined && isUploadOwed(facts, waiting)) note('upload', now)
  if (waiting !== undefined && policy.archiveAfter !== null)
    note('upload', dueAt(waiting.appendTimeMin, policy.archiveAfter, now))
  const [onDisk] = segments.having('disk')
  if (onDisk !== undefined && policy.diskTtl !== null)
    note('drop-disk', dueAt(onDisk.appendTimeMax, policy.diskTtl, now))
}
