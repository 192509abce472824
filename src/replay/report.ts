/** What a replay saw, what was missing and what was corrupt. Field by field what `replay --json` prints. */
import { LogHasher } from '../format/content-hash.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import type { LogView } from '../log/log-view.ts'
import type { CorruptObject, MissingObject } from '../log/segment-damage.ts'
import type { OffsetGap } from '../log/view-reader.ts'

/** Where a replay can go on: by log and partition, the first offset that was not given out. */
export interface ResumePoint {
  readonly logs: readonly {
    readonly name: string
    readonly partitions: readonly { readonly partition: number; readonly offset: number }[]
  }[]
}

export interface ReplayedLog {
  readonly name: string
  readonly records: number
  /** Stored bytes that were read. */
  readonly bytes: number
  /** Of the records that were given out; see docs/formats.md. */
  readonly hash: string
  readonly gaps: readonly OffsetGap[]
}

export interface ReplayReport {
  readonly records: number
  readonly bytes: number
  /** The times that were asked for, ISO 8601; null where open. */
  readonly since: string | null
  readonly until: string | null
  readonly elapsedMs: number
  readonly logs: readonly ReplayedLog[]
  readonly missing: readonly MissingObject[]
  readonly corrupt: readonly CorruptObject[]
  /** What most of the time was spent waiting for; null when nothing was given out. */
  readonly limitedBy: 'source' | 'sink' | 'pace' | null
  readonly resumePoint: ResumePoint
}

/** Adds up one log. */
export class LogTally {
  readonly view: LogView
  records = 0
  bytes = 0
  readonly #hasher: LogHasher
  readonly #gaps: OffsetGap[] = []

  constructor(view: LogView) {
    this.view = view
    this.#hasher = new LogHasher(view.schema)
  }

  add(partition: number, batch: RecordBatch, storedBytes: number): void {
    this.#hasher.add(partition, batch)
    this.records += batch.length
    this.bytes += storedBytes
  }

  addGap(gap: OffsetGap): void {
    this.#gaps.push(gap)
  }

  result(): ReplayedLog {
    const gaps = this.#gaps.toSorted((a, b) => a.partition - b.partition || a.from - b.from)
    return {
      name: this.view.definition.name,
      records: this.records,
      bytes: this.bytes,
      hash: this.#hasher.digestHex(),
      gaps,
    }
  }
}
