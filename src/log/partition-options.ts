/** What a partition is made of, and what it lets go of. */
import type { SegmentEntry } from '../format/manifest.ts'
import type { ProducerState } from '../format/producer.ts'
import type { HotBatch } from './hot-batch.ts'
import type { MemoryAccount } from './memory-account.ts'

export interface PartitionOptions {
  readonly logId: number
  readonly partition: number
  readonly timeColumn: string
  readonly startOffset: number
  readonly segments: readonly SegmentEntry[]
  /** What the manifest has of its producers. */
  readonly producers?: ReadonlyMap<string, ProducerState> | undefined
  /** Below it offsets may be held by nothing. */
  readonly denseFrom?: number | undefined
  /** What all partitions of the log count into; one of its own where it is left out. */
  readonly memory?: MemoryAccount
}

/** Records that were dropped from their only copy, as the mode and their terms allow; counted, never silent. */
export interface Eviction {
  readonly records: number
  /** What they took; given back at once, or when the last lease on their batch ends. */
  readonly bytes: number
  /** The batch that they were in, when nothing of it stays. */
  readonly batch: HotBatch
  readonly isWhole: boolean
}
