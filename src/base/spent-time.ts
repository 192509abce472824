/** What time was spent on, by name: of several things at once each counts. */
import type { Clock } from './clock.ts'

export class SpentTime<T extends string> {
  readonly #clock: Clock
  readonly #spentMs = new Map<T, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(what: T, ms: number): void {
    this.#spentMs.set(what, (this.#spentMs.get(what) ?? 0) + ms)
  }

  async during<R>(what: T, work: () => Promise<R>): Promise<R> {
    const startedMs = this.#clock.monotonic()
    try {
      return await work()
    } finally {
      this.add(what, this.#clock.monotonic() - startedMs)
    }
  }

  /** What most of it went to; of equals what came first, and null where there was nothing. */
  get most(): T | null {
    let most: T | null = null
    for (const [what, ms] of this.#spentMs)
      if (most === null || ms > (this.#spentMs.get(most) ?? 0)) most = what
    return most
  }
}
