/** What a scrub finds. Field by field what `scrub --json` prints. */
import type { DamageKind } from '../log/segment-damage.ts'

export type CopyTier = 'disk' | 'object'

/** One damage of one copy. */
export interface ScrubProblem {
  /** The path of a file or the URL of an object, as `inspect` takes it. */
  readonly where: string
  readonly tier: CopyTier
  /** The byte in it at or after which the damage lies; null when not known. */
  readonly position: number | null
  readonly kind: DamageKind
  /** The records that it costs there: offsets `[from, to)`. */
  readonly log: string
  readonly partition: number
  readonly from: number
  readonly to: number
  /** Whether they can be read all the same; null where the other copy is in an archive that the engine has not. */
  readonly readable: boolean | null
  /** In words, for people. */
  readonly reason: string
}

export interface ScrubReport {
  /** `PASS` when no problem is left. */
  readonly verdict: 'PASS' | 'FAIL'
  /** Copies that were looked at, and their bytes. */
  readonly files: number
  readonly bytes: number
  /** What is damaged or missing now. */
  readonly problems: readonly ScrubProblem[]
  /** What was, and is sound again. */
  readonly repaired: readonly ScrubProblem[]
  readonly elapsedMs: number
}

/** Of the scrubber that works in the background. */
export interface ScrubStatus {
  /** Every byte of every copy is read within this time; 0: never by itself. */
  readonly intervalMs: number
  readonly bytesPerSecond: number
  /** Since the engine was opened. */
  readonly checkedCopies: number
  readonly checkedBytes: number
  readonly repairedCopies: number
  /** Copies that are damaged or missing now, as far as is known. */
  readonly damagedCopies: number
  /** Why the last look at a copy failed; null where it did not. */
  readonly lastError: string | null
}
