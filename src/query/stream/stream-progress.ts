/**
 * How far a continuous query has come: what was read of each partition, which windows are closed, which records came
 * too late. It holds no records: the rows of a window are those of the log between the first offset of the query and
 * `next`, less the late ones. Pure.
 *
 * - `horizon`: windows that end at or before it were given. `watermark`: those that end at or before it may be given.
 * - A record is late when a window that it lies in had closed before it was read, in the order of reading: within a
 *   partition that is the order of offsets, wherever batches end.
 * - A late record that may change what was given is listed as what it changes: a window's start, or of a session, which
 *   has none yet, its own time. It may join an open session to records that were let go of, which are needed again.
 * - Between two emissions the late records of windows that are due are listed; a full list makes an emission due.
 */
import { present } from '../../base/assert.ts'
import { StratalogError } from '../../base/errors.ts'
import { OpenOffsets } from './open-offsets.ts'
import type { LateRecord, StreamResumePoint, ResumedPartition } from './resume-point.ts'
import { Watermark } from './watermark.ts'
import { type WindowSpec, endsWithin, isLate, lastEnd, startsEndingBy } from './window-spec.ts'

export interface PartitionProgress {
  readonly start: number
  next: number
  emitted: number
  readonly open: OpenOffsets
}

export interface ProgressOptions {
  readonly spec: WindowSpec
  readonly latenessMs: number
  /** Whether late records change windows that were given, instead of being left out. */
  readonly isUpdating: boolean
  /** Records before this time are none of the query's. */
  readonly since: number
  /** Late records and changed windows that are kept. */
  readonly lateMax: number
}

/** What became of a batch. */
export interface Taken {
  /** The first rows of it; less than all when the list of late records is full. */
  readonly rows: number
  /** Those of them that came too late. */
  readonly late: readonly number[]
}

export class StreamProgress {
  readonly partitions: readonly PartitionProgress[]
  readonly watermark: Watermark
  readonly #options: ProgressOptions
  #horizon: number
  #sessionFrom: number
  #late: LateRecord[]
  readonly #changed: Set<number>
  #counts: { records: number; late: number }
  #isEnding: boolean

  /** @param starts the first offset by partition. */
  static begin(options: ProgressOptions, starts: readonly number[]): StreamProgress {
    return new StreamProgress(options, {
      partitions: starts.map((start, partition) => ({
        partition,
        start,
        next: start,
        emitted: start,
        openFrom: start,
        time: null,
      })),
      horizon: null,
      watermark: null,
      sessionFrom: null,
      late: [],
      changed: [],
      counts: { records: 0, late: 0 },
      isEnding: false,
    })
  }

  static resume(options: ProgressOptions, point: StreamResumePoint): StreamProgress {
    return new StreamProgress(options, point)
  }

  private constructor(
    options: ProgressOptions,
    state: Omit<StreamResumePoint, 'version' | 'log' | 'logId' | 'sql' | 'given'>,
  ) {
    this.#options = options
    const times = state.partitions.map(({ time }) => time ?? -Infinity)
    this.partitions = state.partitions.map(({ start, next, emitted, openFrom, time }) => {
      const open = new OpenOffsets()
      // How old each of these records is, is not known any more.
      if (openFrom < next) open.add(openFrom, time ?? -Infinity)
      return { start, next, emitted, open }
    })
    this.watermark = new Watermark(options.latenessMs, times, state.watermark ?? -Infinity)
    this.#horizon = state.horizon ?? -Infinity
    this.#sessionFrom = state.sessionFrom ?? -Infinity
    this.#late = [...state.late]
    this.#changed = new Set(state.changed)
    this.#counts = { ...state.counts }
    this.#isEnding = state.isEnding
  }

  get horizon(): number {
    return this.#horizon
  }

  /** Windows that end at or before this are due. */
  get dueHorizon(): number {
    return this.#isEnding ? Infinity : this.watermark.value
  }

  get sessionFrom(): number {
    return this.#sessionFrom
  }

  get late(): readonly LateRecord[] {
    return this.#late
  }

  /** Starts of given windows that late records change, of sessions the times of these records; ascending. */
  get changed(): readonly number[] {
    return [...this.#changed].sort((a, b) => a - b)
  }

  get counts(): { readonly records: number; readonly late: number } {
    return this.#counts
  }

  get isEnding(): boolean {
    return this.#isEnding
  }

  /** Whether the list of late records has no room, so that what is due has to be given before more is read. */
  get isFull(): boolean {
    return this.#late.length + this.#changed.size >= this.#options.lateMax
  }

  get hasNews(): boolean {
    return this.partitions.some(({ next, emitted }) => next > emitted)
  }

  /** Whether a window may be due: one that closed, or a given one that a late record changes. */
  get hasDueWindows(): boolean {
    return this.#changed.size > 0 || endsWithin(this.#options.spec, this.#horizon, this.dueHorizon)
  }

  get bytes(): number {
    const open = this.partitions.reduce((sum, partition) => sum + partition.open.bytes, 0)
    return open + this.#late.length * 64 + this.#changed.size * 32
  }

  /** Takes the records of a partition from offset `baseOffset` on, with these times; NaN for one without. */
  take(number: number, baseOffset: number, times: Float64Array): Taken {
    const { spec, latenessMs, since } = this.#options
    const { watermark } = this
    watermark.setIdle(number, false)
    const beside = watermark.leastBeside(number)
    let newest = watermark.timeOf(number)
    let horizon = watermark.value
    let timeMax = -Infinity
    let row = 0
    const late: number[] = []
    for (; row < times.length; row++) {
      const time = times[row] ?? Number.NaN
      if (!(time >= since)) continue
      if (time > newest) {
        newest = time
        horizon = Math.max(horizon, Math.min(beside, time) - latenessMs)
      }
      if (time > timeMax) timeMax = time
      if (time >= horizon || !isLate(spec, time, horizon)) continue
      if (this.isFull) break
      late.push(row)
      this.#noteLate({ partition: number, offset: baseOffset + row, time, horizon })
    }
    watermark.observe(number, newest)
    const partition = this.#partition(number)
    if (timeMax > -Infinity) partition.open.add(baseOffset, timeMax)
    partition.next = baseOffset + row
    this.#counts.records += row
    this.#counts.late += late.length
    return { rows: row, late }
  }

  /** There is nothing to read below `offset`. */
  skipTo(number: number, offset: number): void {
    const partition = this.#partition(number)
    partition.next = Math.max(partition.next, offset)
  }

  /** Nothing more will be read: every window is due. */
  end(): void {
    this.#isEnding = true
  }

  /**
   * Everything due was given. `sessionFrom` is where the oldest open session begins, of sessions.
   * @throws StratalogError `query_limit` when the late records of open sessions are too many.
   */
  settle(sessionFrom: number): void {
    const { spec } = this.#options
    const isSession = spec.kind === 'session'
    this.#isEnding = false
    this.#horizon = this.watermark.value
    if (isSession) this.#setSessionFrom(sessionFrom)
    this.#late = isSession ? this.#late.filter(({ time }) => time >= this.#sessionFrom) : []
    this.#changed.clear()
    for (const partition of this.partitions) {
      partition.emitted = partition.next
      partition.open.prune((timeMax) =>
        isSession ? timeMax >= this.#sessionFrom : lastEnd(spec, timeMax) > this.#horizon,
      )
    }
    if (!this.isFull) return
    const { lateMax } = this.#options
    throw new StratalogError(
      'query_limit',
      `More than ${lateMax} late records lie within open sessions.`,
      { details: { lateMax } },
    )
  }

  state(): Omit<StreamResumePoint, 'version' | 'log' | 'logId' | 'sql' | 'given'> {
    return {
      partitions: this.partitions.map(({ start, next, emitted, open }, partition) => {
        const entry = { partition, start, next, emitted, openFrom: open.first(next) }
        return {
          ...entry,
          time: finite(this.watermark.timeOf(partition)),
        } satisfies ResumedPartition
      }),
      horizon: finite(this.#horizon),
      watermark: finite(this.watermark.value),
      sessionFrom: finite(this.#sessionFrom),
      late: this.#late,
      changed: this.changed,
      counts: { ...this.#counts },
      isEnding: this.#isEnding,
    }
  }

  /** A late record may have joined a session that is open to older ones, whose records are needed again. */
  #setSessionFrom(sessionFrom: number): void {
    const former = this.#sessionFrom
    this.#sessionFrom = this.#options.isUpdating ? sessionFrom : Math.max(former, sessionFrom)
    if (this.#sessionFrom >= former) return
    for (const { open, start } of this.partitions) open.reopen(start, former)
  }

  #noteLate(record: LateRecord): void {
    const { spec, isUpdating } = this.#options
    const { time, horizon } = record
    if (spec.kind === 'session') {
      // One that is not older than what was given is in a session that is still to be given.
      if (isUpdating && time < this.#horizon) this.#changed.add(time)
      // Older records are not looked at any more.
      if (!isUpdating && time >= this.#sessionFrom) this.#late.push(record)
      return
    }
    if (isUpdating) {
      // Windows that have closed since are given with it.
      for (const start of startsEndingBy(spec, time, this.#horizon)) this.#changed.add(start)
      return
    }
    // In windows that were given already, nothing has to be left out.
    const closed = [...startsEndingBy(spec, time, horizon)].at(-1) ?? -Infinity
    if (closed + spec.sizeMs > this.#horizon) this.#late.push(record)
  }

  #partition(number: number): PartitionProgress {
    return present(this.partitions[number], 'a partition of the log')
  }
}

function finite(time: number): number | null {
  return Number.isFinite(time) ? time : null
}
