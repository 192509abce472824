/**
 * What the disk's byte budget asks for, as pure functions: which segments leave the disk before their time, and how
 * much of what is in RAM may be flushed.
 *
 * The oldest segments of all logs go first, of each partition a prefix: those without an object copy are uploaded,
 * those with one are dropped. A partition whose moves fail is passed over until it is tried again, so that it does not
 * stand in the way of others. What has no archive to go to stays.
 */
import type { SegmentEntry, StoragePolicy } from '../format/manifest.ts'
import type { SegmentEntries } from '../format/segment-entries.ts'

/** The disk as the policy sees it. */
export interface DiskFacts {
  readonly usedBytes: number
  /** Infinity without a budget. */
  readonly maxBytes: number
  /** What may still be written. */
  readonly roomBytes: number
  /** What is to leave the disk early; 0 below the watermark. */
  readonly excessBytes: number
  /** The low watermark: what leaves early leaves down to it. */
  readonly lowBytes: number
}

export interface EarlyMoves {
  /** Base offsets of segments to upload, in order. */
  readonly upload: readonly number[]
  /** Base offsets of segments whose disk copy goes, in order. */
  readonly dropDisk: readonly number[]
}

interface BatchInRam {
  readonly endOffset: number
  readonly bytes: number
}

export interface PressedPartition {
  readonly policy: StoragePolicy
  readonly segments: SegmentEntries
  readonly flushedEnd: number
  readonly batches: Iterable<BatchInRam>
  /** Its last move to the archive failed, and is not tried again yet. */
  readonly isFailing?: boolean
}

export const NO_EARLY_MOVES: EarlyMoves = { upload: [], dropDisk: [] }

/** What a flush of a part waits for, of the budget: or each byte that comes free would become a segment. */
const PART_ROOM = 0.05
/** What a file takes beyond its records, and a batch of it. */
const FILE_BYTES = 8 * 1024
const BATCH_BYTES = 2 * 1024
/** Of bytes that do not compress. */
const INCOMPRESSIBLE = 1 + 1 / 64

/** By partition what moves early; those that move nothing are left out. */
export function planEarlyMoves<Partition extends PressedPartition>(
  disk: DiskFacts | null,
  partitions: readonly Partition[],
): ReadonlyMap<Partition, EarlyMoves> {
  const moves = new Map<Partition, { upload: number[]; dropDisk: number[] }>()
  let left = disk === null ? 0 : excessOf(disk, partitions)
  if (left <= 0) return moves
  const candidates = partitions.flatMap((partition) => candidatesOf(partition, left))
  // Sorting is stable, so a partition's segments stay in order.
  candidates.sort((a, b) => a.time - b.time)
  for (const { partition, segment } of candidates) {
    if (left <= 0) break
    left -= segment.length
    const own = moves.get(partition) ?? { upload: [], dropDisk: [] }
    moves.set(partition, own)
    const isDropped = segment.object !== null && own.upload.length === 0
    if (isDropped) own.dropDisk.push(segment.baseOffset)
    else if (segment.object === null) own.upload.push(segment.baseOffset)
  }
  return moves
}

/**
 * What is to leave the disk: above the watermark, and where a flush finds no room below it, because it is as big as
 * what lies between the watermark and the line.
 */
function excessOf(disk: DiskFacts, partitions: readonly PressedPartition[]): number {
  const { usedBytes, maxBytes, roomBytes, excessBytes, lowBytes } = disk
  if (roomBytes === Infinity) return 0
  let wanted = 0
  for (const { policy, batches, flushedEnd } of partitions) {
    if (policy.localDisk && isFlushHeld(disk, batches, flushedEnd))
      wanted = Math.max(wanted, firstBytes(batches, flushedEnd))
  }
  if (wanted === 0) return excessBytes
  return Math.max(excessBytes, usedBytes - lowBytes, usedBytes + wanted - maxBytes)
}

interface Candidate<Partition> {
  readonly partition: Partition
  readonly segment: SegmentEntry
  /** When it was appended, or one before it: times may go back. */
  readonly time: number
}

/** The segments that a partition could be asked for, as if it were the only one. */
function candidatesOf<Partition extends PressedPartition>(
  partition: Partition,
  wanted: number,
): readonly Candidate<Partition>[] {
  const { policy, segments, isFailing = false } = partition
  if (isFailing || policy.mode !== 'hybrid' || policy.archiveAfter === null) return []
  const candidates: Candidate<Partition>[] = []
  let left = wanted
  let time = -Infinity
  for (const segment of segments.having('disk')) {
    if (left <= 0) break
    left -= segment.length
    time = Math.max(time, segment.appendTimeMin)
    candidates.push({ partition, segment, time })
  }
  return candidates
}

/** What is in RAM between `flushedEnd` and `end`, or as much of it as fits the disk. */
export interface FlushRoom {
  /** Up to here it may be flushed; `flushedEnd` where nothing fits. */
  readonly end: number
  /** What that takes on disk, at most. */
  readonly bytes: number
}

/**
 * How far a partition may be flushed to disk. Where not all fits, whole batches do, once there is room that is worth a
 * segment. The only batch that is bigger than the budget is written where nothing else lies.
 */
export function flushRoom(
  disk: DiskFacts,
  batches: Iterable<BatchInRam>,
  flushedEnd: number,
  end: number,
): FlushRoom {
  let taken: FlushRoom = { end: flushedEnd, bytes: FILE_BYTES }
  for (const batch of batches) {
    if (batch.endOffset <= flushedEnd) continue
    if (taken.end >= end) break
    const bytes = taken.bytes + encodedBytes(batch)
    const isFirst = taken.end === flushedEnd
    const isOnly = isFirst && disk.roomBytes === disk.maxBytes
    if (bytes > disk.roomBytes && !isOnly) {
      const isWorthIt = disk.roomBytes >= disk.maxBytes * PART_ROOM
      return isWorthIt && !isFirst ? taken : { end: flushedEnd, bytes: 0 }
    }
    taken = { end: batch.endOffset, bytes }
  }
  return { end, bytes: taken.bytes }
}

/** What a batch takes in a segment, at most. */
function encodedBytes({ bytes }: BatchInRam): number {
  return bytes * INCOMPRESSIBLE + BATCH_BYTES
}

/** What a file of the first batch takes that waits. */
function firstBytes(batches: Iterable<BatchInRam>, flushedEnd: number): number {
  for (const batch of batches)
    if (batch.endOffset > flushedEnd) return FILE_BYTES + encodedBytes(batch)
  return 0
}

/** Whether what is due for the disk has to wait for room there. */
export function isFlushHeld(
  disk: DiskFacts | null,
  batches: Iterable<BatchInRam>,
  flushedEnd: number,
): boolean {
  if (disk === null || disk.roomBytes === Infinity) return false
  return flushRoom(disk, batches, flushedEnd, Infinity).end === flushedEnd
}
