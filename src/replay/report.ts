/** What a replay saw, what was missing and what was corrupt. Field by field what `replay --json` prints. */
import { LogHasher } from '../format/content-hash.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import { fieldIndex } from '../format/schema.ts'
import type { LogView } from '../log/log-view.ts'
import type { CorruptObject, MissingObject } from '../log/segment-damage.ts'
import { newestTime } from '../log/segment-list.ts'
import { EventTimes } from '../log/time-range.ts'
import {
  type OffsetGap,
  type PartitionReadOptions,
  readableRange,
  timeColumnOf,
} from '../log/view-reader.ts'
import { type CompactedRange, compactedIn } from './live-side.ts'
import type { ReplayPosition } from './sink.ts'

/** Where a replay can go on: by log and partition, the first offset that was not given out. */
export interface ResumePoint {
  readonly logs: readonly {
    readonly name: string
    readonly partitions: readonly (ReplayPosition & { readonly partition: number })[]
    /** What lies before these offsets and was left out, so that the last report tells of it; absent where none is. */
    readonly gaps?: readonly OffsetGap[]
  }[]
  readonly missing?: readonly MissingObject[]
  readonly corrupt?: readonly CorruptObject[]
}

export interface ReplayedLog {
  readonly name: string
  readonly records: number
  /** Stored bytes that were read. */
  readonly bytes: number
  /** Least and greatest time of the records that were given out, ISO 8601; null where there is none. */
  readonly firstTime: string | null
  readonly lastTime: string | null
  /** Of the records that were given out; see docs/formats.md. */
  readonly hash: string
  /**
   * Of the latest view of a log with a key, where the sink is an engine; null elsewhere, and where the replay ends at a
   * moment from which versions are gone that were the newest then.
   */
  readonly latestHash: string | null
  readonly gaps: readonly OffsetGap[]
  /** Offsets that hold fewer records, as older versions of keys are gone from them; left out where there are none. */
  readonly compacted?: readonly (CompactedRange & { readonly partition: number })[]
}

/** `store`: bytes of the archive; `codec`: decoding them; `sink`: whoever takes the records; `pace`: the speed. */
export type ReplayLimit = 'store' | 'codec' | 'sink' | 'pace'

export interface ReplayReport {
  readonly records: number
  readonly bytes: number
  /** The times that were asked for, ISO 8601; null where open. */
  readonly since: string | null
  readonly until: string | null
  readonly elapsedMs: number
  readonly recordsPerSecond: number
  readonly bytesPerSecond: number
  readonly logs: readonly ReplayedLog[]
  readonly missing: readonly MissingObject[]
  readonly corrupt: readonly CorruptObject[]
  /** What most of the time was spent on; null when nothing was given out. */
  readonly limitedBy: ReplayLimit | null
  readonly resumePoint: ResumePoint
}

/** Adds up one log. */
export class LogTally {
  readonly view: LogView
  records = 0
  bytes = 0
  readonly #hasher: LogHasher
  readonly #times: EventTimes
  readonly #gaps: OffsetGap[] = []
  readonly #range: Pick<PartitionReadOptions, 'from' | 'to'>

  constructor(view: LogView, range: Pick<PartitionReadOptions, 'from' | 'to'>) {
    this.#range = range
    this.view = view
    this.#hasher = new LogHasher(view.schema)
    this.#times = new EventTimes(view.schema, fieldIndex(view.schema, timeColumnOf(view)))
  }

  add(partition: number, batch: RecordBatch): void {
    this.#hasher.add(partition, batch)
    const times = batch.columns[this.#times.index]
    if (times !== undefined) this.#times.addColumn(times)
    this.records += batch.length
  }

  addBytes(storedBytes: number): void {
    this.bytes += storedBytes
  }

  get gaps(): readonly OffsetGap[] {
    return this.#gaps
  }

  addGap(gap: OffsetGap): void {
    this.#gaps.push(gap)
  }

  #compacted(): NonNullable<ReplayedLog['compacted']> {
    return this.view.partitions.flatMap(({ partition, sources, ...held }) => {
      const { start, end } = readableRange({ partition, sources, ...held }, this.#range)
      return compactedIn(sources)
        .filter(({ from, to }) => from < end && to > start)
        .map((range) => ({ partition, ...range }))
    })
  }

  /** Whether what was given out is the state at its end: no newest version of a key went for one that came later. */
  isStateTold(until: number | undefined): boolean {
    return this.view.partitions.every((held) => {
      const { end } = readableRange(held, this.#range)
      const touched = compactedIn(held.sources).filter(({ from }) => from < end)
      const latestTo = Math.max(0, ...touched.map((range) => range.latestTo))
      if (latestTo > end || until === undefined) return latestTo <= end
      return held.sources.every(
        (source) =>
          source.tier === 'memory' || source.from >= latestTo || newestTime(source.segment) < until,
      )
    })
  }

  result(latestHash: string | null): ReplayedLog {
    const gaps = this.#gaps.toSorted((a, b) => a.partition - b.partition || a.from - b.from)
    const { min, max } = this.#times.range
    const compacted = this.#compacted()
    return {
      name: this.view.definition.name,
      records: this.records,
      bytes: this.bytes,
      firstTime: min > max ? null : isoTime(min),
      lastTime: min > max ? null : isoTime(max),
      hash: this.#hasher.digestHex(),
      latestHash,
      gaps,
      ...(compacted.length === 0 ? {} : { compacted }),
    }
  }
}

/** Null for what no calendar of JavaScript can say. */
export function isoTime(ms: number | undefined): string | null {
  if (ms === undefined) return null
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? null : date.toISOString()
}
