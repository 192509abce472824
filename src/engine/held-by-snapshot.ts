/** What a snapshot holds of a log where snapshots lie, for who asks a running engine that may have let go of it. */
import type { Range } from '../base/range.ts'
import type { LogDefinition, SegmentEntry } from '../format/manifest.ts'
import { Archive } from '../log/archive-view.ts'
import type { CausedGap } from '../log/gap-history.ts'
import { segmentsHolding } from '../log/held-segments.ts'
import type { GapCauses, LogView, PartitionView, ViewSource } from '../log/log-view.ts'
import { bytesInStore } from '../log/segment-copies.ts'
import { sourceRange } from '../log/view-reader.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { ArchiveWriter } from '../tiering/archive-writer.ts'
import { expireArchived } from './load-terms.ts'

export interface HeldBySnapshots {
  /** Where they lie. */
  readonly store: ObjectStore
  /** The segments that hold offsets of the partition, in order. */
  readonly segments: (partition: number, range: Range) => readonly SegmentEntry[]
  /** The same to be read, without what has expired by now. */
  readonly view: (partition: number, range: Range) => PartitionView
}

/** Null where the archive knows no such log. @throws StratalogError what the store throws. */
export async function heldBySnapshots(
  writer: ArchiveWriter,
  { id }: LogDefinition,
  now: () => number,
): Promise<HeldBySnapshots | null> {
  const { store } = writer
  const { state } = await writer.manifest()
  const log = state.logs.get(id)
  if (log === undefined) return null
  const archive = new Archive(store, 0, state, (_, location) => bytesInStore(store, location))
  await expireArchived(archive, now, [log])
  return {
    store,
    segments: (partition, { start, end }) => {
      const held = log.partitions[partition]
      return held === undefined ? [] : segmentsHolding(held, start, end)
    },
    view: (partition, { start: startOffset, end: endOffset }) => {
      const [part] = archive.view(log, [{ partition, startOffset, endOffset }]).partitions
      if (part === undefined) return { partition, startOffset, endOffset, sources: [] }
      return { ...part, sources: part.sources.map((source) => ({ ...source, store })) }
    },
  }
}

/** Offsets of `range` that none of the sources, which are in order, has. */
export function holesIn(sources: readonly ViewSource[], { start, end }: Range): readonly Range[] {
  const holes: Range[] = []
  let next = start
  for (const source of sources) {
    const held = sourceRange(source)
    if (held.start >= end) break
    if (held.start > next) holes.push({ start: next, end: held.start })
    next = Math.max(next, held.end)
  }
  if (next < end) holes.push({ start: next, end })
  return holes
}

/**
 * The view with what the log has let go of since, of `ranges` by partition. What is nowhere any more a snapshot did not
 * let go of: who reads it is told.
 */
export function filled(
  view: LogView,
  held: HeldBySnapshots,
  ranges: ReadonlyMap<number, Range>,
): LogView {
  const partitions = view.partitions.map((part): PartitionView => {
    const range = ranges.get(part.partition)
    return range === undefined ? part : filledPartition(part, held, range)
  })
  return { ...view, partitions }
}

function filledPartition(live: PartitionView, held: HeldBySnapshots, range: Range): PartitionView {
  const { partition } = live
  const sources = live.sources.filter((source) => {
    const { start, end } = sourceRange(source)
    return start < range.end && end > range.start
  })
  const gaps: GapCauses[] = live.gaps === undefined ? [] : [live.gaps]
  const added = holesIn(sources, range).flatMap((hole) => {
    const part = held.view(partition, hole)
    if (part.gaps !== undefined) gaps.unshift(part.gaps)
    return part.sources
  })
  const all = [...sources, ...added].sort((a, b) => sourceRange(a).start - sourceRange(b).start)
  return {
    partition,
    startOffset: range.start,
    endOffset: range.end,
    sources: all,
    gaps: { within: (start, end) => causesOf(gaps, start, end) },
  }
}

/** Of who knows; what was retired is missing where a snapshot should have it. */
function causesOf(known: readonly GapCauses[], from: number, to: number): readonly CausedGap[] {
  let parts: readonly CausedGap[] = [{ start: from, end: to, cause: 'missing' }]
  for (const gaps of known)
    parts = parts.flatMap((part) =>
      part.cause === 'missing' ? gaps.within(part.start, part.end) : [part],
    )
  return parts.map((part) => (part.cause === 'retired' ? { ...part, cause: 'missing' } : part))
}
