/**
 * One partition's truth: which offsets exist, where each lies, and what of it is acknowledged.
 *
 *     startOffset ≤ … segments … ≤ flushedEnd          (disk and object copies)
 *                     hotStart ≤ … hot batches … ≤ nextOffset
 *     archivedEnd ≤ flushedEnd,  durableEnd ≤ nextOffset
 *
 * Invariants:
 * - hot batches are contiguous and end at `nextOffset`; segments are in order and never overlap;
 * - a hot batch of a log with a lower tier is dropped only below `flushedEnd`;
 * - readers see offsets below `visibleEnd`, which never passes the log's acknowledgement level;
 * - every change happens in one synchronous stretch on the main thread, after the manifest commit that it follows.
 */
import { assert, present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import { type Range, intersectRanges } from '../base/range.ts'
import type { AckLevel, Location, SegmentEntry } from '../format/manifest.ts'
import type { Schema } from '../format/schema.ts'
import type { DurableListener } from './ack-queue.ts'
import { HotBatch } from './hot-batch.ts'
import type { PartitionView, SegmentBytes, SegmentFallback, ViewSource } from './log-view.ts'
import type { SegmentPins } from './segment-pins.ts'
import type { SlabPool } from './slab-pool.ts'

/** What a partition needs of the engine around it. */
export interface PartitionPorts {
  readonly pool: SlabPool
  readonly pins: SegmentPins
  /** The stored bytes of one copy. */
  readonly segmentBytes: (
    tier: 'disk' | 'object',
    segment: SegmentEntry,
    location: Location,
  ) => SegmentBytes
  /** The archive's copy, for when the disk's is damaged; null where there is no archive to read from. */
  readonly fallback?: (segment: SegmentEntry, location: Location) => SegmentFallback | null
}

export interface PartitionOptions {
  readonly logId: number
  readonly partition: number
  readonly timeColumn: string
  readonly startOffset: number
  readonly segments: readonly SegmentEntry[]
}

/** A range of records that was dropped from its only copy, as the mode allows; counted, never silent. */
export interface Eviction extends Range {
  readonly bytes: number
}

export class Partition implements DurableListener {
  // Fixed at construction.
  readonly logId: number
  readonly partition: number
  /** Where the partition began; what lies between it and `startOffset` was dropped. */
  readonly firstOffset: number
  readonly #timeColumn: string
  readonly #ports: PartitionPorts

  // Owned by the append loop.
  #nextOffset: number
  #batches: HotBatch[] = []
  #isStaging = false
  #isClosed = false

  // Moved by acknowledgements.
  #durableEnd: number
  #ack: AckLevel
  readonly #waiters = new Set<() => void>()

  // Moved by tiering, after its manifest commits.
  #startOffset: number
  #segments: SegmentEntry[]
  #archivedEnd: number
  lastError: string | null = null

  constructor(options: PartitionOptions, ack: AckLevel, ports: PartitionPorts) {
    this.logId = options.logId
    this.partition = options.partition
    this.firstOffset = options.startOffset
    this.#timeColumn = options.timeColumn
    this.#ports = ports
    this.#ack = ack
    this.#startOffset = options.startOffset
    this.#segments = [...options.segments]
    this.#nextOffset = this.#segments.at(-1)?.endOffset ?? options.startOffset
    this.#durableEnd = this.#nextOffset
    this.#archivedEnd = archivedPrefixEnd(this.#segments, options.startOffset)
  }

  get startOffset(): number {
    return this.#startOffset
  }
  get nextOffset(): number {
    return this.#nextOffset
  }
  get durableEnd(): number {
    return this.#durableEnd
  }
  get archivedEnd(): number {
    return this.#archivedEnd
  }
  get flushedEnd(): number {
    return this.#segments.at(-1)?.endOffset ?? this.#startOffset
  }
  get hotStart(): number {
    return this.#batches[0]?.baseOffset ?? this.#nextOffset
  }
  get batches(): readonly HotBatch[] {
    return this.#batches
  }
  get segments(): readonly SegmentEntry[] {
    return this.#segments
  }
  get hotBytes(): number {
    return this.#batches.reduce((sum, batch) => sum + batch.bytes, 0)
  }
  get visibleEnd(): number {
    if (this.#ack === 'memory') return this.#nextOffset
    return this.#ack === 'disk' ? this.#durableEnd : Math.min(this.#archivedEnd, this.#durableEnd)
  }
  /** LSN that recovery must start from to have back what is only in RAM; Infinity when nothing is. */
  get firstUnflushedLsn(): number {
    const flushedEnd = this.flushedEnd
    return this.#batches.find((batch) => batch.endOffset > flushedEnd)?.firstLsn ?? Infinity
  }

  // --- Appending -------------------------------------------------------------------------------------------------

  /** The batch that takes the next append: the open one, or a new one when it is full or of another schema. */
  openBatch(schema: Schema): HotBatch {
    const last = this.#batches.at(-1)
    if (last !== undefined && !last.isSealed) {
      if (last.schema.id === schema.id && !last.isFull) return last
      if (last.length > 0) last.seal()
      else this.#batches.pop()?.release()
    }
    const previous = last?.isSealed === true ? last : null
    const batch = new HotBatch(
      schema,
      this.#nextOffset,
      this.#timeColumn,
      this.#ports.pool,
      previous,
    )
    this.#batches.push(batch)
    return batch
  }

  /**
   * Runs one append's synchronous stretch. Getters of its records run in it, and may do anything: what they do must not
   * meet rows that are half staged, so until the stretch ends no batch is dropped.
   */
  staging<T>(stretch: () => T): T {
    if (this.#isClosed) throw new StratalogError('engine_closed', 'The engine is closed.')
    assert(!this.#isStaging, 'one append at a time is staged')
    this.#isStaging = true
    try {
      return stretch()
    } finally {
      this.#isStaging = false
    }
  }

  /** Forgets rows that were staged in the open batch, and the batch with them when they were to be its first. */
  discardStaged(batch: HotBatch): void {
    batch.rollback()
    if (batch.length > 0 || this.#batches.at(-1) !== batch) return
    this.#batches.pop()
    batch.release()
  }

  /** Runs after a batch committed `count` rows. Without a WAL the rows are as durable as they get. */
  applied(count: number, hasWal: boolean): void {
    this.#nextOffset += count
    if (!hasWal) this.#durableEnd = this.#nextOffset
    if (!hasWal || this.#ack === 'memory') this.#wake()
  }

  durableTo(endOffset: number): void {
    assert(
      endOffset >= this.#durableEnd && endOffset <= this.#nextOffset,
      'the durable watermark moves forward only',
    )
    this.#durableEnd = endOffset
    this.#wake()
  }

  /**
   * Replay into RAM: leaves offsets out, which then read as a gap. Only where no WAL and no lower tier wants them
   * dense.
   */
  skipTo(offset: number): void {
    assert(offset >= this.#nextOffset, 'offsets are skipped forward')
    if (offset === this.#nextOffset) return
    const last = this.#batches.at(-1)
    if (last !== undefined && last.length === 0) this.discardStaged(last)
    this.sealOpenBatch()
    this.#nextOffset = offset
    this.#durableEnd = offset
    this.#wake()
  }

  sealOpenBatch(): void {
    const last = this.#batches.at(-1)
    if (last !== undefined && last.length > 0) last.seal()
  }

  // --- Tier moves ------------------------------------------------------------------------------------------------

  /** Sealed batches that hold offsets at or above `from` and lie wholly below `to`; each is leased to the caller. */
  leaseSealed(from: number, to: number): readonly HotBatch[] {
    const batches = this.#batches.filter(
      (batch) => batch.isSealed && batch.endOffset > from && batch.endOffset <= to,
    )
    for (const batch of batches) batch.retain()
    return batches
  }

  addSegment(segment: SegmentEntry): void {
    assert(
      segment.baseOffset === this.flushedEnd || this.#segments.length === 0,
      'segments are contiguous as flushed',
    )
    this.#segments.push(segment)
    this.#moveArchivedEnd()
  }

  setCopy(baseOffset: number, tier: 'disk' | 'object', location: Location | null): void {
    const index = this.#segments.findIndex((segment) => segment.baseOffset === baseOffset)
    const segment = present(this.#segments[index], `segment at ${baseOffset}`)
    this.#segments[index] = { ...segment, [tier]: location }
    this.#moveArchivedEnd()
  }

  /** Drops RAM copies that a lower tier has, of batches that end at or below `to`. Returns the bytes given back. */
  dropHot(to: number): number {
    if (this.#isStaging) return 0
    const limit = Math.min(to, this.flushedEnd)
    let bytes = 0
    for (
      let first = this.#batches[0];
      first !== undefined && first.endOffset <= limit;
      first = this.#batches[0]
    ) {
      if (!first.isSealed) first.seal()
      this.#batches.shift()
      bytes += first.bytes
      first.release()
    }
    return bytes
  }

  /** Drops the oldest batch though it is the only copy: memory mode's eviction. */
  evictOldest(): Eviction | null {
    const first = this.#batches[0]
    if (first === undefined || first.length === 0 || this.#isStaging) return null
    first.seal()
    this.#batches.shift()
    const eviction = { start: first.baseOffset, end: first.endOffset, bytes: first.bytes }
    this.#startOffset = Math.max(this.#startOffset, first.endOffset)
    first.release()
    return eviction
  }

  setAck(ack: AckLevel): void {
    this.#ack = ack
    this.#wake()
  }

  // --- Reading ---------------------------------------------------------------------------------------------------

  /** Pins `[from, to)` of what is visible; `release` ends every lease of the view. */
  view(range: Range = { start: 0, end: Infinity }): { view: PartitionView; release: () => void } {
    const visible = { start: this.#startOffset, end: this.visibleEnd }
    const wanted = intersectRanges(range, visible) ?? { start: visible.end, end: visible.end }
    const leases: (() => void)[] = []
    const sources: ViewSource[] = []
    const hotStart = this.hotStart
    for (const segment of this.#segments) {
      const part = intersectRanges(
        { start: segment.baseOffset, end: Math.min(segment.endOffset, hotStart) },
        wanted,
      )
      if (part !== null) sources.push(this.#segmentSource(segment, part, leases))
    }
    for (const batch of this.#batches) {
      const part = intersectRanges({ start: batch.baseOffset, end: batch.endOffset }, wanted)
      if (part === null) continue
      batch.retain()
      leases.push(() => batch.release())
      sources.push({ tier: 'memory', batch: batch.view(part.start, part.end) })
    }
    const view = {
      partition: this.partition,
      startOffset: wanted.start,
      endOffset: wanted.end,
      sources,
    }
    return { view, release: () => leases.forEach((end) => end()) }
  }

  /** Resolves when an offset at or above `offset` is visible, on abort, or when the partition closes. */
  waitFor(offset: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const isOver = (): boolean => this.visibleEnd > offset || signal.aborted || this.#isClosed
      if (isOver()) {
        resolve()
        return
      }
      const done = (): void => {
        if (!isOver()) return
        this.#waiters.delete(done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      this.#waiters.add(done)
      signal.addEventListener('abort', done)
    })
  }

  /** Gives every buffer back that no reader leases, and ends every wait; nothing is appended after. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const batch of this.#batches) batch.release()
    this.#batches = []
    this.#wake()
  }

  #segmentSource(segment: SegmentEntry, part: Range, leases: (() => void)[]): ViewSource {
    const tier = segment.disk === null ? 'object' : 'disk'
    const location = present(segment.disk ?? segment.object, 'a segment has a copy')
    if (tier === 'disk') {
      this.#ports.pins.pin(location.object)
      leases.push(() => this.#ports.pins.unpin(location.object))
    }
    const fallback =
      tier === 'disk' && segment.object !== null
        ? (this.#ports.fallback?.(segment, segment.object) ?? null)
        : null
    return {
      tier,
      segment,
      from: part.start,
      to: part.end,
      bytes: this.#ports.segmentBytes(tier, segment, location),
      ...(fallback === null ? {} : { fallback }),
    }
  }

  #moveArchivedEnd(): void {
    this.#archivedEnd = archivedPrefixEnd(this.#segments, this.#startOffset)
    if (this.#ack === 'object') this.#wake()
  }

  #wake(): void {
    for (const waiter of [...this.#waiters]) waiter()
  }
}

/** The offset below which every record has an object copy. */
function archivedPrefixEnd(segments: readonly SegmentEntry[], startOffset: number): number {
  let end = startOffset
  for (const segment of segments) {
    if (segment.object === null) break
    end = segment.endOffset
  }
  return end
}
