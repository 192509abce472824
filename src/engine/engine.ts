/**
 * The parts of an open engine: put together by `memory-engine.ts` or `directory-engine.ts`, driven by the façade in
 * `stratalog.ts`.
 */
import type { LogState } from '../format/manifest.ts'
import type { DiskHealth } from '../log/disk-health.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { DiskBudget } from '../tiering/disk-budget.ts'
import type { MemoryGovernor } from '../tiering/governor.ts'
import type { LockHolder } from '../storage/directory-lock.ts'
import type { EstimatedCost } from '../storage/request-cost.ts'
import type { CircuitStatus } from '../storage/breaking-object-store.ts'
import type { PartCacheCounts } from '../storage/part-cache.ts'
import type { RequestCounts } from '../storage/metered-object-store.ts'
import type { LogRegistry } from './log-registry.ts'
import type { LowerTiers } from './lower-tiers.ts'
import type { Policies } from './policies.ts'
import type { EnginePorts } from './ports.ts'
import type { Queries } from './queries.ts'
import type { SnapshotKeeper } from './snapshot-keeper.ts'
import type { StorageSurroundings } from './storage-policy.ts'

export interface ArchiveUse {
  readonly url: string
  /** Since the engine was opened. */
  readonly requests: () => RequestCounts
  /** Whether the store is asked at all now; null where no network is in between. */
  readonly circuit: () => CircuitStatus | null
  /** Parts of archived segments on disk, for reads by offset and time. */
  readonly cache: () => PartCacheCounts
  /** Of the objects that hold segments, each once, as far as the archive is known. */
  readonly storedBytes: () => number
  /** What a month costs with so many bytes and such requests. */
  readonly estimateCost: (storedBytes: number) => EstimatedCost
}

export interface Engine {
  /** As the data directory or the `snapshotLocation` says; null for an engine in RAM that has neither. */
  readonly engineId: string | null
  readonly ports: EnginePorts
  readonly registry: LogRegistry
  readonly governor: MemoryGovernor
  /** Null for an engine in RAM only, which loads nothing of it. */
  readonly lowerTiers: LowerTiers | null
  /** Null where snapshots have no place: without an archive and a `snapshotLocation`, and for reading. */
  readonly snapshots: SnapshotKeeper | null
  /** What was asked of the archive; null without one. */
  readonly archiveUse: ArchiveUse | null
  readonly queries: Queries
  readonly policies: Policies
  readonly surroundings: StorageSurroundings
  readonly isReadOnly: boolean
  /** Who writes the data directory now: this engine, or the one it reads beside; null when nobody does. */
  readonly writer: () => LockHolder | null
  /** Gives a new log its id and makes it durable before anything is appended to it. */
  readonly commitLog: (make: (id: number) => LogState) => Promise<LogState>
  /** Ends a log, and makes that durable. @throws StratalogError as of `Stratalog.deleteLog`. */
  readonly deleteLog: (log: LiveLog) => Promise<void>
  /** What the disk under the WAL lets the engine do; null for one that does not write a disk. */
  readonly disk: DiskHealth | null
  /** What segment files take; null for an engine in RAM only. */
  readonly diskBudget: DiskBudget | null
  /** Throws `writer_fenced` where another process may have taken the directory, and has. Cheap. */
  readonly assertWriter: () => void
  /** Why appends with a WAL are refused; null while they are not. */
  readonly failure: () => Error | null
  readonly close: () => Promise<void>
}
