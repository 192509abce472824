import type { TieringScheduler } from '../tiering/scheduler.ts'
import type { PolicyChange } from './policy-committer.ts'

/** What an engine with a data directory has below its RAM. */
export interface LowerTiers {
  readonly scheduler: TieringScheduler
  /** Makes a changed policy durable, while nothing is appended to its log. */
  readonly commitPolicy: (change: PolicyChange) => Promise<void>
}
