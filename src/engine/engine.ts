/** The parts of an open engine: put together by `open-engine.ts`, driven by the façade in `stratalog.ts`. */
import type { LogState } from '../format/manifest.ts'
import type { ArchiveWriter } from '../tiering/archive-writer.ts'
import type { MemoryGovernor } from '../tiering/governor.ts'
import type { TieringContext } from '../tiering/context.ts'
import type { TieringScheduler } from '../tiering/scheduler.ts'
import type { LockHolder } from '../storage/directory-lock.ts'
import type { OpenedObjectStore } from '../storage/open-object-store.ts'
import type { QueryRunner } from '../query/query-runner.ts'
import type { ColdCache } from './cold-cache.ts'
import type { StorageOptions } from './config.ts'
import type { LogRegistry } from './log-registry.ts'
import type { EnginePorts } from './ports.ts'
import type { StorageSurroundings } from './storage-policy.ts'

export interface Engine {
  readonly engineId: string
  readonly ports: EnginePorts
  readonly registry: LogRegistry
  readonly governor: MemoryGovernor
  readonly scheduler: TieringScheduler
  readonly tiering: TieringContext
  /** Null without an archive, and for an engine that only reads. */
  readonly archive: ArchiveWriter | null
  /** The archive's store, for reading. */
  readonly store: OpenedObjectStore | null
  readonly coldCache: ColdCache
  readonly queries: QueryRunner
  readonly defaults: StorageOptions
  readonly surroundings: StorageSurroundings
  readonly isReadOnly: boolean
  /** Who writes the data directory now: this engine, or the one it reads beside; null when nobody does. */
  readonly writer: () => LockHolder | null
  /** Gives a new log its id and makes it durable before anything is appended to it. */
  readonly commitLog: (make: (id: number) => LogState) => Promise<LogState>
  /** Why appends with a WAL are refused; null while they are not. */
  readonly failure: () => Error | null
  readonly close: () => Promise<void>
}
