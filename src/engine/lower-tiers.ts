import { StratalogError } from '../base/errors.ts'
import type { TieringScheduler } from '../tiering/scheduler.ts'
import type { Scrubber } from '../tiering/scrubber.ts'
import type { PolicyChange } from './policy-committer.ts'
import type { SnapshotSchedule } from './snapshot-schedule.ts'
import type { SnapshotDescription } from './describe-snapshot.ts'
import type { SnapshotOptions } from './snapshots.ts'

/** What an engine with a data directory has below its RAM. */
export interface LowerTiers {
  readonly scheduler: TieringScheduler
  /** Null for an engine that only reads. */
  readonly scrubber: Scrubber | null
  readonly createSnapshot: (options: SnapshotOptions) => Promise<SnapshotDescription>
  /** Makes a changed policy durable, while nothing is appended to its log. */
  readonly commitPolicy: (change: PolicyChange) => Promise<void>
  readonly deleteSnapshot: (nameOrId: string) => Promise<SnapshotDescription>
  /** Of the snapshots that the engine makes by itself; null for one that makes none. */
  readonly snapshotSchedule: SnapshotSchedule | null
  readonly listSnapshots: () => Promise<readonly SnapshotDescription[]>
}

export function noArchiveForSnapshot(): StratalogError {
  return new StratalogError(
    'argument_invalid',
    'A snapshot lies in the archive, and this engine has none. Open it with one.',
  )
}
