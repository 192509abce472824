/**
 * The watchdog of the WAL: notices when the writer has something to do and does not get on with it, because a write or
 * a sync does not return.
 *
 * It looks at how far the writer came, not at when it was last heard of: a main thread that was busy for long finds,
 * when it looks again, that the writer got on meanwhile.
 */
import type { Clock, Timer } from '../base/clock.ts'

/** How far a writer came. `isBusy`: there is something that it has not done. Every step it makes changes `steps`. */
export interface WalActivity {
  readonly isBusy: boolean
  readonly steps: number
}

/** Looks so often within the time after which a writer counts as stuck. */
const LOOKS = 4

export class WalWatch {
  readonly #clock: Clock
  readonly #stuckAfterMs: number
  readonly #activity: () => WalActivity
  readonly #onChange: (isStuck: boolean) => void
  #timer: Timer | null = null
  #steps = -1
  /** Monotonic time of the last look that found it getting on, or idle. */
  #movedAt: number
  #lookedAt: number
  #isStuck = false

  constructor(
    clock: Clock,
    stuckAfterMs: number,
    activity: () => WalActivity,
    onChange: (isStuck: boolean) => void,
  ) {
    this.#clock = clock
    this.#stuckAfterMs = stuckAfterMs
    this.#activity = activity
    this.#onChange = onChange
    this.#movedAt = clock.monotonic()
    this.#lookedAt = this.#movedAt
    this.#arm()
  }

  /** Looks now, for when there is news. */
  look(): void {
    const { isBusy, steps } = this.#activity()
    const now = this.#clock.monotonic()
    // This thread did not get to look: what came since may have come just now.
    if (now - this.#lookedAt > (2 * this.#stuckAfterMs) / LOOKS) this.#movedAt = now
    this.#lookedAt = now
    if (!isBusy || steps !== this.#steps) {
      this.#steps = steps
      this.#movedAt = now
      this.#set(false)
    } else if (now - this.#movedAt >= this.#stuckAfterMs) this.#set(true)
  }

  close(): void {
    this.#timer?.cancel()
    this.#timer = null
  }

  #arm(): void {
    this.#timer = this.#clock.setTimer(this.#stuckAfterMs / LOOKS, () => {
      this.#arm()
      this.look()
    })
  }

  #set(isStuck: boolean): void {
    if (isStuck === this.#isStuck) return
    this.#isStuck = isStuck
    this.#onChange(isStuck)
  }
}
