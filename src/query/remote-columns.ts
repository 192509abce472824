import type { ColumnData } from '../format/column.ts'
import type { RemoteBatchSource } from './protocol.ts'

/** Where the columns of batches come from that were named and not sent. */
export interface RemoteColumns {
  /** By position in the batch's schema. */
  columns(source: RemoteBatchSource, positions: readonly number[]): readonly ColumnData[]
}
