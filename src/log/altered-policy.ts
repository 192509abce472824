import type { StoragePolicy } from '../format/manifest.ts'

/** What a change of the policy comes to. */
export interface AlteredPolicy {
  readonly policy: StoragePolicy
  /** The log was without a WAL: what is below its ends now may have holes, and what comes has none. */
  readonly isDenseFromHere: boolean
  /** What RAM holds goes to a lower tier at once: the old policy or the new one promises more of it than RAM can. */
  readonly isOwed: boolean
}
