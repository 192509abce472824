/** How fast history goes by: as fast as it can, or with the record times stretched or squeezed by a factor. */
import { StratalogError } from '../base/errors.ts'

/** `max`, `realtime`, how many times faster than it happened, or `stepped`: at the word of whoever steps. */
export type ReplaySpeed = 'max' | 'realtime' | 'stepped' | number

export class Pace {
  /** Record ms that go by in one ms; null for as fast as possible. */
  readonly #factor: number | null
  #originTime: number | null = null
  #originNow = 0

  /** @throws StratalogError `argument_invalid` when the speed is none. */
  constructor(speed: ReplaySpeed) {
    if (speed === 'max' || speed === 'stepped') this.#factor = null
    else this.#factor = speed === 'realtime' ? 1 : speed
    if (this.#factor === null || (Number.isFinite(this.#factor) && this.#factor > 0)) return
    throw new StratalogError(
      'argument_invalid',
      `speed: ${String(speed)} is not 'max', 'realtime', 'stepped' or a number above 0.`,
      {
        details: { given: speed },
      },
    )
  }

  /**
   * How long to wait before records of `time` may go out. The first that is asked for goes at once. Times that lie
   * before those of records that went out already wait for nothing.
   *
   * @param now monotonic, ms.
   */
  delayBefore(time: number, now: number): number {
    if (this.#factor === null) return 0
    if (this.#originTime === null) {
      this.#originTime = time
      this.#originNow = now
    }
    return Math.max(0, this.#originNow + (time - this.#originTime) / this.#factor - now)
  }
}
