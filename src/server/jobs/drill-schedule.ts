/**
 * Drills that a server begins by itself. What was drilled before a restart is not known after it, so the first comes
 * soon after the start: a server that is restarted every day is drilled every day.
 */
import type { Clock, Timer } from '../../base/clock.ts'
import { toStratalogError } from '../../base/errors.ts'
import type { Logger } from '../../base/logger.ts'
import type { JobList, JobWork } from './job-list.ts'

/** How soon the first begins, and one again that gave no verdict; or the interval where that is shorter. */
const SOON_MS = 600_000

export interface ScheduledDrill {
  readonly intervalMs: number
  /** As it is asked for. */
  readonly request: object
  readonly work: JobWork
}

export class DrillSchedule {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #jobs: JobList
  readonly #drill: ScheduledDrill
  #timer: Timer | null = null
  #nextTime: number | null = null
  #isStopped = false

  constructor(clock: Clock, logger: Logger, jobs: JobList, drill: ScheduledDrill) {
    this.#clock = clock
    this.#logger = logger
    this.#jobs = jobs
    this.#drill = drill
  }

  /** When the next begins: ISO 8601, UTC; null while one runs. */
  get nextTime(): string | null {
    return this.#nextTime === null ? null : new Date(this.#nextTime).toISOString()
  }

  start(): void {
    this.#arm(this.#soonMs)
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
    this.#nextTime = null
  }

  get #soonMs(): number {
    return Math.min(SOON_MS, this.#drill.intervalMs)
  }

  #arm(delayMs: number): void {
    if (this.#isStopped) return
    this.#nextTime = this.#clock.now() + delayMs
    this.#timer = this.#clock.setTimer(delayMs, () => void this.#run())
  }

  async #run(): Promise<void> {
    const { intervalMs, request, work } = this.#drill
    const startedMs = this.#clock.monotonic()
    this.#nextTime = null
    let hasVerdict = false
    try {
      const id = this.#jobs.start({ kind: 'drill', request, isScheduled: true }, work)
      await this.#jobs.ended(id)
      hasVerdict = this.#jobs.facts(id).state === 'done'
    } catch (error) {
      const { code } = toStratalogError(error)
      this.#logger.warn('A drill could not begin as configured.', { code })
    }
    const tookMs = this.#clock.monotonic() - startedMs
    this.#arm(hasVerdict ? Math.max(0, intervalMs - tookMs) : this.#soonMs)
  }
}
