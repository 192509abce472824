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
import { StratalogError, isStratalogError, throwIfAborted } from '../base/errors.ts'
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
import type { BatchFacts, SegmentFacts } from '../format/segment.ts'
import type { LogView, MemorySource, PartitionView, SegmentSource, ViewSource } from './log-view.ts'
import { type SegmentDamage, damageError, damageOf } from './segment-damage.ts'
import { SegmentReading, blockBytes } from './segment-reading.ts'
import { type TimeBounds, mayOverlap, withinTime } from './time-filter.ts'

/** Offsets `[from, to)` of a partition that nothing holds. */
export interface OffsetGap {
  readonly partition: number
  readonly from: number
  readonly to: number
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
  /** `fail` is the default. A function is told of each gap, in order, and the reading goes on behind it. */
  readonly onGap?: 'fail' | 'skip' | ((gap: OffsetGap) => void) | undefined
  /** Is told of each damage, in order, and the reading goes on behind it. */
  readonly onDamage?: ((source: SegmentSource, damage: SegmentDamage) => void) | undefined
  /** What one request for a segment asks for at most. */
  readonly readBytesMax?: number | undefined
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
    for (const source of this.#partition.sources) {
      const held = rangeOf(source)
      const wanted = intersectRanges(held, this.#range)
      if (wanted === null) continue
      throwIfAborted(this.#options.signal)
      this.#gap(next, wanted.start)
      next = wanted.end
      if (source.tier === 'memory') yield* this.#readMemory(source, wanted)
      else yield* this.#readSegment(source, wanted)
    }
    this.#gap(next, this.#range.end)
  }

  #gap(from: number, to: number): void {
    if (from >= to) return
    const gap = { partition: this.#partition.partition, from, to }
    const { onGap } = this.#options
    if (typeof onGap === 'function') onGap(gap)
    else if (onGap !== 'skip') throw gapError(this.#view.definition.name, gap)
  }

  *#readMemory({ batch }: MemorySource, wanted: Range): Generator<ReadItem, void, undefined> {
    const cut = sliceRecordBatch(batch, wanted.start, wanted.end)
    yield* this.#give(cut, 'memory', recordBatchBytes(cut), this.#bounds !== null)
  }

  async *#readSegment(
    source: SegmentSource,
    wanted: Range,
  ): AsyncGenerator<ReadItem, void, undefined> {
    const { segment, fallback } = source
    if (this.#bounds !== null && !mayOverlap(this.#bounds, segment.timeMin, segment.timeMax)) return
    const cursor = { next: wanted.start }
    try {
      // Damage of a block is passed over only where no other copy can have the block.
      const onDamage =
        fallback === undefined
          ? (block: BatchFacts, error: unknown): void => {
              const range = intersectRanges(blockRange(block), wanted)
              if (range !== null) this.#damage(source, error, range)
              cursor.next = block.baseOffset + block.length
            }
          : undefined
      yield* this.#readCopy(source, wanted, cursor, onDamage)
    } catch (error) {
      const rest = { start: cursor.next, end: wanted.end }
      if (fallback === undefined || damageOf(error, rest.start, rest.end) === null) {
        this.#damage(source, error, rest)
        return
      }
      fallback.onUse(error)
      const { tier, bytes } = fallback
      yield* this.#readSegment({ tier, bytes, segment, from: source.from, to: source.to }, rest)
    }
  }

  /** The wanted records of one copy; `cursor` follows what was given. */
  async *#readCopy(
    { tier, segment, bytes }: SegmentSource,
    wanted: Range,
    cursor: { next: number },
    onDamage: ((block: BatchFacts, error: unknown) => void) | undefined,
  ): AsyncGenerator<ReadItem, void, undefined> {
    const { signal, readBytesMax } = this.#options
    const owner = { logId: this.#view.definition.id, partition: this.#partition.partition }
    const reading = await SegmentReading.open(bytes, segment, owner, signal)
    const { facts } = reading
    const columns = this.#columnsIn(facts)
    const blocks = reading.blocks((block) => this.#isWanted(block, wanted))
    for await (const batch of reading.read(blocks, { columns, signal, readBytesMax, onDamage })) {
      throwIfAborted(signal)
      const range = intersectRanges({ start: batch.baseOffset, end: endOffset(batch) }, wanted)
      cursor.next = endOffset(batch)
      if (range === null) continue
      const block = facts.batches.find((candidate) => candidate.baseOffset === batch.baseOffset)
      const storedBytes = block === undefined ? 0 : blockBytes(block)
      const cut = sliceRecordBatch(batch, range.start, range.end)
      yield* this.#give(cut, tier, storedBytes, this.#mustFilter(facts, block))
    }
  }

  /** Passes on a damage whose caller wants it, and throws everything else. */
  #damage(source: SegmentSource, error: unknown, range: Range): void {
    const { onDamage } = this.#options
    const damage = damageOf(error, range.start, range.end)
    if (damage === null) throw error
    if (onDamage === undefined) {
      // The reading of a block throws this, and the reading of its segment sees it pass.
      if (isStratalogError(error) && error.details['object'] !== undefined) throw error
      throw damageError(
        this.#view.definition.name,
        this.#partition.partition,
        source,
        damage,
        error,
      )
    }
    onDamage(source, damage)
  }

  #isWanted(block: BatchFacts, wanted: Range): boolean {
    if (intersectRanges(blockRange(block), wanted) === null) return false
    return this.#bounds === null || mayOverlap(this.#bounds, block.timeMin, block.timeMax)
  }

  /** Whether a block can hold records that the time bounds leave out. */
  #mustFilter(facts: SegmentFacts, block: BatchFacts | undefined): boolean {
    if (this.#bounds === null) return false
    if (block === undefined) return true
    const { since, until } = this.#bounds
    const isInside =
      (since === null || block.timeMin >= since) && (until === null || block.timeMax < until)
    const nullCount = facts.statistics[fieldIndex(facts.schema, this.#timeColumn)]?.nullCount
    return !isInside || nullCount !== 0
  }

  #columnsIn(facts: SegmentFacts): readonly number[] {
    return this.#readSchema.fields.flatMap((field) => {
      const position = fieldIndex(facts.schema, field.name)
      return position === -1 ? [] : [position]
    })
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

function rangeOf(source: ViewSource): Range {
  if (source.tier !== 'memory') return { start: source.from, end: source.to }
  return { start: source.batch.baseOffset, end: endOffset(source.batch) }
}

function blockRange(block: BatchFacts): Range {
  return { start: block.baseOffset, end: block.baseOffset + block.length }
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

function gapError(log: string, gap: OffsetGap): StratalogError {
  const { partition, from, to } = gap
  return new StratalogError(
    'offset_gap',
    `Log '${log}', partition ${partition}: offsets [${from}, ${to}) are not there.`,
    { details: { log, partition, from, to } },
  )
}
