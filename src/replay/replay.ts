/**
 * Streams history out of any source of views: an archive, a snapshot, a live engine.
 *
 * The order: within a partition, batches come by offset, each record once. Across partitions and logs they are merged
 * by the time of each batch's first record: of all partitions the one whose next batch begins earliest goes first.
 * Batches are cut to MERGE_ROWS_MAX rows when more than one partition is replayed, so two records of different
 * partitions are out of time order by no more than the time that such a batch spans. Equal times keep the order of
 * logs, then partitions. The same source and options give the same sequence.
 *
 * Memory: one block per partition whose history overlaps the present moment of the replay, and some requests of each
 * under way, of READ_BYTES_TOTAL divided among all partitions. Where that would be more than HELD_BYTES_MAX, the
 * partitions whose turn comes last let go of theirs and read it again. Gaps and damages do not end a replay; they are
 * in its report.
 */
import type { Clock } from '../base/clock.ts'
import { throwIfAborted } from '../base/errors.ts'
import { SpentTime } from '../base/spent-time.ts'
import { type RecordBatch, endOffset } from '../format/record-batch.ts'
import type { LogView, PartitionView, SegmentSource } from '../log/log-view.ts'
import { DamageList, type SegmentDamage } from '../log/segment-damage.ts'
import { type PartitionReadOptions, readableRange } from '../log/view-reader.ts'
import { MERGE_ROWS_MAX, ReplayCursor, type TakenBatch } from './cursor.ts'
import { compactedIn } from './live-side.ts'
import { MergeQueue } from './merge-queue.ts'
import { Pace } from './pace.ts'
import { ReadMeter } from './read-meter.ts'
import { wantedRuns } from './record-filter.ts'
import {
  type ReplayOptions,
  type ReplayProgress,
  checkPartitionCount,
  checkReplayOptions,
} from './replay-options.ts'
import { leftOutBefore, resumePointOf } from './resume-point.ts'
import {
  LogTally,
  type ReplayLimit,
  type ReplayReport,
  type ReplayedLog,
  type ResumePoint,
  isoTime,
} from './report.ts'
import type { ReplayPosition, ReplaySink, SinkStart } from './sink.ts'

export type { ReplayOptions, ReplayProgress } from './replay-options.ts'

/** What a replay reads: `Archive` is one. */
export interface ReplaySource {
  /** Views of the named logs, of all when none are named. The replay releases them. @throws `log_not_found`. */
  views(names?: readonly string[]): readonly LogView[]
}

/** Stored bytes under way at most, over all partitions, in each of the requests of a partition. */
const READ_BYTES_TOTAL = 64 * 1024 * 1024
const READ_BYTES_MIN = 256 * 1024
const READ_BYTES_MAX = 4 * 1024 * 1024

/** Requests of a partition beside the one that is decoded: a store gives more to several than to one. */
const READ_AHEAD = 3

/** Blocks and reads of all partitions together; more only where a single partition needs more. */
export const HELD_BYTES_MAX: number = 256 * 1024 * 1024

/** Partitions of one log at most, for an order of all partitions. */
const PARTITIONS_MAX = 2 ** 20

/**
 * @throws StratalogError `log_not_found`, `argument_invalid`, `aborted`, what the sink throws, and what the source
 * throws when it is away; never for damage.
 */
export async function replay(
  source: ReplaySource,
  sink: ReplaySink,
  options: ReplayOptions,
  ports: { readonly clock: Clock; readonly heldBytesMax?: number },
): Promise<ReplayReport> {
  checkReplayOptions(options)
  const pace = new Pace(options.speed ?? 'max')
  const views = source.views(options.logs === undefined ? undefined : [...new Set(options.logs)])
  const run = new ReplayRun(views, sink, options, pace, ports)
  try {
    return await run.run()
  } finally {
    await run.close()
    for (const view of views) view.release()
  }
}

interface ReplayingLog {
  readonly tally: LogTally
  readonly cursors: readonly ReplayCursor[]
}

class ReplayRun {
  readonly #views: readonly LogView[]
  readonly #sink: ReplaySink
  readonly #options: ReplayOptions
  readonly #clock: Clock
  readonly #heldBytesMax: number
  readonly #pace: Pace
  readonly #meter: ReadMeter
  readonly #partitionCount: number
  readonly #logs: ReplayingLog[] = []
  readonly #tallies = new Map<string, LogTally>()
  readonly #damages = new DamageList()
  readonly #knownDamages = new Set<string>()
  readonly #spent: SpentTime<ReplayLimit>
  #startedMs = 0
  #records = 0
  #bytes = 0
  #passed = 0
  #recordsTotal = 0
  #heldBytes = 0

  constructor(
    views: readonly LogView[],
    sink: ReplaySink,
    options: ReplayOptions,
    pace: Pace,
    {
      clock,
      heldBytesMax = HELD_BYTES_MAX,
    }: { readonly clock: Clock; readonly heldBytesMax?: number },
  ) {
    this.#views = views
    this.#sink = sink
    this.#options = options
    this.#clock = clock
    this.#spent = new SpentTime(clock)
    this.#heldBytesMax = heldBytesMax
    this.#pace = pace
    this.#meter = new ReadMeter(clock)
    this.#partitionCount = views.reduce((sum, view) => sum + view.partitions.length, 0)
    checkPartitionCount(options, this.#partitionCount)
  }

  async run(): Promise<ReplayReport> {
    this.#startedMs = this.#clock.monotonic()
    for (const [index, view] of this.#views.entries()) await this.#begin(view, index)
    this.#recordsTotal = this.#cursors().reduce((sum, cursor) => sum + cursor.total, 0)
    await this.#merge()
    await this.#spent.during('sink', () => this.#sink.end())
    const elapsedMs = Math.round(this.#elapsedMs())
    const logs: ReplayedLog[] = []
    for (const { tally } of this.#logs) logs.push(tally.result(await this.#latestHash(tally)))
    return {
      records: this.#records,
      bytes: this.#bytes,
      since: isoTime(this.#options.since),
      until: isoTime(this.#options.until),
      elapsedMs,
      recordsPerSecond: perSecond(this.#records, elapsedMs),
      bytesPerSecond: perSecond(this.#bytes, elapsedMs),
      logs,
      missing: this.#damages.missing,
      corrupt: this.#damages.corrupt,
      limitedBy: this.#records === 0 ? null : this.#spent.most,
      resumePoint: this.#resumePoint(),
    }
  }

  async #latestHash(tally: LogTally): Promise<string | null> {
    if (!tally.isStateTold(this.#options.until)) return null
    const { view } = tally
    return (await this.#sink.latestHash?.(view.definition, this.#options.signal)) ?? null
  }

  async close(): Promise<void> {
    await Promise.all(this.#cursors().map((cursor) => cursor.close()))
  }

  async #begin(view: LogView, index: number): Promise<void> {
    const { definition, schemas } = view
    const resumedAt = this.#resumedAt(view)
    const { from, to } = this.#options
    const starts = await this.#sink.begin({
      definition,
      schemas,
      startOffsets: view.partitions.map(
        (partition) => readableRange(partition, { from, to }).start,
      ),
      compacted: view.partitions.flatMap((held) => {
        const { start, end } = readableRange(held, { from, to })
        return compactedIn(held.sources)
          .map((range) => ({ ...range, to: Math.min(range.to, end) }))
          .filter((range) => range.to > Math.max(range.from, start))
          .map((range) => ({ partition: held.partition, ...range }))
      }),
      resumedAt,
    })
    const tally = new LogTally(view, this.#options)
    this.#tallies.set(definition.name, tally)
    this.#logs.push({ tally, cursors: this.#cursorsOf(view, tally, index, resumedAt, starts) })
  }

  async #merge(): Promise<void> {
    const queue = new MergeQueue<ReplayCursor>()
    for (const cursor of this.#cursors()) queue.push(cursor)
    for (let cursor = queue.pop(); cursor !== undefined; cursor = queue.pop()) {
      throwIfAborted(this.#options.signal)
      const heldBefore = cursor.heldBytes
      const taken = cursor.take()
      const calledMs = this.#clock.monotonic()
      const advancing = cursor.advance()
      advancing.catch(() => {})
      this.#spent.add('codec', this.#clock.monotonic() - calledMs)
      if (taken !== null) await this.#give(cursor, taken)
      if (await this.#read(advancing)) queue.push(cursor)
      else await this.#finish(cursor)
      this.#heldBytes += cursor.heldBytes - heldBefore
      await this.#parkExcess(queue)
    }
  }

  async #finish(cursor: ReplayCursor): Promise<void> {
    const { passed } = cursor
    cursor.finished()
    this.#passed += cursor.passed - passed
    await cursor.close()
  }

  /** What is needed last is let go of first; what is needed next stays. */
  async #parkExcess(queue: MergeQueue<ReplayCursor>): Promise<void> {
    while (this.#heldBytes > this.#heldBytesMax && queue.size > 1) {
      const next = queue.first
      const latest = queue.last((cursor) => cursor !== next && cursor.heldBytes > 0)
      if (latest === undefined) return
      this.#heldBytes -= latest.heldBytes
      await latest.park()
    }
  }

  async #give(cursor: ReplayCursor, taken: TakenBatch): Promise<void> {
    const { batch, storedBytes, time } = taken
    const { passed } = cursor
    const delayMs = this.#pace.delayBefore(time, this.#clock.monotonic())
    if (delayMs > 0)
      await this.#spent.during('pace', () => this.#clock.sleep(delayMs, this.#options.signal))
    const tally = this.#tallies.get(cursor.view.definition.name)
    for (const run of this.#runs(cursor, batch)) {
      const wanted = cursor.withoutHeld(run)
      if (wanted === null) continue
      await this.#step(cursor, wanted, time)
      await this.#spent.during('sink', () =>
        this.#sink.append(cursor.view.definition, cursor.partition, wanted),
      )
      tally?.add(cursor.partition, wanted)
      this.#records += wanted.length
      cursor.given(endOffset(wanted), wanted.length)
    }
    cursor.given(endOffset(batch), 0)
    this.#passed += cursor.passed - passed
    this.#bytes += storedBytes
    tally?.addBytes(storedBytes)
    this.#options.onProgress?.(this.#progress())
  }

  #runs(cursor: ReplayCursor, batch: RecordBatch): Iterable<RecordBatch> {
    const { filter } = this.#options
    return filter === undefined ? [batch] : wantedRuns(cursor.view.definition.name, batch, filter)
  }

  async #step(
    cursor: ReplayCursor,
    { baseOffset, length }: RecordBatch,
    time: number,
  ): Promise<void> {
    const { step } = this.#options
    if (step === undefined) return
    const { name } = cursor.view.definition
    const next = {
      log: name,
      partition: cursor.partition,
      offset: baseOffset,
      records: length,
      time,
    }
    await this.#spent.during('pace', () => step(next))
    throwIfAborted(this.#options.signal)
  }

  #cursorsOf(
    view: LogView,
    tally: LogTally,
    index: number,
    resumedAt: readonly ReplayPosition[] | null,
    starts: readonly SinkStart[] | null,
  ): readonly ReplayCursor[] {
    const watched = this.#meter.watch(view)
    return watched.partitions.map((partition, position) => {
      const start = starts?.[position] ?? resumedAt?.[position]
      if (start !== undefined) this.#recall(tally, partition.partition, start.offset)
      const { heldTo, heldBetween } = starts?.[position] ?? { heldTo: 0, heldBetween: 0 }
      if (start !== undefined) this.#tellRetired(tally, partition, Math.max(start.offset, heldTo))
      const options = this.#readOptions(tally, partition.partition, start?.offset)
      return new ReplayCursor(watched, partition, options, {
        order: index * PARTITIONS_MAX + position,
        rowsMax: this.#rowsMax(),
        heldTo,
        heldBetween,
        records: start?.records ?? 0,
      })
    })
  }

  /** What the replays that went before left out. */
  #recall(tally: LogTally, partition: number, offset: number): void {
    const { resumePoint } = this.#options
    if (resumePoint === undefined) return
    const before = leftOutBefore(resumePoint, tally.view.definition.name, partition, offset)
    for (const gap of before.gaps) tally.addGap(gap)
    this.#damages.missing.push(...before.missing)
    this.#damages.corrupt.push(...before.corrupt)
  }

  /** What went from the archive between two replays was in neither. */
  #tellRetired(tally: LogTally, { partition, startOffset }: PartitionView, reached: number): void {
    const to = Math.min(startOffset, this.#options.to ?? Infinity)
    if (reached < to) tally.addGap({ partition, from: reached, to, cause: 'retired' })
  }

  #rowsMax(): number {
    if (this.#options.speed === 'stepped') return this.#options.stepRecords ?? 1
    return this.#partitionCount > 1 ? MERGE_ROWS_MAX : Infinity
  }

  #resumedAt(view: LogView): readonly ReplayPosition[] | null {
    const { resumePoint } = this.#options
    if (resumePoint === undefined) return null
    const log = resumePoint.logs.find(({ name }) => name === view.definition.name)
    const { from, to } = this.#options
    return view.partitions.map((partition) => {
      const found = log?.partitions.find((entry) => entry.partition === partition.partition)
      return found ?? { offset: readableRange(partition, { from, to }).start, records: 0 }
    })
  }

  #readOptions(tally: LogTally, partition: number, from: number | undefined): PartitionReadOptions {
    const { since, until, to, signal } = this.#options
    const share = Math.floor(READ_BYTES_TOTAL / this.#partitionCount)
    return {
      from: from ?? this.#options.from,
      to,
      since,
      until,
      signal,
      readAhead: READ_AHEAD,
      readBytesMax: Math.min(READ_BYTES_MAX, Math.max(READ_BYTES_MIN, share)),
      onGap: (gap) => tally.addGap(gap),
      onDamage: (source, damage) => this.#addDamage(source, tally, partition, damage),
    }
  }

  /** A segment that is read again tells its damage again. */
  #addDamage(
    source: SegmentSource,
    { view }: LogTally,
    partition: number,
    damage: SegmentDamage,
  ): void {
    const { name } = view.definition
    const key = keyOf(source)
    const { kind, position, to } = damage
    this.#sink.damaged?.(view.definition, partition, damage.from, to)
    // Segments of several partitions lie in one pack.
    const id = JSON.stringify([name, partition, key, source.from, kind, position, to])
    if (this.#knownDamages.has(id)) return
    this.#knownDamages.add(id)
    this.#damages.add(key, name, partition, damage)
  }

  #cursors(): readonly ReplayCursor[] {
    return this.#logs.flatMap(({ cursors }) => cursors)
  }

  #progress(): ReplayProgress {
    const elapsedMs = this.#elapsedMs()
    const left = this.#recordsTotal - this.#passed
    return {
      records: this.#records,
      bytes: this.#bytes,
      recordsPassed: this.#passed,
      recordsTotal: this.#recordsTotal,
      elapsedMs: Math.round(elapsedMs),
      recordsPerSecond: perSecond(this.#records, elapsedMs),
      remainingMs: this.#passed === 0 ? null : Math.round((elapsedMs / this.#passed) * left),
      resumePoint: () => this.#resumePoint(),
    }
  }

  #resumePoint(): ResumePoint {
    return resumePointOf(
      this.#logs.map(({ tally, cursors }) => ({
        name: tally.view.definition.name,
        partitions: cursors.map(({ partition, position }) => ({ partition, ...position })),
        gaps: tally.gaps,
      })),
      this.#damages,
    )
  }

  #elapsedMs(): number {
    return this.#clock.monotonic() - this.#startedMs
  }

  /** Waits for the next block: for its bytes until the last of them came, and after that for its decoding. */
  async #read(advancing: Promise<boolean>): Promise<boolean> {
    const startedMs = this.#clock.monotonic()
    const isMore = await advancing
    const endedMs = this.#clock.monotonic()
    const readMs = Math.min(Math.max(this.#meter.lastReadMs, startedMs), endedMs)
    this.#spent.add('store', readMs - startedMs)
    this.#spent.add('codec', endedMs - readMs)
    return isMore
  }
}

/** The key of an object, or the name of a file: what a report calls a copy. */
export function keyOf(source: SegmentSource): string {
  return source.segment[source.tier]?.object ?? ''
}

function perSecond(count: number, elapsedMs: number): number {
  return Math.round((count * 1000) / Math.max(1, elapsedMs))
}
