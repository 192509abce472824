/** What queries need of the engine. */
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import type { Metrics } from '../base/metrics.ts'
import type { LatestOffsets } from '../log/latest-views.ts'
import type { LogView, SegmentSource } from '../log/log-view.ts'
import type { BatchFacts } from '../format/segment.ts'
import type { SegmentOwner } from '../log/segment-reading.ts'
import type { PartFile } from '../storage/part-files.ts'
import type { LogFacts, SnapshotFacts } from './information-tables.ts'
import type { DatabaseOptions, WorkerChannel } from './protocol.ts'

/** A local file that holds exactly the bytes of a segment, or files with the wanted parts of them. */
export interface LocalSegment {
  readonly path: string
  readonly files?: readonly PartFile[]
  /** Whether it was there without asking the object store. */
  readonly isCached: boolean
  /** Requests that this took. */
  readonly requests: number
  /** The file may go when every holder has released it. */
  readonly release: () => void
  /** Of parts that turned out to be damaged: has them fetched again the next time. */
  readonly discard?: () => void
}

/** What a query can need of a segment. */
export interface WantedParts {
  readonly owner: SegmentOwner
  /** Names of columns. */
  readonly fields: ReadonlySet<string>
  readonly isNeeded: (block: BatchFacts, timeColumn: string) => boolean
}

export interface QueryPorts {
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  /** Pins a log's present state, synchronously. @throws StratalogError `log_not_found`, naming the nearest log. */
  readonly viewOf: (logName: string) => LogView
  /** Whether there is a log of this name; asked for every word of a statement. */
  readonly hasLog: (logName: string) => boolean
  /** All logs, as of now: asked for in the stretch in which the views of a query are pinned. */
  readonly logFacts: () => readonly LogFacts[]
  /** Oldest first. */
  readonly snapshots: () => Promise<readonly SnapshotFacts[]>
  /** The newest record of each key in a pinned view. @throws StratalogError as `LatestViews.select`. */
  readonly latestOf: (view: LogView, signal: AbortSignal) => Promise<LatestOffsets>
  /** Starts a worker, or a process, that runs a QueryHost. */
  readonly spawn: (options: DatabaseOptions) => WorkerChannel
  /**
   * A local file for a segment whose `bytes.path` is null, or damaged while there is a fallback. It may have no more
   * than the wanted parts, unless `wanted` is null.
   */
  readonly localSegment: (
    source: SegmentSource,
    wanted: WantedParts | null,
    signal: AbortSignal,
  ) => Promise<LocalSegment>
}
