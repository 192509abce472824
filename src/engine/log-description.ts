import type { LogDefinition, StoragePolicy } from '../format/manifest.ts'
import { userFields } from '../format/schema-evolution.ts'
import type { Field, Schema } from '../format/schema.ts'
import type { Partition } from '../log/partition.ts'
import type { ScrubProblem } from '../tiering/scrub-report.ts'
import { lostProblem } from './lost-problem.ts'

/** What a log is: shaped as `logs describe --json` prints it. */
export interface LogDescription {
  readonly name: string
  readonly schema: readonly Field[]
  readonly policy: StoragePolicy
  readonly partitions: number
  readonly timeColumn: string | null
  readonly keyColumn: string | null
  /**
   * How long before a crash of the process or the machine records were acknowledged that it may take, in ms; 0: it
   * takes none; null: no time bounds it.
   */
  readonly rpoMs: number | null
  /** There for a log that takes no appends because a damaged WAL has lost records of it: which, by partition. */
  readonly damage?: readonly ScrubProblem[]
}

export function describeLog(
  definition: LogDefinition,
  schema: Schema | null,
  held: readonly Pick<Partition, 'lost'>[] = [],
): LogDescription {
  const { name, policy, partitions, timeColumn, keyColumn } = definition
  const damage = held.flatMap(({ lost }) => lostProblem(lost))
  return {
    name,
    schema: schema === null ? [] : userFields(schema),
    policy,
    partitions,
    timeColumn,
    keyColumn,
    rpoMs: rpoMs(policy),
    ...(damage.length === 0 ? {} : { damage }),
  }
}

/**
 * As of `LogDescription`. Without a WAL it is when a lower copy is made at the latest; with one, an acknowledgement at
 * `memory` is ahead of the sync by what no time bounds.
 */
export function rpoMs(policy: StoragePolicy): number | null {
  const { mode, ack, wal, localDisk, diskAfter, archiveAfter } = policy
  if (mode === 'memory') return null
  if (ack !== 'memory') return 0
  if (wal) return null
  return localDisk ? diskAfter : archiveAfter
}
