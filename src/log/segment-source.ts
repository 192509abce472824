/**
 * The wanted records of one segment source: from its copy, and from where that copy is damaged on from the source's
 * other copy, where it has one. Loaded by the reader of views with the first segment that it meets.
 */
import { isStratalogError, throwIfAborted } from '../base/errors.ts'
import { type Range, intersectRanges, rangeLength } from '../base/range.ts'
import type { Tier } from '../format/manifest.ts'
import { type RecordBatch, endOffset, sliceRecordBatch } from '../format/record-batch.ts'
import { type Schema, fieldIndex } from '../format/schema.ts'
import { rowRanges } from '../format/segment-reader.ts'
import { type BatchFacts, type SegmentFacts, blockEnd } from '../format/segment.ts'
import { runsOf } from '../format/sparse-rows.ts'
import type { SegmentSource } from './log-view.ts'
import { type SegmentDamage, damageError, damageOf } from './segment-damage.ts'
import { ReadPace, type SegmentOwner, SegmentReading } from './segment-reading.ts'
import { successorOf } from './segment-successor.ts'
import { type TimeBounds, mayOverlap } from './time-filter.ts'

export { ReadPace }

export interface SegmentSourceOptions {
  /** The log's name, for messages. */
  readonly log: string
  readonly owner: SegmentOwner
  /** The columns to decode. */
  readonly schema: Schema
  readonly timeColumn: string
  readonly bounds: TimeBounds | null
  readonly signal: AbortSignal | undefined
  readonly pace: ReadPace
  /** Is told of damage that no other copy makes good, and the reading goes on behind it; without it damage ends it. */
  readonly onDamage: ((source: SegmentSource, damage: SegmentDamage) => void) | undefined
}

export interface SourcePart {
  readonly tier: Tier
  /** Of the segment's own schema, cut to the wanted offsets. */
  readonly batch: RecordBatch
  /** Stored bytes that it was decoded from. */
  readonly storedBytes: number
  /** Whether records in it may lie outside the time bounds. */
  readonly mustFilter: boolean
}

/** @throws StratalogError what the copies throw: `corrupt` kinds, `store_unavailable`, `aborted`. */
export async function* readSegmentSource(
  source: SegmentSource,
  wanted: Range,
  options: SegmentSourceOptions,
): AsyncGenerator<SourcePart, void, undefined> {
  const { segment, fallback, lost } = source
  const { bounds } = options
  if (lost?.again !== undefined) {
    yield* readSegmentSource(await lost.again(), wanted, options)
    return
  }
  if (lost !== undefined) throw lost.error()
  if (bounds !== null && !mayOverlap(bounds, segment.timeMin, segment.timeMax)) return
  const cursor = { next: wanted.start }
  try {
    // Damage of a block is passed over only where no other copy can have the block.
    const onBlockDamage =
      fallback === undefined
        ? (block: BatchFacts, error: unknown): void => {
            const range = intersectRanges(blockRange(block), wanted)
            if (range !== null) passDamage(source, error, range, options)
            cursor.next = blockEnd(block)
          }
        : undefined
    yield* readCopy(source, wanted, cursor, onBlockDamage, options)
  } catch (error) {
    const rest = { start: cursor.next, end: wanted.end }
    if (fallback !== undefined && damageOf(error, rest.start, rest.end) !== null) {
      fallback.onUse(error)
      const { tier, bytes } = fallback
      const { from, to, successor } = source
      const other = { tier, bytes, segment, from, to, ...(successor && { successor }) }
      yield* readSegmentSource(other, rest, options)
      return
    }
    const moved = await movedTo(source, error, rest, options)
    if (moved !== null) yield* readSegmentSource(moved, rest, options)
  }
}

/** Where the records of an object lie that is gone; null where that is nowhere, and the damage was passed on. */
async function movedTo(
  source: SegmentSource,
  error: unknown,
  rest: Range,
  options: SegmentSourceOptions,
): Promise<SegmentSource | null> {
  let reason = error
  try {
    const moved = await successorOf(source, error)
    if (moved !== null) return moved
  } catch (why) {
    reason = why
  }
  passDamage(source, reason, rest, options)
  return null
}

/** Has the footer of a segment at hand before the reader comes to it. */
export function prefetchSegment(source: SegmentSource, signal: AbortSignal | undefined): void {
  SegmentReading.prefetch(source.bytes, source.segment, signal)
}

/** The wanted records of one copy; `cursor` follows what was given. */
async function* readCopy(
  { tier, segment, bytes }: SegmentSource,
  wanted: Range,
  cursor: { next: number },
  onDamage: ((block: BatchFacts, error: unknown) => void) | undefined,
  options: SegmentSourceOptions,
): AsyncGenerator<SourcePart, void, undefined> {
  const { owner, schema, signal, pace } = options
  const reading = await SegmentReading.open(bytes, segment, owner, signal)
  const { facts } = reading
  const columns = columnsIn(facts, schema)
  const blocks = reading.blocks((block) => isWanted(block, wanted, options.bounds))
  for await (const read of reading.readRows(blocks, { columns, signal, pace, onDamage })) {
    const { baseOffset } = read.batch
    const index = facts.batches.findIndex((block) => block.baseOffset === baseOffset)
    const isFiltered = mustFilter(facts, facts.batches[index], options)
    let storedBytes = rowRanges(facts, index, columns).reduce(
      (sum, range) => sum + rangeLength(range),
      0,
    )
    for (const batch of runsOf(read)) {
      throwIfAborted(signal)
      const rows = intersectRanges({ start: batch.baseOffset, end: endOffset(batch) }, wanted)
      cursor.next = endOffset(batch)
      if (rows === null) continue
      const cut = sliceRecordBatch(batch, rows.start, rows.end)
      yield { tier, batch: cut, storedBytes, mustFilter: isFiltered }
      storedBytes = 0
    }
  }
}

/** Passes on a damage whose caller wants it, and throws everything else. */
function passDamage(
  source: SegmentSource,
  error: unknown,
  range: Range,
  { log, owner, onDamage }: SegmentSourceOptions,
): void {
  const damage = damageOf(error, range.start, range.end)
  if (damage === null) throw error
  if (onDamage === undefined) {
    // The reading of a block throws this, and the reading of its segment sees it pass.
    if (isStratalogError(error) && error.details['object'] !== undefined) throw error
    throw damageError(log, owner.partition, source, damage, error)
  }
  onDamage(source, damage)
}

function isWanted(block: BatchFacts, wanted: Range, bounds: TimeBounds | null): boolean {
  if (intersectRanges(blockRange(block), wanted) === null) return false
  return bounds === null || mayOverlap(bounds, block.timeMin, block.timeMax)
}

/** Whether a block can hold records that the time bounds leave out. */
function mustFilter(
  facts: SegmentFacts,
  block: BatchFacts | undefined,
  { bounds, timeColumn }: SegmentSourceOptions,
): boolean {
  if (bounds === null) return false
  if (block === undefined) return true
  const { since, until } = bounds
  const isInside =
    (since === null || block.timeMin >= since) && (until === null || block.timeMax < until)
  const nullCount = facts.statistics[fieldIndex(facts.schema, timeColumn)]?.nullCount
  return !isInside || nullCount !== 0
}

function columnsIn(facts: SegmentFacts, schema: Schema): readonly number[] {
  return schema.fields.flatMap((field) => {
    const position = fieldIndex(facts.schema, field.name)
    return position === -1 ? [] : [position]
  })
}

function blockRange(block: BatchFacts): Range {
  return { start: block.baseOffset, end: blockEnd(block) }
}
