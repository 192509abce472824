/**
 * Which neighbouring segments become one: size-tiered, as in log-structured stores. Segments have a level by their raw
 * bytes, each eight times the one below. Two kinds of runs are merged:
 *
 * - eight segments of a level with all that is smaller between them, and before them what is smaller than the result.
 *   Each record comes to a higher level;
 * - four or more that are trapped: a newer neighbour has a higher level than each of them, so no more of theirs come
 *   next to them. They become one; the bigger neighbour, which would cost more, stays. What was merged so is in such a
 *   run again only with that neighbour, before one of a higher level still.
 *
 * So a record is written again at most twice a level. Where nothing is due, at most seven segments of a level have no
 * newer one of a higher level, with at most three trapped before each of them. A merge leaves fewer segments, so
 * merging ends. What it makes has the size of a full segment at most, and what is within a level of that is not
 * touched again.
 */
import { assert } from '../base/assert.ts'
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

/** Segments of one level that are merged; also how many times a level is bigger than the one below. */
const FAN_IN = 8
const FAN_IN_BITS = 3
assert(
  FAN_IN === 2 ** FAN_IN_BITS,
  'a level is as many times bigger as segments make one of the next',
)

/** Segments before a bigger one that are merged, at least. */
const TRAPPED_MIN = 4

/** Raw bytes of the lowest level, at most, as bits: fewer than a record has. */
const LOWEST_BITS = 2

/** Segments of this level and above are not merged again: eight of them would not fit one. */
const FULL_LEVEL = levelOf(SEGMENT_BYTES_TARGET)

/** Segments at the end of a partition that are looked at: what lies before was looked at when it was there. */
const LOOK_BACK = 256

/** What was found of a list, by the scope: lists do not change, and each is looked at often. */
const found = new WeakMap<SegmentEntries, Map<string, CompactionRun | null>>()

/** The newest run that is worth a merge; null: there is none. */
export function compactionDue(
  segments: SegmentEntries,
  scope: CompactionScope,
): CompactionRun | null {
  if (segments.length <= TRAPPED_MIN) return null
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
  for (const stretch of stretchesOf(segments, scope)) {
    const run = ofOneLevel(stretch) ?? trapped(stretch)
    if (run !== null) return run
  }
  return null
}

/** Neighbours, the oldest first, with their levels. */
type Stretch = readonly { readonly segment: SegmentEntry; readonly level: number }[]

/** The newest first. */
function* stretchesOf(segments: SegmentEntries, scope: CompactionScope): Generator<Stretch> {
  let stretch: { readonly segment: SegmentEntry; readonly level: number }[] = []
  for (let index = 1; index <= Math.min(LOOK_BACK, segments.length); index++) {
    const segment = segments.at(-index)
    if (segment === undefined) break
    const next = stretch.at(-1)?.segment
    if (!isIn(scope, segment) || (next !== undefined && !isNeighbour(segment, next))) {
      yield stretch.toReversed()
      stretch = []
    }
    if (isIn(scope, segment)) stretch.push({ segment, level: levelOf(segment.rawBytes) })
  }
  yield stretch.toReversed()
}

/** Of the lowest level that has enough of them the newest, and what comes to a higher level with them. */
function ofOneLevel(stretch: Stretch): CompactionRun | null {
  for (let level = 0; level < FULL_LEVEL; level++) {
    let count = 0
    let end = 0
    for (let index = stretch.length - 1; index >= 0; index--) {
      const found = stretch[index]?.level ?? 0
      if (found > level) count = 0
      if (found !== level) continue
      if (count++ === 0) end = index + 1
      if (count === FAN_IN) return risingRun(stretch, index, end)
    }
  }
  return null
}

/** `[start, end)`, as far as one segment holds it, and what before it has a lower level than the result. */
function risingRun(stretch: Stretch, start: number, end: number): CompactionRun | null {
  let first = end
  let bytes = 0
  for (; first > 0; first--) {
    const before = stretch[first - 1]
    if (before === undefined || bytes + before.segment.rawBytes > SEGMENT_BYTES_TARGET) break
    if (first <= start && before.level >= levelOf(bytes)) break
    bytes += before.segment.rawBytes
  }
  return runOf(stretch.slice(first, end))
}

/** The newest that lie before one of a higher level, as far as one segment holds them. */
function trapped(stretch: Stretch): CompactionRun | null {
  for (let end = stretch.length - 1; end > 0; end--) {
    const level = stretch[end]?.level ?? 0
    let start = end
    while (start > 0 && (stretch[start - 1]?.level ?? 0) < level) start--
    if (end - start < TRAPPED_MIN) continue
    let bytes = 0
    let first = end
    for (; first > start; first--) {
      bytes += stretch[first - 1]?.segment.rawBytes ?? 0
      if (bytes > SEGMENT_BYTES_TARGET) break
    }
    const run = runOf(stretch.slice(first, end))
    if (run !== null) return run
  }
  return null
}

/** One segment alone is no run. */
function runOf(run: Stretch): CompactionRun | null {
  const first = run[0]?.segment
  const last = run.at(-1)?.segment
  if (first === undefined || last === undefined || first === last) return null
  return { from: first.baseOffset, to: last.endOffset }
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

/** The lowest level that takes `rawBytes`. */
function levelOf(rawBytes: number): number {
  const bits = 32 - Math.clz32(Math.max(0, rawBytes - 1))
  return Math.max(0, Math.ceil((bits - LOWEST_BITS) / FAN_IN_BITS))
}

function bytesOf(run: readonly SegmentEntry[]): number {
  return run.reduce((sum, { rawBytes }) => sum + rawBytes, 0)
}
