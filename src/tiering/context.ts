/** What the executors of tier moves are given: ports, stores and the live logs. Nothing here decides anything. */
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import type { Metrics } from '../base/metrics.ts'
import type { Random } from '../base/random.ts'
import type { SegmentEntry, Tier } from '../format/manifest.ts'
import type { SegmentPlace } from '../log/pinned-segment.ts'
import type { SegmentPins } from '../log/segment-pins.ts'
import type { Succession } from '../log/segment-successor.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { ManifestStore } from '../log/manifest-store.ts'
import type { Wal } from '../log/wal.ts'
import type { FileSystem } from '../storage/file-system.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { ArchiveWriter } from './archive-writer.ts'
import type { DiskBudget } from './disk-budget.ts'
import type { Round } from './round.ts'
import type { SegmentEncoder } from './segment-encoder.ts'

export interface TieringContext {
  readonly engineId: string
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly metrics: Metrics
  /** Null for an engine in RAM only; then nothing flushes. */
  readonly disk: DiskContext | null
  /** Null without an archive. */
  readonly archive: ArchiveWriter | null
  /** Of a directory that was restored without its bytes: where they are. Its disk is filled from there. */
  readonly source?: SourceArchive | null
  readonly diskBudget: DiskBudget
  readonly pins: SegmentPins
  readonly wal: Wal | null
  /** What the WAL keeps at most before the logs that pin its oldest files are flushed; left out: any amount. */
  readonly walBytesMax?: number
  readonly encoder: SegmentEncoder
  readonly logs: () => Iterable<LiveLog>
  /** What the move is a step of; left out for one that is made alone. */
  readonly round?: Round
}

/** An archive that is read only: another engine may change it. */
export interface SourceArchive {
  readonly store: ObjectStore
  /** What has become there of a segment whose object is gone. @throws what the store throws. */
  succession(place: SegmentPlace, segment: SegmentEntry): Promise<Succession>
}

export interface DiskContext {
  readonly fileSystem: FileSystem
  readonly dataDir: string
  readonly manifest: ManifestStore
}

/** A partition that could not move, and why. */
export interface TierFailure {
  readonly log: string
  readonly partition: number
  readonly code: string
  readonly message: string
}

/** One range that moved. Shaped for `tier --json`. */
export interface TierMove {
  readonly log: string
  readonly partition: number
  readonly from: number
  readonly to: number
  readonly fromTier: Tier
  readonly toTier: Tier
  readonly bytes: number
}
