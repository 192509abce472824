/**
 * One partition's truth: which offsets exist, where each lies, and what of it is acknowledged.
 *
 *     startOffset ≤ … segments … ≤ flushedEnd          (disk and object copies)
 *                     hotStart ≤ … hot batches … ≤ nextOffset
 *     archivedEnd ≤ flushedEnd,  durableEnd ≤ nextOffset
 *
 * Invariants:
 * - hot batches are in order, never overlap, and lie below `nextOffset`; segments are in order and never overlap;
 * - where a lower tier wants them, offsets are dense: hot batches follow each other and end at `nextOffset`, and one is
 *   dropped only below `flushedEnd`, from the front;
 * - in mode `memory` there may be holes, between batches and inside of them: records that were evicted, expired or left
 *   out by a replay. `startOffset` is then the first offset that is held;
 * - what expired is no longer seen by a view that is taken later, reclaimed or not;
 * - readers see offsets below `visibleEnd`, which never passes the log's acknowledgement level;
 * - every change happens in one synchronous stretch on the main thread, after the manifest commit that it follows.
 */
import { assert } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import { type Range, intersectRanges } from '../base/range.ts'
import type { ColumnData } from '../format/column.ts'
import type { AckLevel, Location, SegmentEntry } from '../format/manifest.ts'
import type { ProducerState } from '../format/producer.ts'
import type { Schema } from '../format/schema.ts'
import type { SegmentEntries } from '../format/segment-entries.ts'
import type { AckListener } from './ack-queue.ts'
import type { ColdTerms } from './cold-terms.ts'
import type { Eviction } from './eviction.ts'
import { type CausedGap, type GapCause, GapHistory } from './gap-history.ts'
import { type AppendFacts, HotBatch } from './hot-batch.ts'
import { HotBatches } from './hot-batches.ts'
import { type PinnedView, addHotSources, gapsWithin, releaseBelow } from './hot-sources.ts'
import type { Lease } from './log-view.ts'
import { type TermsTest, expiredRows } from './batch-runs.ts'
import type { LostRecords } from './lost-records.ts'
import { MemoryAccount } from './memory-account.ts'
import { newestStart } from './newest-start.ts'
import type { PartitionOptions, PortsOf } from './partition-options.ts'
import { segmentSources } from './pinned-segment.ts'
import { ProducerTable } from './producer-table.ts'
import { reclaimBatch } from './reclaim-batch.ts'
import { SegmentList, type SegmentTotals } from './segment-list.ts'
import { Waiters } from './waiters.ts'

/** A full batch takes no greater part of a budget: it is evicted whole, and copied when a column of it grows. */
const BATCHES_MIN = 16

export type PartitionPorts = PortsOf<Partition>

export class Partition implements AckListener {
  // Fixed at construction.
  readonly logId: number
  readonly partition: number
  /** What the log's batches hold, those of other partitions too. */
  readonly logMemory: MemoryAccount
  readonly #memory: MemoryAccount
  readonly #timeColumn: string
  readonly #ports: PartitionPorts

  // Owned by the append loop.
  #nextOffset: number
  readonly #hot = new HotBatches()
  readonly #gaps = new GapHistory()
  /** Null before the first append of a producer. */
  #producers: ProducerTable | null = null
  #isStaging = false
  /** Why it takes no appends and is read no further; null while it is there. */
  closed: StratalogError | null = null
  /** Why appends are refused; null while they are not. */
  refusal: StratalogError | null = null

  // Changed with the log's policy.
  #ack: AckLevel
  /** What was readable before a change stays readable. */
  #visibleFloor = 0
  #owedEnd = 0
  #denseFrom: number | undefined

  // Moved by acknowledgements, and by failures of the disk, after each of which `takenBack` has the end that was left.
  #durableEnd: number
  readonly takenBack: number[] = []
  readonly #waiters = new Waiters()

  // Moved by tiering, after its manifest commits.
  #firstOffset: number
  #startOffset: number
  readonly #segments: SegmentList
  /** What a damaged WAL has lost, behind all that is there. Set by recovery. */
  lost: LostRecords | null = null
  /** When records in its segments expire; null where none does. Set when the engine is opened. */
  coldTerms: ColdTerms | null = null
  lastError: string | null = null

  constructor(options: PartitionOptions, ack: AckLevel, ports: PartitionPorts) {
    this.logId = options.logId
    this.partition = options.partition
    this.#firstOffset = options.startOffset
    if (options.startOffset > 0) this.#gaps.add(0, options.startOffset, 'retired')
    this.#timeColumn = options.timeColumn
    this.#ports = ports
    this.logMemory = options.memory ?? new MemoryAccount(ports.pool)
    this.#memory = new MemoryAccount(this.logMemory)
    this.#ack = ack
    this.#denseFrom = options.denseFrom
    // What a log without a WAL let go of at its beginning is no gap of every read.
    const [held] = options.denseFrom === undefined ? [] : options.segments
    this.#startOffset = held?.baseOffset ?? options.startOffset
    this.#segments = new SegmentList(options.segments, this.#startOffset)
    if (options.producers !== undefined)
      this.#producers = new ProducerTable(options.producers.values())
    this.#nextOffset = this.#segments.endOffset ?? options.startOffset
    this.#durableEnd = this.#nextOffset
  }

  get startOffset(): number {
    return this.#startOffset
  }
  /** Where the manifest has it begin; what lies between it and `startOffset` was evicted. */
  get firstOffset(): number {
    return this.#firstOffset
  }
  get segmentTotals(): SegmentTotals {
    return this.#segments.totals
  }
  get nextOffset(): number {
    return this.#nextOffset
  }
  get durableEnd(): number {
    return this.#durableEnd
  }
  get archivedEnd(): number {
    return this.#segments.archivedEnd
  }
  get flushedEnd(): number {
    return this.#segments.endOffset ?? this.#startOffset
  }
  /** Records below it are to come to a lower tier at once, whatever the policy says of their age. */
  get owedEnd(): number {
    return this.#owedEnd
  }
  /** Whether RAM holds records that are owed to a lower tier. */
  get isOwing(): boolean {
    return (this.#hot.at(this.flushedEnd)?.baseOffset ?? Infinity) < this.#owedEnd
  }
  /** Below it offsets may be held by nothing; undefined where the log always had a WAL. */
  get denseFrom(): number | undefined {
    return this.#denseFrom
  }
  get hotStart(): number {
    return this.#hot.first?.baseOffset ?? this.#nextOffset
  }
  get batches(): readonly HotBatch[] {
    return this.#hot.all
  }
  /** The batch whose records were appended first; undefined when there is none. */
  get oldestBatch(): HotBatch | undefined {
    return this.#hot.first
  }
  /** Records in RAM, expired ones that were not reclaimed yet among them. */
  get hotRecords(): number {
    return this.#hot.records
  }
  /** The batch in RAM that has `offset`, or comes next. */
  batchAt(offset: number): HotBatch | undefined {
    return this.#hot.at(offset)
  }
  /** No record in RAM expires before; Infinity when none does. */
  get expiresMin(): number {
    return this.#hot.expiresMin
  }
  get segments(): SegmentEntries {
    return this.#segments.all
  }
  /** What its batches hold of memory, those included that only a reader keeps. */
  get hotBytes(): number {
    return this.#memory.usedBytes
  }
  /** The time that expiry goes by: it never goes back. -Infinity where nothing expires. */
  get expiryTime(): number {
    return this.#ports.now?.() ?? -Infinity
  }
  /** What is remembered of producers; a table of its own from the first look on. */
  get producers(): ProducerTable {
    return (this.#producers ??= new ProducerTable([]))
  }
  set producers(table: ProducerTable) {
    this.#producers = table
  }
  get producerStates(): readonly ProducerState[] {
    return this.#producers?.states() ?? []
  }
  get visibleEnd(): number {
    if (this.#ack === 'memory') return this.#nextOffset
    const end = this.#ack === 'disk' ? Infinity : this.archivedEnd
    return Math.max(this.#visibleFloor, Math.min(end, this.#durableEnd))
  }
  /** Where readers that go on to the end come to; behind `visibleEnd` are records that are lost. */
  get readableEnd(): number {
    const { visibleEnd } = this
    return visibleEnd === this.lost?.from ? this.lost.to : visibleEnd
  }
  /** LSN that recovery must start from to have back what is only in RAM; Infinity when nothing is. */
  get firstUnflushedLsn(): number {
    return this.#hot.firstLsnFrom(this.flushedEnd)
  }

  // --- Appending -------------------------------------------------------------------------------------------------

  /** The batch that takes the next append: the open one, or a new one when it is full or of another schema. */
  openBatch(schema: Schema): HotBatch {
    const open = this.#hot.open(schema, this.#nextOffset, this.#memory.limit / BATCHES_MIN)
    if (open !== null) return open
    const { last } = this.#hot
    const previous = last?.isSealed === true ? last : null
    const batch = new HotBatch(schema, this.#nextOffset, this.#timeColumn, this.#memory, previous)
    batch.touch(this.logMemory.nextStamp())
    this.#hot.push(batch)
    return batch
  }

  /** The open batch where it takes a row of this schema as it is; null: `openBatch` has something to do. */
  batchForRow(schema: Schema | null): HotBatch | null {
    const last = this.#hot.last
    if (last === undefined || last.schema !== schema || !last.takesRow) return null
    return last.endOffset === this.#nextOffset && last.bytes * BATCHES_MIN <= this.#memory.limit
      ? last
      : null
  }

  /**
   * Begins one append's synchronous stretch, which `endStaging` ends. Getters of its records run in it, and may do
   * anything: what they do must not meet rows that are half staged, so until the stretch ends no batch is dropped.
   */
  beginStaging(): void {
    if (this.refusal !== null) throw this.refusal
    assert(!this.#isStaging, 'one append at a time is staged')
    this.#isStaging = true
  }

  endStaging(): void {
    this.#isStaging = false
  }

  /** While an append is being staged nothing is dropped. */
  get isStaging(): boolean {
    return this.#isStaging
  }

  /**
   * A batch of columns that the caller gives away, to take the next offsets; `addAdopted` makes it one of the
   * partition's. @throws BudgetExceeded
   */
  adopt(schema: Schema, columns: readonly ColumnData[], facts: AppendFacts): HotBatch {
    return HotBatch.adopt(schema, this.#nextOffset, this.#timeColumn, this.#memory, columns, facts)
  }

  /** As `adopt`, of the records of another log's batch before `end`, where they lie. */
  share(batch: HotBatch, end: number): HotBatch {
    return HotBatch.sharing(batch, end, this.#timeColumn, this.#memory)
  }

  addAdopted(batch: HotBatch): void {
    assert(batch.baseOffset === this.#nextOffset, 'an adopted batch takes the next offsets')
    this.discardStaged()
    this.sealOpenBatch()
    batch.touch(this.logMemory.nextStamp())
    this.#hot.push(batch)
  }

  /** Of a new fork: why its source has none of these offsets. */
  noteGaps(gaps: readonly CausedGap[]): void {
    for (const { start, end, cause } of gaps) this.#gaps.add(start, end, cause)
  }

  /** Forgets rows that were staged in the open batch, and the batch with them when they were to be its first. */
  discardStaged(): void {
    this.#hot.discardStaged()
  }

  /** Runs after a batch committed `count` rows. Without a WAL the rows are as durable as they get. */
  applied(count: number, hasWal: boolean): void {
    this.#nextOffset += count
    const expired = this.#hot.expiresMin
    this.#hot.grew(count)
    if (expired === Infinity && this.#hot.expiresMin < Infinity) this.#ports.onExpiring?.(this)
    if (!hasWal) this.#durableEnd = this.#nextOffset
    if (!hasWal || this.#ack === 'memory') this.#waiters.wake()
  }

  durableTo(endOffset: number): void {
    assert(endOffset <= this.#nextOffset, 'what is durable was appended')
    // Appends that the WAL still had when the log ceased to have one.
    if (endOffset <= this.#durableEnd) return
    this.#durableEnd = endOffset
    this.#waiters.wake()
  }

  takeBack(endOffset: number, lsn: number): void {
    const end = Math.max(endOffset, this.#durableEnd)
    assert(!this.#isStaging && end <= this.#nextOffset, 'what is taken back was applied')
    this.#hot.takeBack(this.#durableEnd, end, lsn)
    this.producers.takeBack(end)
    if (end < this.#nextOffset) this.takenBack.push(end)
    this.#nextOffset = end
  }

  /** Replay into RAM: leaves offsets out, which then read as a gap. Only where nothing wants them dense. */
  skipTo(offset: number, cause: GapCause = 'missing'): void {
    assert(offset >= this.#nextOffset, 'offsets are skipped forward')
    if (offset === this.#nextOffset) return
    if (cause !== 'missing') this.#gaps.add(this.#nextOffset, offset, cause)
    this.discardStaged()
    this.sealOpenBatch()
    this.#nextOffset = offset
    this.#durableEnd = offset
    this.#waiters.wake()
  }

  /**
   * Recovery of a log that was without a WAL: what begins at `offset` comes next. Nothing before it is missed where
   * nothing was there, and nothing was skipped.
   */
  continueAt(offset: number, cause: GapCause = 'missing'): void {
    const isEmpty = this.#segments.all.length === 0 && this.#hot.first === undefined
    if (isEmpty && this.#startOffset === this.#nextOffset) this.#startOffset = offset
    this.skipTo(offset, cause)
  }

  /** The log's policy changed. What readers saw they still see; offsets from here on may be dense from now on. */
  setLevel(ack: AckLevel, isDenseFromHere: boolean): void {
    this.#visibleFloor = this.visibleEnd
    this.#ack = ack
    if (isDenseFromHere) this.#denseFrom = this.#nextOffset
    this.#waiters.wake()
  }

  /** All that is there is owed to a lower tier. */
  owe(): void {
    this.sealOpenBatch()
    this.#owedEnd = this.#nextOffset
  }

  /** Whether there was one. */
  sealOpenBatch(): boolean {
    return this.#hot.sealLast()
  }

  // --- Tier moves ------------------------------------------------------------------------------------------------

  /** Sealed batches that hold offsets at or above `from` and lie wholly below `to`; each is leased to the caller. */
  leaseSealed(from: number, to: number): readonly HotBatch[] {
    return this.#hot.leaseSealed(from, to)
  }

  addSegment(segment: SegmentEntry): void {
    const isHeld = this.#hot.holds(this.flushedEnd, segment.baseOffset, this.expiryTime)
    assert(!isHeld, 'a segment leaves out nothing that is there')
    this.#segments.add(segment, this.#startOffset)
    this.#waiters.wake()
  }

  /** Whether these very bytes are one of its segments. */
  hasSegment(segment: SegmentEntry): boolean {
    return this.#segments.has(segment)
  }

  /** `segment` stands in the place of `replaced`, which it holds the records of. */
  replaceSegments(replaced: readonly SegmentEntry[], segment: SegmentEntry): void {
    const isThere = replaced.every((entry) => this.hasSegment(entry))
    assert(isThere, 'what is replaced is there')
    this.#segments.replace(replaced, segment, this.#startOffset)
  }

  setCopy(baseOffset: number, tier: 'disk' | 'object', location: Location | null): void {
    this.#segments.setCopy(baseOffset, tier, location, this.#startOffset)
    if (this.#ack === 'object') this.#waiters.wake()
  }

  /** What lies before `startOffset`, which is where a segment ends, is gone from every tier. Returns its segments. */
  retireTo(startOffset: number): readonly SegmentEntry[] {
    assert(startOffset <= this.flushedEnd, 'what is retired was flushed')
    this.#gaps.add(this.#firstOffset, startOffset, 'retired')
    this.#firstOffset = startOffset
    this.#startOffset = Math.max(this.#startOffset, startOffset)
    const retired = this.#segments.removeBelow(startOffset)
    this.dropHot(startOffset)
    return retired
  }

  /** Drops RAM copies that a lower tier has, of batches that end at or below `to`. Returns the bytes given back. */
  dropHot(to: number): number {
    if (this.#isStaging) return 0
    return this.#hot.dropBelow(Math.min(to, this.flushedEnd))
  }

  /** Drops a batch though it is the only copy: memory mode's eviction. Null while an append is being staged. */
  evict(batch: HotBatch): Eviction | null {
    return this.#reclaim(batch, () => true, 'evicted')
  }

  /**
   * Drops some runs of a batch though it is the only copy; the rest is copied to a batch in its place. Null while an
   * append is being staged, when it has none of them, and when a reader holds the batch and there is no room for the
   * copy besides it.
   */
  evictRuns(batch: HotBatch, isVictim: TermsTest): Eviction | null {
    return this.#reclaim(batch, isVictim, 'evicted')
  }

  /**
   * Drops what has expired: whole batches, and what is in the others where that is at least `shareMin` of their rows.
   */
  dropExpired(now: number, shareMin: number): readonly Eviction[] {
    if (this.#isStaging || this.#hot.expiresMin > now) return []
    const dropped: Eviction[] = []
    for (const batch of [...this.#hot.all]) {
      if (batch.expiresMin > now || expiredRows(batch, now) < shareMin * batch.length) continue
      const eviction = this.#reclaim(batch, (expiresAt) => expiresAt <= now, 'expired')
      if (eviction !== null) dropped.push(eviction)
    }
    this.#hot.measureExpiry()
    return dropped
  }

  // --- Reading ---------------------------------------------------------------------------------------------------

  /**
   * Pins `[from, to)` of what is visible and has not expired by now. To take a view counts as reading the batches that
   * it pins.
   */
  view(range: Range = { start: 0, end: Infinity }): PinnedView {
    const visible = { start: this.#startOffset, end: this.readableEnd }
    const wanted = intersectRanges(range, visible) ?? { start: visible.end, end: visible.end }
    const leases: Lease[] = []
    const below = { start: wanted.start, end: Math.min(wanted.end, this.hotStart) }
    const sources = segmentSources(this.#ports, this, this.#gaps, below, leases)
    if (wanted.start < wanted.end) {
      const now = this.#hot.expiresMin < Infinity ? this.expiryTime : -Infinity
      const held = { hot: this.#hot, gaps: this.#gaps, lost: this.lost }
      const stamp = this.logMemory.nextStamp()
      addHotSources(held, wanted, { now, stamp }, sources, leases)
    }
    const view = {
      partition: this.partition,
      startOffset: wanted.start,
      endOffset: wanted.end,
      sources,
      gaps: this.#gaps,
    }
    return { view, release: (below = Infinity) => releaseBelow(leases, below) }
  }

  /** Where the newest `count` records begin that a reader sees; Infinity: all of them. */
  newestStart(count: number): number {
    const { visibleEnd: endOffset } = this
    if (count === Infinity && this.#hot.expiresMin === Infinity) return this.#startOffset
    const held = { startOffset: this.#startOffset, endOffset, segments: this.segments }
    return newestStart({ ...held, batches: this.#hot.all, now: this.expiryTime }, count)
  }

  /** The batch in RAM and the row of a visible record that has not expired; else null. Counts as reading it. */
  find(offset: number): { readonly batch: HotBatch; readonly row: number } | null {
    if (offset >= this.visibleEnd || offset < this.#firstOffset) return null
    return this.#hot.find(offset, this)
  }

  /** The offsets below `nextOffset` that nothing holds, in order, with why. */
  gaps(): readonly CausedGap[] {
    const held = { hot: this.#hot, gaps: this.#gaps, segments: this.segments }
    return gapsWithin(held, { start: this.#firstOffset, end: this.#nextOffset }, this.expiryTime)
  }

  waitForFlush(end: number, signal?: AbortSignal): Promise<void> {
    return this.#waiters.wait(() => this.flushedEnd >= end || this.closed !== null, signal)
  }

  /** Resolves when an offset at or above `offset` is visible, on abort, or when the partition closes. */
  waitFor(offset: number, signal: AbortSignal): Promise<void> {
    return this.#waiters.wait(() => this.readableEnd > offset || this.closed !== null, signal)
  }

  /** Gives every buffer back that no reader leases, and ends every wait; appends are refused with `reason`. */
  close(reason: StratalogError = new StratalogError('engine_closed', 'The log is closed.')): void {
    if (this.closed !== null) return
    this.closed = reason
    this.refusal = reason
    for (const batch of this.#hot.all) batch.drop()
    this.#hot.clear()
    this.#waiters.wake()
  }

  #reclaim(batch: HotBatch, isVictim: TermsTest, cause: GapCause): Eviction | null {
    if (this.#isStaging) return null
    const held = { hot: this.#hot, gaps: this.#gaps, memory: this.#memory }
    const eviction = reclaimBatch(held, batch, isVictim, { cause, timeColumn: this.#timeColumn })
    if (eviction !== null && this.segments.length === 0 && this.flushedEnd <= batch.baseOffset)
      this.#startOffset = Math.max(this.#startOffset, this.hotStart)
    return eviction
  }
}
