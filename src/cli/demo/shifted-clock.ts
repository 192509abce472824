import { type Clock, systemClock } from '../../base/clock.ts'

/**
 * The system's clock, moved forward when told to: records age in no time. Timers and monotonic time stay real, because
 * deadlines and retries of a real object store run on them.
 */
export class ShiftedClock implements Clock {
  readonly setTimer: Clock['setTimer'] = (delayMs, callback) =>
    systemClock.setTimer(delayMs, callback)
  readonly sleep: Clock['sleep'] = (delayMs, signal) => systemClock.sleep(delayMs, signal)
  readonly yield: Clock['yield'] = () => systemClock.yield()
  #shiftMs: number

  constructor(shiftMs: number) {
    this.#shiftMs = shiftMs
  }

  now(): number {
    return systemClock.now() + this.#shiftMs
  }

  monotonic(): number {
    return systemClock.monotonic()
  }

  advance(deltaMs: number): void {
    this.#shiftMs += deltaMs
  }
}
