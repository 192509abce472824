import type { LogDefinition } from '../format/manifest.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import { STAMPED_TIME_COLUMN } from '../format/schema.ts'
import { Batch } from './batch.ts'
import { BatchLayout } from './batch-layout.ts'

/** A batch of a replay as readers of a log see theirs. */
export function replayedBatch(log: LogDefinition, partition: number, batch: RecordBatch): Batch {
  return new Batch({
    batch,
    partition,
    tier: 'object',
    holder: null,
    layout: new BatchLayout({
      log: log.name,
      schema: batch.schema,
      timeColumn: log.timeColumn ?? STAMPED_TIME_COLUMN,
      keyColumn: log.keyColumn,
      columns: null,
    }),
  })
}
