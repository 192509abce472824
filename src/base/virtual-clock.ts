import { type Clock, type Timer, systemClock } from './clock.ts'

interface PendingTimer {
  readonly at: number
  readonly sequence: number
  readonly callback: () => void
}

/**
 * A clock that moves only when told to. Timers fire in order of their time, then of their creation, synchronously
 * inside `advance`. For tests, the simulator and the demo's shortened ages.
 */
export class VirtualClock implements Clock {
  #now: number
  readonly #origin: number
  #sequence = 0
  #timers: PendingTimer[] = []

  constructor(startMs = 1_700_000_000_000) {
    this.#now = startMs
    this.#origin = startMs
  }

  now(): number {
    return Math.floor(this.#now)
  }

  monotonic(): number {
    return this.#now - this.#origin
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const timer: PendingTimer = {
      at: this.#now + Math.max(0, delayMs),
      sequence: this.#sequence++,
      callback,
    }
    this.#timers.push(timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer)
      },
    }
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason as Error)
        return
      }
      const onAbort = (): void => {
        timer.cancel()
        reject(signal?.reason as Error)
      }
      const timer = this.setTimer(delayMs, () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      })
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** Other work has its turn without any time passing. */
  yield(): Promise<void> {
    return systemClock.yield()
  }

  /** Moves time forward by `deltaMs` and fires every timer that comes due, in order. */
  advance(deltaMs: number): void {
    const target = this.#now + deltaMs
    for (;;) {
      const next = this.#takeDue(target)
      if (next === null) break
      this.#now = Math.max(this.#now, next.at)
      next.callback()
    }
    // A timer may have advanced the clock itself, and further.
    this.#now = Math.max(this.#now, target)
  }

  #takeDue(target: number): PendingTimer | null {
    let due: PendingTimer | null = null
    for (const timer of this.#timers) {
      if (timer.at > target) continue
      if (
        due === null ||
        timer.at < due.at ||
        (timer.at === due.at && timer.sequence < due.sequence)
      )
        due = timer
    }
    if (due !== null) this.#timers = this.#timers.filter((timer) => timer !== due)
    return due
  }
}
