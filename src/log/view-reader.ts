/**
 * Reads a partition of a LogView: every offset exactly once, in order, from whichever tier the view names for it.
 *
 * - Batches come in the view's schema, or the one asked for; batches of older schemas are brought to it.
 * - Only the blocks of a segment that can hold wanted offsets and times are fetched; `since` and `until` then cut to
 *   the record.
 * - Offsets that no source covers are a gap. A gap ends the reading with `offset_gap` unless the caller takes gaps.
 * - From where a copy is damaged on, the rest of its segment is read from the source's other copy, where it has one.
 * - Damage of the last copy ends the reading with its error unless the caller takes damages; then the damaged offsets
 *   are left out, and what can be read of the segment is read. A store that is away always ends it: that says nothing
 *   about the data.
 *
 * A batch is valid until the view is released.
 */
import { StratalogError, throwIfAborted } from '../base/errors.ts'
import { once } from '../base/once.ts'
import { type Range, intersectRanges } from '../base/range.ts'
import { conformBatch } from '../format/column-conform.ts'
import type { Tier } from '../format/manifest.ts'
import {
  type RecordBatch,
  endOffset,
  recordBatchBytes,
  sliceRecordBatch,
} from '../format/record-batch.ts'
import { type Field, STAMPED_TIME_COLUMN, type Schema, fieldIndex } from '../format/schema.ts'
import type { GapCause } from './gap-history.ts'
import type { LogView, MemorySource, PartitionView, SegmentSource, ViewSource } from './log-view.ts'
import type { SegmentDamage } from './segment-damage.ts'
import type { ReadPace } from './segment-reading.ts'
import { type TimeBounds, mayOverlap, withinTime } from './time-filter.ts'
import { ownerOf } from './segment-origin.ts'

/** Reading segments takes decoders that a log in RAM never needs. */
const loadSegmentSource = once(() => import('./segment-source.ts'))

/** Offsets `[from, to)` of a partition that nothing holds, and why. */
export interface OffsetGap {
  readonly partition: number
  readonly from: number
  readonly to: number
  /** `missing`: nobody knows why, or nobody knows any more. */
  readonly cause: GapCause
}

export interface PartitionReadOptions {
  /** Offsets; the partition's start and end when absent. What lies outside the partition is left out. */
  readonly from?: number | undefined
  readonly to?: number | undefined
  /** Times in ms. */
  readonly since?: number | undefined
  readonly until?: number | undefined
  /** Names; all when absent. */
  readonly columns?: readonly string[] | undefined
  /** A schema that the view's own can grow to, instead of it. */
  readonly schema?: Schema | undefined
  readonly signal?: AbortSignal | undefined
  /**
   * `fail` is the default. A function is told of each gap, in order, and the reading goes on behind it. Records that
   * expired or were retired are a gap that only a function is told of.
   */
  readonly onGap?: 'fail' | 'skip' | ((gap: OffsetGap) => void) | undefined
  /** Is told of each damage, in order, and the reading goes on behind it. */
  readonly onDamage?: ((source: SegmentSource, damage: SegmentDamage) => void) | undefined
  /** What one request for a segment asks for at most. */
  readonly readBytesMax?: number | undefined
  /** Requests under way at most, beside the one that is decoded. Default 1. */
  readonly readAhead?: number | undefined
}

export interface ReadItem {
  readonly tier: Tier
  readonly partition: number
  readonly batch: RecordBatch
  /** Stored bytes that were read to get it; 0 when an earlier batch was cut from the same block. */
  readonly storedBytes: number
}

/**
 * @throws StratalogError `partition_not_found`, `offset_gap`, `aborted`, `argument_invalid`, and
 * what the copies throw.
 */
export async function* readPartition(
  view: LogView,
  partition: number,
  options: PartitionReadOptions = {},
): AsyncGenerator<ReadItem, void, undefined> {
  const reading = new PartitionReading(view, partitionOf(view, partition), options)
  yield* reading.run()
}

/** The part of a partition that `[from, to)` names. */
export function readableRange(
  partition: PartitionView,
  options: Pick<PartitionReadOptions, 'from' | 'to'>,
): Range {
  const start = Math.max(partition.startOffset, options.from ?? 0)
  return { start, end: Math.max(start, Math.min(partition.endOffset, options.to ?? Infinity)) }
}

/** The column that times are taken from: the log's own, or the one that the engine stamps. */
export function timeColumnOf(view: LogView): string {
  return view.definition.timeColumn ?? STAMPED_TIME_COLUMN
}

class PartitionReading {
  readonly #view: LogView
  readonly #partition: PartitionView
  readonly #options: PartitionReadOptions
  readonly #range: Range
  readonly #bounds: TimeBounds | null
  readonly #timeColumn: string
  /** What is given out. */
  readonly #schema: Schema
  /** What is decoded: `#schema`, and the time column while times are compared. */
  readonly #readSchema: Schema
  /** Of all its segments; made with the first. */
  #pace: ReadPace | null = null

  constructor(view: LogView, partition: PartitionView, options: PartitionReadOptions) {
    this.#view = view
    this.#partition = partition
    this.#options = options
    this.#range = readableRange(partition, options)
    const { since, until } = options
    this.#bounds =
      since === undefined && until === undefined
        ? null
        : { since: since ?? null, until: until ?? null }
    this.#timeColumn = timeColumnOf(view)
    const whole = options.schema ?? view.schema
    this.#schema = options.columns === undefined ? whole : projected(whole, options.columns)
    this.#readSchema =
      this.#bounds === null ? this.#schema : withField(this.#schema, whole, this.#timeColumn)
  }

  async *run(): AsyncGenerator<ReadItem, void, undefined> {
    let next = this.#range.start
    for (const [index, source] of this.#partition.sources.entries()) {
      const held = sourceRange(source)
      const wanted = intersectRanges(held, this.#range)
      if (wanted === null) continue
      throwIfAborted(this.#options.signal)
      this.#gap(next, wanted.start)
      next = wanted.end
      if (source.tier === 'memory') yield* this.#readMemory(source, wanted)
      else yield* this.#readSegment(source, wanted, this.#segmentAfter(index))
    }
    this.#gap(next, this.#range.end)
  }

  /** The source after the one at `index`, where it is a segment of which something is wanted. */
  #segmentAfter(index: number): SegmentSource | undefined {
    const source = this.#partition.sources[index + 1]
    if (source === undefined || source.tier === 'memory') return undefined
    const { segment } = source
    const isWanted =
      intersectRanges(sourceRange(source), this.#range) !== null &&
      (this.#bounds === null || mayOverlap(this.#bounds, segment.timeMin, segment.timeMax))
    return isWanted ? source : undefined
  }

  #gap(from: number, to: number): void {
    if (from >= to) return
    const { onGap } = this.#options
    if (onGap === 'skip') return
    const { partition, gaps } = this.#partition
    const parts = gaps?.within(from, to) ?? [{ start: from, end: to, cause: 'missing' as const }]
    for (const { start, end, cause } of parts) {
      const gap = { partition, from: start, to: end, cause }
      if (typeof onGap === 'function') onGap(gap)
      else if (isFailure(cause)) throw gapError(this.#view.definition.name, gap)
    }
  }

  *#readMemory({ batch }: MemorySource, wanted: Range): Generator<ReadItem, void, undefined> {
    const cut = sliceRecordBatch(batch, wanted.start, wanted.end)
    yield* this.#give(cut, 'memory', recordBatchBytes(cut), this.#bounds !== null)
  }

  async *#readSegment(
    source: SegmentSource,
    wanted: Range,
    next: SegmentSource | undefined,
  ): AsyncGenerator<ReadItem, void, undefined> {
    const { definition } = this.#view
    const { readSegmentSource, ReadPace, prefetchSegment } = await loadSegmentSource()
    const pace = (this.#pace ??= new ReadPace(this.#options.readBytesMax, this.#options.readAhead))
    if (pace.isSequential && next !== undefined) prefetchSegment(next, this.#options.signal)
    const parts = readSegmentSource(source, wanted, {
      log: definition.name,
      owner: ownerOf(definition, this.#partition.partition, source.segment),
      schema: this.#readSchema,
      timeColumn: this.#timeColumn,
      bounds: this.#bounds,
      signal: this.#options.signal,
      pace,
      onDamage: this.#options.onDamage,
    })
    for await (const { tier, batch, storedBytes, mustFilter } of parts)
      yield* this.#give(batch, tier, storedBytes, mustFilter)
  }

  *#give(
    batch: RecordBatch,
    tier: Tier,
    storedBytes: number,
    mustFilter: boolean,
  ): Generator<ReadItem, void, undefined> {
    const { partition } = this.#partition
    let bytes = storedBytes
    const parts =
      mustFilter && this.#bounds !== null
        ? withinTime(batch, this.#timeColumn, this.#bounds)
        : [batch]
    for (const part of parts) {
      yield { tier, partition, batch: conformBatch(part, this.#schema), storedBytes: bytes }
      bytes = 0
    }
  }
}

function partitionOf(view: LogView, number: number): PartitionView {
  const partition = view.partitions.find((candidate) => candidate.partition === number)
  if (partition !== undefined) return partition
  throw new StratalogError(
    'partition_not_found',
    `Log '${view.definition.name}' has no partition ${number}.`,
    {
      details: { log: view.definition.name, partition: number },
    },
  )
}

/** The offsets that a source serves. */
export function sourceRange(source: ViewSource): Range {
  if (source.tier !== 'memory') return { start: source.from, end: source.to }
  return { start: source.batch.baseOffset, end: endOffset(source.batch) }
}

function projected(schema: Schema, columns: readonly string[]): Schema {
  const fields = columns.map((name): Field => {
    const field = schema.fields[fieldIndex(schema, name)]
    if (field !== undefined) return field
    throw new StratalogError('argument_invalid', `There is no column ${JSON.stringify(name)}.`, {
      details: { column: name, columns: schema.fields.map((candidate) => candidate.name) },
    })
  })
  return { id: schema.id, fields }
}

function withField(schema: Schema, whole: Schema, name: string): Schema {
  const field = whole.fields[fieldIndex(whole, name)]
  if (field === undefined || fieldIndex(schema, name) !== -1) return schema
  return { id: schema.id, fields: [...schema.fields, field] }
}

/** Whether a reader that asked for nothing else fails: what is gone as its log's policy says is no failure. */
export function isFailure(cause: GapCause): boolean {
  return cause === 'evicted' || cause === 'damaged' || cause === 'missing'
}

export function gapError(log: string, gap: OffsetGap): StratalogError {
  const { partition, from, to, cause } = gap
  const why = cause === 'missing' ? 'are not there' : `were ${cause}`
  return new StratalogError(
    'offset_gap',
    `Log '${log}', partition ${partition}: offsets [${from}, ${to}) ${why}.`,
    { details: { log, partition, from, to, cause } },
  )
}
