/**
 * The clock port. Everything below `engine` takes time from here, which is what lets the engine run in a simulator.
 * This file owns the real clock and the real timers.
 */

export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Wall clock, whole ms since 1970-01-01 UTC. May jump either way; order and fencing never depend on it. */
  now(): number
  /** Monotonic time in ms with a fraction, from an arbitrary origin. Only differences mean anything. */
  monotonic(): number
  /** Calls `callback` once, no earlier than `delayMs` from now. The timer does not keep the process alive. */
  setTimer(delayMs: number, callback: () => void): Timer
  /** Resolves no earlier than `delayMs` from now; keeps the process alive; rejects with `signal.reason` on abort. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
  /** Resolves after whatever else is ready to run had its turn: between the steps of a long computation. */
  yield(): Promise<void>
}

/** The longest delay a platform timer takes; longer ones would fire at once. */
const PLATFORM_DELAY_MAX_MS = 2 ** 31 - 1

/** A platform timer, or for a long delay one after the other. `unref`: it does not keep the process alive. */
function startTimer(delayMs: number, callback: () => void, unref: boolean): Timer {
  const step = Math.min(delayMs, PLATFORM_DELAY_MAX_MS)
  let rest: Timer | null = null
  const timer = setTimeout(() => {
    if (step === delayMs) callback()
    else rest = startTimer(delayMs - step, callback, unref)
  }, step)
  if (unref) timer.unref()
  return {
    cancel: () => {
      clearTimeout(timer)
      rest?.cancel()
    },
  }
}

/** The clock's time, standing still where the clock is set back until it is there again. */
export function forwardTime(clock: Clock): () => number {
  let latest = -Infinity
  return () => {
    latest = Math.max(latest, clock.now())
    return latest
  }
}

/** How old a time that was read before may be, in ms as long as the event loop turns. */
const RECENT_MS = 10
/** How often such a time is given where it does not turn. */
const RECENT_USES = 64

/**
 * The time for what comes in great numbers and need not know it to the millisecond: reading a clock costs as much
 * as a small append. What either method gives is never before what the other gave, unless the clock was set back.
 */
export class RecentTime {
  readonly #clock: Clock
  #latest = 0
  #uses = 0
  #isTimed = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  now(): number {
    this.#latest = this.#clock.now()
    return this.#latest
  }

  recent(): number {
    if (this.#uses > 0) {
      this.#uses--
      return this.#latest
    }
    this.#uses = RECENT_USES
    if (!this.#isTimed) {
      this.#isTimed = true
      this.#clock.setTimer(RECENT_MS, () => {
        this.#isTimed = false
        this.#uses = 0
      })
    }
    return this.now()
  }
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer: (delayMs, callback) => startTimer(delayMs, callback, true),
  sleep(delayMs, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason as Error)
        return
      }
      const onAbort = (): void => {
        timer.cancel()
        reject(signal?.reason as Error)
      }
      const onTime = (): void => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }
      const timer = startTimer(delayMs, onTime, false)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  },
  yield: () => new Promise((resolve) => setImmediate(resolve)),
}
