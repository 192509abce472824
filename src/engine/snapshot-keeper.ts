/** Who makes snapshots for an engine, and where they lie: in its archive, or at a `snapshotLocation` of their own. */
import { StratalogError } from '../base/errors.ts'
import type { LogDefinition } from '../format/manifest.ts'
import type { ScrubProblem } from '../tiering/scrub-report.ts'
import type { HeldBySnapshots } from './held-by-snapshot.ts'
import type { SnapshotDescription } from './describe-snapshot.ts'
import type { SnapshotScheduleStatus } from './snapshot-schedule.ts'
import type { SnapshotOptions } from './snapshots.ts'

export interface SnapshotKeeper {
  readonly create: (options: SnapshotOptions) => Promise<SnapshotDescription>
  /** By name or id. */
  readonly delete: (nameOrId: string) => Promise<SnapshotDescription>
  /** Oldest first. */
  readonly list: () => Promise<readonly SnapshotDescription[]>
  /** What they hold of a log. @throws StratalogError what the store throws. */
  readonly held: (log: LogDefinition) => Promise<HeldBySnapshots | null>
  /** Of the snapshots that the engine makes by itself; null where it makes none. */
  readonly status: () => SnapshotScheduleStatus | null
  /** Records of logs in RAM that did not come back when the engine was opened, as every copy of them is damaged. */
  readonly lost: () => readonly ScrubProblem[]
}

export function noPlaceForSnapshot(): StratalogError {
  return new StratalogError(
    'argument_invalid',
    'A snapshot lies in the archive or at a snapshotLocation, and this engine has neither. Open it with one.',
  )
}
