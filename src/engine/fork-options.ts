import { LOOKED_AT_LATER, type OptionKind, TEXT, assertOptions } from './check-arguments.ts'
import { parseTime } from '../base/units.ts'
import type { LogState } from '../format/manifest.ts'
import type { LogRegistry } from './log-registry.ts'
import type { EnginePorts } from './ports.ts'
import type { SnapshotKeeper } from './snapshot-keeper.ts'

/** Where the fork begins to be a log of its own: at most one; without any it shares all that there is. */
export interface ForkOptions {
  /** Of a log with one partition: the first offset that is not shared. */
  readonly atOffset?: number
  /** A moment of the engine's clock: what had been appended by then is shared. */
  readonly at?: Date | string | number
  /** Name or id of a snapshot that holds the log. */
  readonly snapshot?: string
}

const KINDS: Readonly<Record<keyof ForkOptions, OptionKind>> = {
  atOffset: LOOKED_AT_LATER,
  at: LOOKED_AT_LATER,
  snapshot: TEXT,
}

/** Before anything is done. @throws StratalogError `argument_invalid`. */
export function assertForkOptions(options: ForkOptions): void {
  assertOptions(options, KINDS, 'fork')
  if (options.at !== undefined) parseTime(options.at, 'at')
}

/** What a fork needs of its engine. */
export interface ForkEngine {
  readonly ports: EnginePorts
  readonly registry: LogRegistry
  readonly snapshots: SnapshotKeeper | null
  readonly commitLog: (make: (id: number) => LogState) => Promise<LogState>
}
