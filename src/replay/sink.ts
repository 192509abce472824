/** Where a replay goes: an engine, a file, an HTTP endpoint, a function. */
import type { LogDefinition } from '../format/manifest.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import type { Schema } from '../format/schema.ts'
import type { CompactedRange } from './live-side.ts'

/** A log that is about to be replayed. */
export interface ReplayLog {
  readonly definition: LogDefinition
  /** Every schema the log ever had, by id. Batches come in the last one. */
  readonly schemas: readonly Schema[]
  /** By partition: no batch of it has a lower offset. */
  readonly startOffsets: readonly number[]
  /** Offsets that hold fewer records, as older versions of keys are gone from them. */
  readonly compacted: readonly (CompactedRange & { readonly partition: number })[]
  /** By partition, where an earlier replay stopped; null for one that begins anew. */
  readonly resumedAt: readonly ReplayPosition[] | null
}

/** A place in the history of one partition. */
export interface ReplayPosition {
  /** Everything before it was given out, or is not there. */
  readonly offset: number
  /** How many records were given out, over all replays that went on from one another. */
  readonly records: number
}

/** Where a sink wants a partition to begin. Its `records` are those that the sink has. */
export interface SinkStart extends ReplayPosition {
  /** Reading begins at `offset`, so that damage is named from there on; records before `heldTo` are not given. */
  readonly heldTo: number
  /** Of the sink's records, those that lie in between. More there were damaged when it was filled, and are not now. */
  readonly heldBetween: number
}

/**
 * Calls come one at a time: `begin` once for each log before the first batch, `append` with batches in offset order per
 * partition, `end` once after the last. Offsets between two batches of a partition are left out: gaps, damage, or
 * records that were not asked for. A sink that throws ends the replay with its error; `end` is then not called.
 *
 * What `append` resolved for is taken: it is not given again to who goes on from a resume point. A sink that knows what
 * it has says so from `begin`, and is given each record once; one that does not returns null, and may be given again
 * what came after the resume point.
 *
 * A batch is valid until `append` settles; what is kept longer is copied.
 */
export interface ReplaySink {
  begin(log: ReplayLog): Promise<readonly SinkStart[] | null>
  append(log: LogDefinition, partition: number, batch: RecordBatch): Promise<void>
  /** Offsets `[from, to)` cannot be had; told before a batch behind them is given, and maybe more than once. */
  damaged?(log: LogDefinition, partition: number, from: number, to: number): void
  end(): Promise<void>
  /** After `end`: of the latest view of what it took of a log, if it keeps that; null where there is none. */
  latestHash?(log: LogDefinition, signal?: AbortSignal): Promise<string | null>
}

/** A sink that calls a function with each batch. */
export function functionSink(
  take: (log: LogDefinition, partition: number, batch: RecordBatch) => void | Promise<void>,
): ReplaySink {
  return {
    begin: async () => null,
    append: async (log, partition, batch) => take(log, partition, batch),
    end: async () => {},
  }
}
