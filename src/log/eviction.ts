import type { HotBatch } from './hot-batch.ts'

/** Records that were dropped from their only copy, as the mode and their terms allow; counted, never silent. */
export interface Eviction {
  readonly records: number
  /** What they took; given back at once, or when the last lease on their batch ends. */
  readonly bytes: number
  /** The batch that they were in, when nothing of it stays. */
  readonly batch: HotBatch
  readonly isWhole: boolean
}
