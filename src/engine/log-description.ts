import type { LogDefinition, StoragePolicy } from '../format/manifest.ts'
import { userFields } from '../format/schema-evolution.ts'
import type { Field, Schema } from '../format/schema.ts'

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
}

export function describeLog(definition: LogDefinition, schema: Schema | null): LogDescription {
  const { name, policy, partitions, timeColumn, keyColumn } = definition
  return {
    name,
    schema: schema === null ? [] : userFields(schema),
    policy,
    partitions,
    timeColumn,
    keyColumn,
    rpoMs: rpoMs(policy),
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
