/** Snapshots that the engine makes by itself: every interval, at closing, and those of them that are let go. */
import type { Clock, Timer } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'

/** How soon a snapshot that failed is tried again, in ms, or the interval where that is shorter. */
const RETRY_DELAY_MS = 60_000

/** What a schedule does, and what it asks. */
export interface ScheduledWork {
  /** When the newest snapshot was made that the engine made by itself, engine clock in ms; null: there is none. */
  readonly newestTime: () => Promise<number | null>
  readonly make: () => Promise<void>
  /** Lets go of what is too many or too old. */
  readonly retire: () => Promise<void>
}

export interface SnapshotScheduleOptions {
  /** ms; null: none on time. */
  readonly interval: number | null
  readonly onClose: boolean
}

/** Shaped for `status --json`. */
export interface SnapshotScheduleStatus {
  /** ISO 8601, UTC: when the next is due; null while it is not known, or none is. */
  readonly nextTime: string | null
  readonly lastError: string | null
}

export class SnapshotSchedule {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #options: SnapshotScheduleOptions
  readonly #work: ScheduledWork
  #timer: Timer | null = null
  #running: Promise<void> | null = null
  #nextTime: number | null = null
  #lastError: string | null = null
  #isClosed = false

  constructor(clock: Clock, logger: Logger, options: SnapshotScheduleOptions, work: ScheduledWork) {
    this.#clock = clock
    this.#logger = logger
    this.#options = options
    this.#work = work
  }

  get status(): SnapshotScheduleStatus {
    const next = this.#nextTime
    return {
      nextTime: next === null ? null : new Date(next).toISOString(),
      lastError: this.#lastError,
    }
  }

  /** Finds out when the next is due; a restart neither puts it off nor brings it forward. */
  start(): void {
    const { interval } = this.#options
    if (interval === null) return
    this.#running = this.#begin(interval)
  }

  /** Waits for what runs, and makes the last one where that is wanted. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#timer?.cancel()
    this.#nextTime = null
    await this.#running
    if (this.#options.onClose) await this.#makeOne()
  }

  async #begin(interval: number): Promise<void> {
    let passed = interval
    const isKnown = await this.#attempt(async () => {
      const newest = await this.#work.newestTime()
      if (newest !== null) passed = this.#clock.now() - newest
    })
    if (!isKnown) this.#arm(Math.min(interval, RETRY_DELAY_MS), interval)
    // A clock that was set back knows no better than to wait for a whole interval.
    else this.#arm(passed < 0 ? interval : Math.max(0, interval - passed), interval)
  }

  #arm(delayMs: number, interval: number): void {
    if (this.#isClosed) return
    this.#nextTime = this.#clock.now() + delayMs
    this.#timer = this.#clock.setTimer(delayMs, () => {
      this.#running = this.#makeOne().then((isMade) =>
        this.#arm(isMade ? interval : Math.min(interval, RETRY_DELAY_MS), interval),
      )
    })
  }

  async #makeOne(): Promise<boolean> {
    const isMade = await this.#attempt(() => this.#work.make())
    if (isMade) await this.#attempt(() => this.#work.retire())
    return isMade
  }

  async #attempt(work: () => Promise<void>): Promise<boolean> {
    try {
      await work()
      this.#lastError = null
      return true
    } catch (error) {
      this.#lastError = error instanceof Error ? error.message : String(error)
      this.#logger.error('A snapshot was not made as configured.', { reason: this.#lastError })
      return false
    }
  }
}
