import { systemClock } from '../../src/base/clock.ts'

/** What every harness prints at its end, as one line of JSON. */
export interface SoakReport {
  readonly harness: string
  readonly seed: number
  /** Cases: kills, rounds, seeds or samples, as the harness counts. */
  readonly tried: number
  /** Appends whose acknowledgement was heard. */
  readonly acknowledged: number
  readonly lost: number
  readonly invented: number
  readonly wrong: number
  readonly hung: number
  readonly crashed: number
  readonly undetected: number
  readonly violations: readonly Violation[]
  readonly elapsedMs: number
}

export interface Violation {
  /** As docs/testing.md numbers them. */
  readonly invariant: string
  readonly seed: number
  /** A command that does the same again, as far as a real machine does. */
  readonly rerun: string
  readonly what: string
}

/** What a broken promise is counted as. */
export type Damage = 'lost' | 'invented' | 'wrong' | 'hung' | 'crashed' | 'undetected'

/** Violations that are printed; all of them are counted. */
const PRINTED_MAX = 20

/** Counts up to a report. */
export class SoakCounts {
  readonly #harness: string
  readonly #seed: number
  readonly #rerun: string
  readonly #started = systemClock.monotonic()
  readonly #damages: Record<Damage, number> = {
    lost: 0,
    invented: 0,
    wrong: 0,
    hung: 0,
    crashed: 0,
    undetected: 0,
  }
  readonly #violations: Violation[] = []
  tried = 0
  acknowledged = 0

  constructor(harness: string, seed: number, rerun: string) {
    this.#harness = harness
    this.#seed = seed
    this.#rerun = rerun
  }

  get hasViolations(): boolean {
    return this.#violations.length > 0
  }

  /** `again`: where a case has a seed of its own. */
  violation(
    damage: Damage,
    invariant: string,
    what: string,
    again: Pick<Violation, 'seed' | 'rerun'> = { seed: this.#seed, rerun: this.#rerun },
  ): void {
    this.#damages[damage]++
    if (this.#violations.length < PRINTED_MAX)
      this.#violations.push({ invariant, seed: again.seed, rerun: again.rerun, what })
  }

  report(): SoakReport {
    return {
      harness: this.#harness,
      seed: this.#seed,
      tried: this.tried,
      acknowledged: this.acknowledged,
      ...this.#damages,
      violations: this.#violations,
      elapsedMs: Math.round(systemClock.monotonic() - this.#started),
    }
  }
}

/** When a harness stops: after so many cases, or when its time is over, whichever comes first. */
export interface SoakLimits {
  readonly seed: number
  readonly cycles: number
  /** ms from its start. */
  readonly timeMs: number
  /** Is told how far it is, on one line. */
  readonly onProgress: (line: string) => void
}
