/** Where a replay goes: an engine, a file, a function. */
import type { LogDefinition } from '../format/manifest.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import type { Schema } from '../format/schema.ts'

/** A log that is about to be replayed. */
export interface ReplayLog {
  readonly definition: LogDefinition
  /** Every schema the log ever had, by id. Batches come in the last one. */
  readonly schemas: readonly Schema[]
  /** By partition: no batch of it has a lower offset. */
  readonly startOffsets: readonly number[]
}

/**
 * Calls come one at a time: `begin` once for each log before the first batch, `append` with batches in offset order per
 * partition, `end` once after the last. Offsets between two batches of a partition are left out: gaps, damage, or times
 * that were not asked for. A sink that throws ends the replay with its error; `end` is then not called.
 *
 * A batch is valid until `append` settles; what is kept longer is copied.
 */
export interface ReplaySink {
  begin(log: ReplayLog): Promise<void>
  append(log: LogDefinition, partition: number, batch: RecordBatch): Promise<void>
  end(): Promise<void>
}

/** A sink that calls a function with each batch. */
export function functionSink(
  take: (log: LogDefinition, partition: number, batch: RecordBatch) => void | Promise<void>,
): ReplaySink {
  return {
    begin: async () => {},
    append: async (log, partition, batch) => take(log, partition, batch),
    end: async () => {},
  }
}
