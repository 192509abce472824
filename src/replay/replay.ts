/**
 * Streams history out of any source of views: an archive, a snapshot, a live engine.
 *
 * The order: within a partition, batches come by offset, each record once. Across partitions and logs they are merged
 * by the time of each batch's first record: of all partitions the one whose next batch begins earliest goes first.
 * Batches are cut to MERGE_ROWS_MAX rows when more than one partition is replayed, so two records of different
 * partitions are out of time order by no more than the time that such a batch spans. Equal times keep the order of
 * logs, then partitions. The same source and options give the same sequence.
 *
 * Memory: one block per partition whose history overlaps the present moment of the replay, and two requests of
 * READ_BYTES_TOTAL divided among all partitions. Gaps and damages do not end a replay; they are in its report.
 */
import type { Clock } from '../base/clock.ts'
import { StratalogError, throwIfAborted } from '../base/errors.ts'
import type { LogView, SegmentSource } from '../log/log-view.ts'
import { DamageList } from '../log/segment-damage.ts'
import type { PartitionReadOptions } from '../log/view-reader.ts'
import { MERGE_ROWS_MAX, ReplayCursor, type TakenBatch } from './cursor.ts'
import { MergeQueue } from './merge-queue.ts'
import { Pace, type ReplaySpeed } from './pace.ts'
import { LogTally, type ReplayReport, type ResumePoint } from './report.ts'
import type { ReplaySink } from './sink.ts'

/** What a replay reads: `Archive` is one. */
export interface ReplaySource {
  /** Views of the named logs, of all when none are named. The replay releases them. @throws `log_not_found`. */
  views(names?: readonly string[]): readonly LogView[]
}

export interface ReplayProgress {
  readonly records: number
  readonly bytes: number
  /** Records that the offsets promise; those outside `since` and `until` count too. */
  readonly recordsTotal: number
  /** Where a later replay would go on. */
  resumePoint(): ResumePoint
}

export interface ReplayOptions {
  readonly logs?: readonly string[] | undefined
  /** ms. */
  readonly since?: number | undefined
  readonly until?: number | undefined
  /** Offsets, of one log with one partition. */
  readonly from?: number | undefined
  readonly to?: number | undefined
  readonly speed?: ReplaySpeed | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: ReplayProgress) => void) | undefined
  /**
   * From the report or the progress of an earlier replay with the same options. The hash covers
   * what this one gives.
   */
  readonly resumePoint?: ResumePoint | undefined
}

/** Stored bytes under way at most, over all partitions, in each of the two requests of a partition. */
const READ_BYTES_TOTAL = 64 * 1024 * 1024
const READ_BYTES_MIN = 256 * 1024
const READ_BYTES_MAX = 4 * 1024 * 1024

/**
 * @throws StratalogError `log_not_found`, `argument_invalid`, `aborted`, what the sink throws, and what the source
 * throws when it is away; never for damage.
 */
export async function replay(
  source: ReplaySource,
  sink: ReplaySink,
  options: ReplayOptions,
  ports: { readonly clock: Clock },
): Promise<ReplayReport> {
  const views = source.views(options.logs)
  const run = new ReplayRun(views, sink, options, ports.clock)
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
  readonly #sink: ReplaySink
  readonly #options: ReplayOptions
  readonly #clock: Clock
  readonly #pace: Pace
  readonly #logs: readonly ReplayingLog[]
  readonly #tallies: ReadonlyMap<LogView, LogTally>
  readonly #damages = new DamageList()
  readonly #recordsTotal: number
  #records = 0
  #bytes = 0
  readonly #waitedMs = { source: 0, sink: 0, pace: 0 }

  constructor(views: readonly LogView[], sink: ReplaySink, options: ReplayOptions, clock: Clock) {
    this.#sink = sink
    this.#options = options
    this.#clock = clock
    this.#pace = new Pace(options.speed ?? 'max')
    const partitionCount = views.reduce((sum, view) => sum + view.partitions.length, 0)
    checkOffsets(options, partitionCount)
    this.#logs = views.map((view, index) => {
      const tally = new LogTally(view)
      return { tally, cursors: this.#cursorsOf(tally, index, partitionCount) }
    })
    this.#tallies = new Map(this.#logs.map(({ tally }) => [tally.view, tally]))
    this.#recordsTotal = this.#cursors().reduce((sum, cursor) => sum + cursor.total, 0)
  }

  async run(): Promise<ReplayReport> {
    const startedMs = this.#clock.monotonic()
    for (const { tally, cursors } of this.#logs) {
      const { definition, schemas } = tally.view
      await this.#sink.begin({
        definition,
        schemas,
        startOffsets: cursors.map((cursor) => cursor.nextOffset),
      })
    }
    await this.#merge()
    await this.#sink.end()
    return {
      records: this.#records,
      bytes: this.#bytes,
      since: isoTime(this.#options.since),
      until: isoTime(this.#options.until),
      elapsedMs: Math.round(this.#clock.monotonic() - startedMs),
      logs: this.#logs.map(({ tally }) => tally.result()),
      missing: this.#damages.missing,
      corrupt: this.#damages.corrupt,
      limitedBy: this.#limitedBy(),
      resumePoint: this.#resumePoint(),
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#cursors().map((cursor) => cursor.close()))
  }

  async #merge(): Promise<void> {
    const queue = new MergeQueue<ReplayCursor>()
    for (const cursor of this.#cursors()) queue.push(cursor)
    for (let cursor = queue.pop(); cursor !== undefined; cursor = queue.pop()) {
      throwIfAborted(this.#options.signal)
      const taken = cursor.take()
      const advancing = cursor.advance()
      advancing.catch(() => {})
      if (taken !== null) await this.#give(cursor, taken)
      if (await this.#timed('source', advancing)) queue.push(cursor)
      else cursor.finished()
    }
  }

  async #give(cursor: ReplayCursor, taken: TakenBatch): Promise<void> {
    const { batch, storedBytes } = taken
    const delayMs = this.#pace.delayBefore(taken.time, this.#clock.monotonic())
    if (delayMs > 0) await this.#timed('pace', this.#clock.sleep(delayMs, this.#options.signal))
    await this.#timed('sink', this.#sink.append(cursor.view.definition, cursor.partition, batch))
    this.#tallies.get(cursor.view)?.add(cursor.partition, batch, storedBytes)
    cursor.given(batch)
    this.#records += batch.length
    this.#bytes += storedBytes
    this.#options.onProgress?.({
      records: this.#records,
      bytes: this.#bytes,
      recordsTotal: this.#recordsTotal,
      resumePoint: () => this.#resumePoint(),
    })
  }

  #cursorsOf(tally: LogTally, index: number, partitionCount: number): readonly ReplayCursor[] {
    const { view } = tally
    const rowsMax = partitionCount > 1 ? MERGE_ROWS_MAX : Infinity
    const resumed = this.#options.resumePoint?.logs.find((log) => log.name === view.definition.name)
    return view.partitions.map((partition, position) => {
      const from = resumed?.partitions.find(
        (entry) => entry.partition === partition.partition,
      )?.offset
      const readOptions = this.#readOptions(tally, partition.partition, from, partitionCount)
      const order = index * 2 ** 20 + position
      return new ReplayCursor(view, partition, readOptions, { order, rowsMax })
    })
  }

  #readOptions(
    tally: LogTally,
    partition: number,
    from: number | undefined,
    partitionCount: number,
  ): PartitionReadOptions {
    const { since, until, to, signal } = this.#options
    const { name } = tally.view.definition
    const share = Math.floor(READ_BYTES_TOTAL / partitionCount)
    return {
      from: from ?? this.#options.from,
      to,
      since,
      until,
      signal,
      readBytesMax: Math.min(READ_BYTES_MAX, Math.max(READ_BYTES_MIN, share)),
      onGap: (gap) => tally.addGap(gap),
      onDamage: (source, damage) => this.#damages.add(keyOf(source), name, partition, damage),
    }
  }

  #cursors(): readonly ReplayCursor[] {
    return this.#logs.flatMap(({ cursors }) => cursors)
  }

  #resumePoint(): ResumePoint {
    return {
      logs: this.#logs.map(({ tally, cursors }) => ({
        name: tally.view.definition.name,
        partitions: cursors.map(({ partition, nextOffset }) => ({ partition, offset: nextOffset })),
      })),
    }
  }

  #limitedBy(): ReplayReport['limitedBy'] {
    if (this.#records === 0) return null
    const { source, sink, pace } = this.#waitedMs
    if (pace > source && pace > sink) return 'pace'
    return sink > source ? 'sink' : 'source'
  }

  async #timed<T>(what: 'source' | 'sink' | 'pace', waiting: Promise<T>): Promise<T> {
    const startedMs = this.#clock.monotonic()
    try {
      return await waiting
    } finally {
      this.#waitedMs[what] += this.#clock.monotonic() - startedMs
    }
  }
}

function checkOffsets({ from, to }: ReplayOptions, partitionCount: number): void {
  if ((from === undefined && to === undefined) || partitionCount <= 1) return
  throw new StratalogError(
    'argument_invalid',
    `from and to are offsets of one partition, and ${partitionCount} would be replayed; name one log with one partition, or use since and until.`,
    { details: { from, to, partitions: partitionCount } },
  )
}

/** The key of an object, or the name of a file: what a report calls a copy. */
export function keyOf(source: SegmentSource): string {
  return source.segment[source.tier]?.object ?? ''
}

function isoTime(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString()
}
