/**
 * Which neighbouring segments become one: size-tiered, as in log-structured stores. Segments have a level by their
 * size, each eight times the one below; eight neighbours of a level become one of the next. So a record is written
 * again at most once a level, and as each merge leaves fewer segments of a level, merging ends. What a merge makes has
 * the size of a full segment at most, and a full segment is not touched again.
 */
import { SEGMENT_BYTES_TARGET } from '../format/limits.ts'
import type { ManifestState, SegmentEntry } from '../format/manifest.ts'
import type { SegmentEntries } from '../format/segment-entries.ts'
import type { PagedOffsets } from '../log/paged-offsets.ts'

/** Which segments may become one. */
export interface CompactionScope {
  /** Those that have no object copy: the archive surely knows of none of them. */
  readonly onDisk: boolean
  /** Those that have one: there is an archive to put another into. */
  readonly archived: boolean
  /** What has no object copy gets one in time. */
  readonly archives?: boolean
  /** Segments before are shared with other logs and stay as they are; 0 when left out. */
  readonly from?: number
}

/** Offsets `[from, to)`: segments that become one. */
export interface CompactionRun {
  readonly from: number
  readonly to: number
  /** What it is written as; as the log's policy says when absent. */
  readonly format?: 'parquet'
  /** Records that are left out. */
  readonly drop?: DroppedRecords
}

export interface DroppedRecords {
  readonly gone: PagedOffsets
  /** Records below it were looked through for newer ones. */
  readonly latestTo: number
  /** Right before the commit. @throws LookOvertaken when a snapshot holds what goes. */
  readonly check: (archived: ManifestState | null) => void
}

/** A snapshot is there that a look for superseded records did not know of. */
export class LookOvertaken extends Error {}

/** Neighbours of one level that are merged, at least; also how many times a level is bigger than the one below. */
const FAN_IN = 8

/** Raw bytes of the lowest level, at most: within it a record may be written again more often, and costs little. */
const LEVEL_BYTES_MIN = 16 * 1024

/** Segments at the end of a partition that are looked at: what lies before was looked at when it was there. */
const LOOK_BACK = 256

/** What was found of a list, by the scope: lists do not change, and each is looked at often. */
const found = new WeakMap<SegmentEntries, Map<string, CompactionRun | null>>()

/** The newest run that is worth a merge; null: there is none. */
export function compactionDue(
  segments: SegmentEntries,
  scope: CompactionScope,
): CompactionRun | null {
  if (segments.length < FAN_IN) return null
  const key = `${scope.onDisk} ${scope.archived} ${scope.from ?? 0}`
  const known = found.get(segments) ?? new Map<string, CompactionRun | null>()
  found.set(segments, known)
  const run = known.get(key)
  if (run !== undefined) return run
  const looked = lookFor(segments, scope)
  known.set(key, looked)
  return looked
}

function lookFor(segments: SegmentEntries, scope: CompactionScope): CompactionRun | null {
  let run: SegmentEntry[] = []
  for (let index = 1; index <= Math.min(LOOK_BACK, segments.length); index++) {
    const segment = segments.at(-index)
    if (segment === undefined) break
    const next = run[0]
    if (!isIn(scope, segment)) {
      run = []
      continue
    }
    if (next === undefined || !isNeighbour(segment, next) || levelOf(segment) !== levelOf(next))
      run = []
    run.unshift(segment)
    if (run.length === FAN_IN) {
      const merged = fitting(run)
      if (merged !== null) return merged
      run.pop()
    }
  }
  return null
}

/** Segments that a look for aged ones passes over, at most: the next look comes when they may be changed. */
const PASSED_OVER_MAX = 256

/**
 * The oldest Arrow segment that may become Parquet, with its neighbours that `isAged` too and fit one segment; null:
 * there is none. A segment becomes Parquet once, so this ends.
 */
export function agedRun(
  segments: SegmentEntries,
  scope: CompactionScope,
  isAged: (segment: SegmentEntry) => boolean,
): CompactionRun | null {
  const run: SegmentEntry[] = []
  let passed = 0
  for (const segment of segments.inArrow()) {
    if (segment.baseOffset < (scope.from ?? 0)) continue
    const last = run.at(-1)
    if (!isAged(segment) || (last !== undefined && !isNeighbour(last, segment))) break
    if (!isIn(scope, segment)) {
      if (last !== undefined || ++passed === PASSED_OVER_MAX) break
      continue
    }
    if (last !== undefined && bytesOf(run) + segment.rawBytes > SEGMENT_BYTES_TARGET) break
    run.push(segment)
  }
  const [first] = run
  const last = run.at(-1)
  if (first === undefined || last === undefined) return null
  return { from: first.baseOffset, to: last.endOffset, format: 'parquet' }
}

/** By hand: every run of neighbours that fit one segment, in order, however many or few they are. */
export function compactableRuns(
  segments: Iterable<SegmentEntry>,
  scope: CompactionScope,
): readonly CompactionRun[] {
  const runs: CompactionRun[] = []
  let run: SegmentEntry[] = []
  const close = (): void => {
    const [first] = run
    const last = run.at(-1)
    if (first !== undefined && last !== undefined && run.length > 1)
      runs.push({ from: first.baseOffset, to: last.endOffset })
    run = []
  }
  for (const segment of segments) {
    const last = run.at(-1)
    const isNext = last !== undefined && isNeighbour(last, segment)
    if (!isNext || bytesOf(run) + segment.rawBytes > SEGMENT_BYTES_TARGET) close()
    if (isIn(scope, segment)) run.push(segment)
  }
  close()
  return runs
}

/** The whole run, where one segment can hold it. */
function fitting(run: readonly SegmentEntry[]): CompactionRun | null {
  const [first] = run
  const last = run.at(-1)
  if (first === undefined || last === undefined) return null
  if (bytesOf(run) > SEGMENT_BYTES_TARGET) return null
  return { from: first.baseOffset, to: last.endOffset }
}

function isIn(
  { onDisk, archived, from = 0 }: CompactionScope,
  { baseOffset, object }: SegmentEntry,
): boolean {
  if (baseOffset < from) return false
  return object === null ? onDisk : archived
}

/** Whether one may follow the other in a segment: no offset between them, one schema, copies on the same tiers. */
function isNeighbour(a: SegmentEntry, b: SegmentEntry): boolean {
  return (
    a.endOffset === b.baseOffset &&
    a.schemaId === b.schemaId &&
    a.format === b.format &&
    (a.disk === null) === (b.disk === null) &&
    (a.object === null) === (b.object === null)
  )
}

function levelOf({ rawBytes }: SegmentEntry): number {
  return rawBytes <= LEVEL_BYTES_MIN
    ? 0
    : Math.ceil(Math.log(rawBytes / LEVEL_BYTES_MIN) / Math.log(FAN_IN))
}

function bytesOf(run: readonly SegmentEntry[]): number {
  return run.reduce((sum, { rawBytes }) => sum + rawBytes, 0)
}
