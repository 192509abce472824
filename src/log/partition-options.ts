import type { SegmentEntry } from '../format/manifest.ts'
import type { ProducerState } from '../format/producer.ts'
import type { BatchMemory, MemoryAccount } from './memory-account.ts'
import type { SegmentPorts } from './pinned-segment.ts'

/** What a partition begins with. */
export interface PartitionOptions {
  readonly logId: number
  readonly partition: number
  readonly timeColumn: string
  readonly startOffset: number
  readonly segments: Iterable<SegmentEntry>
  /** What the manifest has of its producers. */
  readonly producers?: ReadonlyMap<string, ProducerState> | undefined
  /** Below it offsets may be held by nothing. */
  readonly denseFrom?: number | undefined
  /** What all partitions of the log count into; one of its own where it is left out. */
  readonly memory?: MemoryAccount
}

/** What a partition, `Held`, needs of the engine around it. */
export interface PortsOf<Held> extends SegmentPorts {
  readonly pool: BatchMemory
  /** The engine's time in ms, which never goes back; where it is left out, nothing expires. */
  readonly now?: () => number
  /** Is told when the partition comes to hold records that expire. */
  readonly onExpiring?: (partition: Held) => void
}
