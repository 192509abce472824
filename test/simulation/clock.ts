/** The clock of one simulated process: time is the world's, the wall clock may jump, and no dead process is called. */
import type { Clock, Timer } from '../../src/base/clock.ts'
import type { SimulatedProcess } from './process.ts'
import type { WallClock } from './world.ts'

export class SimulatedClock implements Clock {
  readonly #process: SimulatedProcess
  readonly #wall: WallClock

  constructor(process: SimulatedProcess, wall: WallClock) {
    this.#process = process
    this.#wall = wall
  }

  now(): number {
    return this.#wall.now()
  }

  monotonic(): number {
    return this.#wall.monotonic()
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    return this.#process.after(delayMs, callback)
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
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

  yield(): Promise<void> {
    return new Promise((resolve) => {
      this.#process.after(0, resolve)
    })
  }
}
