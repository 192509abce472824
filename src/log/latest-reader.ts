/** Reads the records of a latest view, and hashes them. Only what holds one of them is read at all. */
import { LogHasher } from '../format/content-hash.ts'
import { appendRanges } from '../format/column-gather.ts'
import { createColumnBuilder } from '../format/column-builder.ts'
import { HEAP_BUFFERS } from '../format/growing-column.ts'
import type { Tier } from '../format/manifest.ts'
import { type RecordBatch, endOffset } from '../format/record-batch.ts'
import type { LatestOffsets } from './latest-views.ts'
import type { LogView, PartitionView, ViewSource } from './log-view.ts'
import type { OffsetSet } from './offset-set.ts'
import { readPartition, sourceRange } from './view-reader.ts'

export interface LatestItem {
  readonly tier: Tier
  readonly partition: number
  /** The rows without what lay between them. */
  readonly batch: RecordBatch
  /** By row; null where they follow one another. */
  readonly offsets: Float64Array | null
}

export interface LatestReadOptions {
  /** Names; all when absent. */
  readonly columns?: readonly string[] | undefined
  readonly signal?: AbortSignal | undefined
}

/** Partition by partition, in offset order. A batch is valid until the view is released. */
export async function* readLatest(
  view: LogView,
  latest: LatestOffsets,
  options: LatestReadOptions = {},
): AsyncGenerator<LatestItem, void, undefined> {
  const partitions = view.partitions.map((partition) => narrowed(partition, latest))
  const needed: LogView = { ...view, partitions }
  for (const { partition } of partitions) {
    const live = latest.get(partition)
    if (live === undefined) continue
    for await (const item of readPartition(needed, partition, { ...options, onGap: 'skip' })) {
      const picked = pick(item.batch, live)
      if (picked !== null) yield { tier: item.tier, partition, ...picked }
    }
  }
}

/**
 * The hash of a latest view: that of a log that holds its records and no others, numbered from 0 on in each partition.
 * So it does not tell how long a history there is, nor where it began; see docs/formats.md.
 */
export async function hashLatest(
  view: LogView,
  latest: LatestOffsets,
  signal?: AbortSignal,
): Promise<string> {
  const hasher = new LogHasher(view.schema, { emptyColumns: false })
  const counts = new Map<number, number>()
  for await (const { partition, batch } of readLatest(view, latest, { signal })) {
    const baseOffset = counts.get(partition) ?? 0
    hasher.add(partition, { ...batch, baseOffset })
    counts.set(partition, baseOffset + batch.length)
  }
  return hasher.digestHex()
}

/** Without the sources that hold nothing of it, and of each from the first record of it to the last. */
function narrowed(partition: PartitionView, latest: LatestOffsets): PartitionView {
  const live = latest.get(partition.partition)
  const sources = live === undefined ? [] : partition.sources
  return { ...partition, sources: sources.flatMap((source) => narrowedSource(source, live)) }
}

function narrowedSource(source: ViewSource, live: OffsetSet | undefined): readonly ViewSource[] {
  const { start, end } = sourceRange(source)
  const ranges = live?.ranges(start, end) ?? []
  const [first] = ranges
  if (first === undefined) return []
  if (source.tier === 'memory') return [source]
  // Not spread: a source may make its bytes when they are asked for.
  const { tier, segment, bytes, fallback, successor } = source
  const others = { ...(fallback && { fallback }), ...(successor && { successor }) }
  const copies = { tier, segment, bytes, ...others }
  return [{ ...copies, from: start + first, to: start + (ranges.at(-1) ?? 0) }]
}

function pick(batch: RecordBatch, live: OffsetSet): Pick<LatestItem, 'batch' | 'offsets'> | null {
  const ranges = live.ranges(batch.baseOffset, endOffset(batch))
  const [first, last] = ranges
  if (first === undefined) return null
  if (ranges.length === 2 && first === 0 && last === batch.length) return { batch, offsets: null }
  const offsets: number[] = []
  for (let index = 0; index < ranges.length; index += 2)
    for (let row = ranges[index] ?? 0; row < (ranges[index + 1] ?? 0); row++)
      offsets.push(batch.baseOffset + row)
  const columns = batch.columns.map((column) => {
    const builder = createColumnBuilder(column.type, HEAP_BUFFERS)
    appendRanges(builder, column, ranges)
    return builder.slice(0, offsets.length)
  })
  return {
    batch: { ...batch, columns, baseOffset: batch.baseOffset + first, length: offsets.length },
    offsets: Float64Array.from(offsets),
  }
}
