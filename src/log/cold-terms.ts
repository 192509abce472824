/**
 * When records expire that lie in segments of a log in RAM. A snapshot brought them there with their terms, which are
 * in the footers: they are read once when an engine, or an archive, is opened, and views leave out what is over.
 */
import { StratalogError, isStratalogError } from '../base/errors.ts'
import type { Range } from '../base/range.ts'
import type { SegmentEntry } from '../format/manifest.ts'
import type { GapHistory } from './gap-history.ts'
import { type OffsetTerms, termsWithin } from './record-terms.ts'
import { damageOf } from './segment-damage.ts'

/** Of a segment. @throws what its copies throw. */
export type LoadTerms = (segment: SegmentEntry) => Promise<readonly OffsetTerms[]>

/** Footers that are read side by side. */
const PARALLEL_LOADS = 8

export class ColdTerms {
  readonly #load: LoadTerms
  /** In the order of offsets. */
  #terms: readonly OffsetTerms[] = []
  /** No record expires before. */
  #expiresMin = Infinity
  /** Segments whose copies could not be reached; with why. */
  #unknown: ReadonlyMap<SegmentEntry, StratalogError> = new Map()
  #learning: Promise<void> | null = null

  private constructor(load: LoadTerms) {
    this.#load = load
  }

  /** Null where none of the records expires. */
  static async of(segments: Iterable<SegmentEntry>, load: LoadTerms): Promise<ColdTerms | null> {
    const terms = new ColdTerms(load)
    await terms.#learn([...segments])
    return terms.#expiresMin === Infinity && terms.#unknown.size === 0 ? null : terms
  }

  /** The ranges of `part` that have not expired by `now`; the others are noted as gaps. */
  liveRanges(part: Range, now: number, gaps: GapHistory): readonly Range[] {
    if (now < this.#expiresMin) return [part]
    const live: Range[] = []
    for (const { start, end, expiresAt } of termsWithin(this.#terms, part.start, part.end)) {
      const last = live.at(-1)
      if (expiresAt <= now) gaps.add(start, end, 'expired')
      else if (last?.end === start) live[live.length - 1] = { start: last.start, end }
      else live.push({ start, end })
    }
    return live
  }

  /** Why nobody can tell now which records of the segment are over, and tries again to learn it; null where one can. */
  unknown(segment: SegmentEntry): StratalogError | null {
    const error = this.#whyUnknown(segment)
    // Who settles is told of a failure that nobody expects.
    if (error !== null) this.#learnAgain().catch(() => {})
    return error
  }

  /** Tries again to learn of a segment. @throws StratalogError what `unknown` gives. */
  async settle(segment: SegmentEntry): Promise<void> {
    await this.#learnAgain()
    const error = this.#whyUnknown(segment)
    if (error !== null) throw error
  }

  #whyUnknown({ baseOffset, endOffset }: SegmentEntry): StratalogError | null {
    for (const [segment, cause] of this.#unknown) {
      if (segment.endOffset <= baseOffset || segment.baseOffset >= endOffset) continue
      return new StratalogError(
        'store_unavailable',
        `Offsets ${baseOffset} to ${endOffset} may have expired, and what says so cannot be read now: ${cause.message} Try again.`,
        { cause, details: cause.details },
      )
    }
    return null
  }

  #learnAgain(): Promise<void> {
    this.#learning ??= this.#learn([...this.#unknown.keys()]).finally(() => {
      this.#learning = null
    })
    return this.#learning
  }

  async #learn(segments: readonly SegmentEntry[]): Promise<void> {
    const found = [...this.#terms]
    const unknown = new Map<SegmentEntry, StratalogError>()
    const queue = segments.values()
    const work = async (): Promise<void> => {
      for (const segment of queue) {
        try {
          found.push(...(await this.#load(segment)))
        } catch (error) {
          // Of damaged ones a reader is told when it comes to them.
          if (damageOf(error, 0, 0) !== null) continue
          if (!isStratalogError(error)) throw error
          unknown.set(segment, error)
        }
      }
    }
    await Promise.all(Array.from({ length: PARALLEL_LOADS }, work))
    this.#terms = found.sort((a, b) => a.start - b.start)
    this.#unknown = unknown
    for (const { expiresAt } of found) this.#expiresMin = Math.min(this.#expiresMin, expiresAt)
  }
}
