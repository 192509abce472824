/** Compares what two engines hold of the same logs, over the offsets that both have, by content hash. */
import { type Range, intersectRanges, subtractRanges } from '../base/range.ts'
import type { LogState, SegmentEntry } from '../format/manifest.ts'
import type { LogView } from '../log/log-view.ts'
import { place } from './archive-audit.ts'
import {
  type LiveLogFacts,
  type LivePartition,
  type LiveSide,
  type OffsetRange,
  hashView,
  latestHashIn,
} from './live-side.ts'

export interface Comparison {
  /** Null where there is nothing to compare: an empty hash equals any other. */
  readonly isEqual: boolean | null
  /** Whether the latest views of what both have are; null where there are none to compare. */
  readonly isLatestEqual: boolean | null
  /** In words, with the object and the offsets. */
  readonly reasons: readonly string[]
  readonly liveRecords: number
  /** Of them, how many the other side has. */
  readonly sharedRecords: number
  /** Records of the live side behind all that the archive names. */
  readonly behindRecords: number
  /** How far the newest archived record is behind the newest live one, by append time. */
  readonly behindMs: number
}

/**
 * @param live pinned before the archive was opened.
 * @param restored the same log out of the archive; null when there is none.
 * @param archived what the archive's manifest says of it; for naming objects and for append times.
 */
export async function compareLogs(
  live: LiveSide,
  restored: LogView | null,
  archived: LogState | null,
  signal?: AbortSignal,
): Promise<Comparison> {
  const liveRecords = live.partitions.reduce(
    (sum, held) => sum + recordsOf(held, held.startOffset, held.endOffset),
    0,
  )
  const shared = restored === null ? [] : sharedRanges(live, restored)
  const sharedRecords = shared.reduce((sum, { partition, from, to }) => {
    const held = live.partitions.find((candidate) => candidate.partition === partition)
    return held === undefined ? sum : sum + recordsOf(held, from, to)
  }, 0)
  const counts = {
    liveRecords,
    sharedRecords,
    behindRecords: behindRecords(live, archived),
    behindMs: behindMs(live, archived),
  }
  if (restored === null || shared.length === 0) {
    const reasons = lostReasons(live, archived)
    return { isEqual: null, isLatestEqual: null, reasons, ...counts }
  }
  // What was compacted since the live side was pinned has fewer records, and the same latest view as far as it looked.
  const compacted = compactedSince(live, archived)
  const same = shared.flatMap((range) => withoutCompacted(range, compacted))
  const isEqual = same.length === 0 ? null : await areEqual(live, restored, same, signal)
  const reasons = isEqual === false ? await differences(live, restored, archived, same, signal) : []
  const isLatestShared = shared.every(({ partition, to }) =>
    compacted.every(
      (found) => found.partition !== partition || (found.segment.sparse?.latestTo ?? 0) <= to,
    ),
  )
  const isLatestEqual = isLatestShared ? await areLatestEqual(live, restored, shared, signal) : null
  const latestReasons =
    isLatestEqual === false
      ? [`The latest view of log '${live.name}' differs from the live engine's.`]
      : []
  return {
    isEqual,
    isLatestEqual,
    reasons: [...lostReasons(live, archived), ...reasons, ...latestReasons],
    ...counts,
  }
}

/**
 * Records that the archive gave up while the live engine has nothing newer: its history is another one, as that of an
 * old copy of the data directory. Where both end at the same offset, all of it has expired.
 */
function lostReasons(live: LiveLogFacts, archived: LogState | null): readonly string[] {
  return live.partitions.flatMap(({ partition, startOffset, endOffset }) => {
    const begin = archived?.partitions[partition]?.startOffset ?? 0
    if (startOffset === endOffset || begin <= endOffset) return []
    const words = place(live.name, partition, startOffset, endOffset)
    return [`The live engine ends with ${words}; the archive begins behind that, at ${begin}.`]
  })
}

interface FoundSegment {
  readonly partition: number
  readonly segment: SegmentEntry
}

/** Segments of the archive that hold fewer records than offsets, and that the live side does not know of. */
function compactedSince(live: LiveLogFacts, archived: LogState | null): readonly FoundSegment[] {
  return live.partitions.flatMap(({ partition, objects }) => {
    const known = new Set(objects.map(({ sha256 }) => sha256))
    const segments = [...(archived?.partitions[partition]?.segments ?? [])]
    return segments
      .filter(({ sparse, sha256 }) => sparse !== undefined && !known.has(sha256))
      .map((segment) => ({ partition, segment }))
  })
}

function withoutCompacted(
  { partition, from, to }: OffsetRange,
  compacted: readonly FoundSegment[],
): readonly OffsetRange[] {
  let left: readonly Range[] = [{ start: from, end: to }]
  for (const { partition: number, segment } of compacted) {
    const held = { start: segment.baseOffset, end: segment.endOffset }
    if (number === partition) left = left.flatMap((range) => subtractRanges(range, held))
  }
  return left.map(({ start, end }) => ({ partition, from: start, to: end }))
}

/** Records that the live side has of offsets `[from, to)`, as far as its segments tell. */
function recordsOf({ compacted = [] }: LivePartition, from: number, to: number): number {
  return compacted.reduce((sum, range) => {
    const inside = intersectRanges({ start: from, end: to }, { start: range.from, end: range.to })
    return inside === null ? sum : sum - Math.max(0, inside.end - inside.start - range.records)
  }, to - from)
}

function sharedRanges(live: LiveLogFacts, restored: LogView): readonly OffsetRange[] {
  return live.partitions.flatMap(({ partition, startOffset, endOffset }) => {
    const other = restored.partitions.find((candidate) => candidate.partition === partition)
    if (other === undefined) return []
    const from = Math.max(startOffset, other.startOffset)
    const to = Math.min(endOffset, other.endOffset)
    return from < to ? [{ partition, from, to }] : []
  })
}

/** Both sides are read in the live schema: it grew from the other. */
async function areEqual(
  live: LiveSide,
  restored: LogView,
  ranges: readonly OffsetRange[],
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const [ours, theirs] = [
    await live.hash(ranges, signal),
    await hashView(restored, live.schema, ranges, signal),
  ]
  return ours === theirs
}

/** Null for a log without a key, and where one of the views cannot be had. */
async function areLatestEqual(
  live: LiveSide,
  restored: LogView,
  ranges: readonly OffsetRange[],
  signal: AbortSignal | undefined,
): Promise<boolean | null> {
  if (restored.definition.keyColumn === null) return null
  const ours = await live.latestHash(ranges, signal)
  const theirs = await latestHashIn(restored, live.schema, ranges, signal)
  return ours === null || theirs === null ? null : ours === theirs
}

/** Which objects differ. What no object of its own explains is named by its offsets. */
async function differences(
  live: LiveSide,
  restored: LogView,
  archived: LogState | null,
  ranges: readonly OffsetRange[],
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  const { name } = live
  const reasons: string[] = []
  for (const { partition, from, to } of ranges) {
    for (const segment of archived?.partitions[partition]?.segments ?? []) {
      const range = {
        partition,
        from: Math.max(from, segment.baseOffset),
        to: Math.min(to, segment.endOffset),
      }
      if (range.from >= range.to || (await areEqual(live, restored, [range], signal))) continue
      const words = place(name, partition, range.from, range.to)
      reasons.push(
        `Object ${segment.object?.object ?? '(none)'} differs from the live engine: ${words}.`,
      )
    }
  }
  return reasons.length > 0 ? reasons : [`Log '${name}' differs from the live engine.`]
}

/** The offset behind the last one that the archive names. */
function archivedEnd(archived: LogState | null, partition: number): number {
  return archived?.partitions[partition]?.segments.at(-1)?.endOffset ?? 0
}

function behindRecords(live: LiveLogFacts, archived: LogState | null): number {
  return live.partitions.reduce((sum, { partition, startOffset, endOffset }) => {
    const end = Math.max(startOffset, archivedEnd(archived, partition))
    return sum + Math.max(0, endOffset - end)
  }, 0)
}

function behindMs(live: LiveLogFacts, archived: LogState | null): number {
  return live.partitions.reduce((most, { partition, endOffset, appendTimeMin, appendTimeMax }) => {
    if (archivedEnd(archived, partition) >= endOffset) return most
    if (appendTimeMin === null || appendTimeMax === null) return most
    const newestArchived =
      archived?.partitions[partition]?.segments.at(-1)?.appendTimeMax ?? appendTimeMin
    return Math.max(most, appendTimeMax - newestArchived)
  }, 0)
}
