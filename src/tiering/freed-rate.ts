import type { Clock } from '../base/clock.ts'

const WINDOW_MS = 10_000
const HINT_MS_MIN = 10
const HINT_MS_MAX = 10_000

/** How fast memory came free lately: what an append that is refused is told of when to come again. */
export class FreedRate {
  readonly #clock: Clock
  /** Bytes that came free in this window and in the one before. */
  #windowStart: number
  #bytes = 0
  #bytesBefore = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#windowStart = clock.monotonic()
  }

  add(bytes: number): void {
    this.#roll()
    this.#bytes += bytes
  }

  /** How long it takes until `bytes` come free at the rate of late. */
  msUntil(bytes: number): number {
    const elapsed = this.#roll()
    const bytesPerMs = (this.#bytes + this.#bytesBefore) / (elapsed + WINDOW_MS)
    if (bytesPerMs === 0) return HINT_MS_MAX
    return Math.ceil(Math.min(HINT_MS_MAX, Math.max(HINT_MS_MIN, bytes / bytesPerMs)))
  }

  /** Begins a new window where it is time; how far the present one is. */
  #roll(): number {
    const now = this.#clock.monotonic()
    const elapsed = now - this.#windowStart
    if (elapsed < WINDOW_MS) return elapsed
    this.#bytesBefore = elapsed < 2 * WINDOW_MS ? this.#bytes : 0
    this.#bytes = 0
    this.#windowStart = now
    return 0
  }
}
