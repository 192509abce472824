/**
 * A walk over all copies that takes a period, again and again: its steps are spread evenly over what is left of it, so
 * that copies which come meanwhile make them closer, and time that was lost is made up for.
 */
import type { SegmentCopy } from './scrub-copies.ts'

/** How many copies there are is counted anew this often, ms. */
const COUNT_EVERY_MS = 60_000
/** A step that failed is made again after this time, ms. */
const RETRY_AFTER_MS = 60_000

export interface PassSource {
  /** About how many there are now. */
  readonly count: () => number
  readonly copies: () => Iterator<SegmentCopy, undefined>
}

export class ScrubPass {
  readonly #source: PassSource
  readonly #periodMs: number
  /** Null between two walks. */
  #copies: Iterator<SegmentCopy, undefined> | null = null
  #failed: SegmentCopy | null = null
  #endsAt: number
  #nextAt: number
  #done = 0
  #count = 0
  #countedAt = -Infinity

  /** `now` is monotonic, as everywhere here. */
  constructor(source: PassSource, periodMs: number, now: number) {
    this.#source = source
    this.#periodMs = periodMs
    this.#endsAt = now + periodMs
    this.#nextAt = this.#nextStep(now)
  }

  get nextAt(): number {
    return this.#nextAt
  }

  /** The next copy, where it is due; else null. */
  take(now: number): SegmentCopy | null {
    if (now < this.#nextAt) return null
    const copy = this.#failed ?? this.#next(now)
    this.#failed = null
    this.#nextAt = copy === null ? Math.max(now, this.#endsAt) : this.#nextStep(now)
    return copy
  }

  /** Nobody can tell of this copy now: it comes again, and the others after it. */
  failed(copy: SegmentCopy, now: number): void {
    this.#failed = copy
    this.#nextAt = now + RETRY_AFTER_MS
  }

  #next(now: number): SegmentCopy | null {
    if (this.#copies === null) {
      this.#copies = this.#source.copies()
      if (now >= this.#endsAt) this.#endsAt = now + this.#periodMs
      this.#done = 0
      this.#countedAt = -Infinity
    }
    const next = this.#copies.next()
    if (next.done === true) {
      this.#copies = null
      return null
    }
    this.#done++
    return next.value
  }

  #nextStep(now: number): number {
    if (now - this.#countedAt >= COUNT_EVERY_MS) {
      this.#countedAt = now
      this.#count = this.#source.count()
    }
    const left = Math.max(0, this.#count - this.#done)
    return now + Math.max(0, this.#endsAt - now) / (left + 1)
  }
}
