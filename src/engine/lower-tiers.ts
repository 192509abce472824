import type { SparseRange } from '../format/segment.ts'
import type { OffsetRows } from '../format/sparse-rows.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import type { TierMove } from '../tiering/context.ts'
import type { TieringScheduler } from '../tiering/scheduler.ts'
import type { Scrubber } from '../tiering/scrubber.ts'
import type { ForkEngine, ForkOptions } from './fork-options.ts'
import type { PolicyChange } from './policy-committer.ts'

export interface Attachments {
  readonly attach: (name: string) => Promise<LiveLog>
  readonly detach: (log: LiveLog) => Promise<readonly TierMove[]>
}

/** What an engine with a data directory has below its RAM. */
export interface LowerTiers {
  readonly scheduler: TieringScheduler
  /** Null for an engine that only reads. */
  readonly scrubber: Scrubber | null
  /** Pauses tier moves of these logs, or of all, or lets them go on. @throws StratalogError `argument_invalid`. */
  readonly setPaused: (logs: readonly LiveLog[] | null, isPaused: boolean) => Promise<void>
  /** Since when (ms) tier moves of the log stand still, 0: of all; null: they do not. */
  readonly pausedSince: (logId: number) => number | null
  /** As of `TierControl`; null without an archive. */
  readonly attachments: Attachments | null
  /** Makes a changed policy durable, while nothing is appended to its log. */
  readonly commitPolicy: (change: PolicyChange) => Promise<void>
  /** History that leaves offsets out comes to the log; see `writeHistory`. */
  readonly writeHistory: (
    log: LiveLog,
    partition: Partition,
    rows: readonly OffsetRows[],
    range: SparseRange,
  ) => Promise<void>
  /** See `bringAllToDisk` of `all-to-disk.ts`. */
  readonly bringAllToDisk: () => Promise<void>
  /** See `Engine.deleteLog`. */
  readonly delete: (log: LiveLog) => Promise<void>
  /** See `Stratalog.fork`. */
  readonly fork: (
    engine: ForkEngine,
    source: string,
    name: string,
    options: ForkOptions,
  ) => Promise<LiveLog>
}
