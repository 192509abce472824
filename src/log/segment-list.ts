/** The segments of one partition, in offset order; between them there may be holes. */
import { assert, present } from '../base/assert.ts'
import { segmentIndexAt } from '../format/manifest-builder.ts'
import type { Location, SegmentEntry } from '../format/manifest.ts'
import { archivedPrefixEnd } from './pinned-segment.ts'

export class SegmentList {
  readonly #segments: SegmentEntry[]
  #archivedEnd: number
  #newestTime = -Infinity

  constructor(segments: readonly SegmentEntry[], startOffset: number) {
    this.#segments = [...segments]
    this.#archivedEnd = archivedPrefixEnd(this.#segments, startOffset)
    for (const segment of segments)
      this.#newestTime = Math.max(this.#newestTime, newestTime(segment))
  }

  get all(): readonly SegmentEntry[] {
    return this.#segments
  }
  /** Undefined without a segment. */
  get endOffset(): number | undefined {
    return this.#segments.at(-1)?.endOffset
  }
  /** Below it every record that a segment holds has an object copy. */
  get archivedEnd(): number {
    return this.#archivedEnd
  }

  /** The newest time of a record that a segment held, in ms. */
  get newestTime(): number {
    return this.#newestTime
  }

  /** Whether these very bytes are one of them. */
  has({ baseOffset, sha256 }: SegmentEntry): boolean {
    const segment = this.#segments[segmentIndexAt(this.#segments, baseOffset)]
    return segment?.baseOffset === baseOffset && segment.sha256 === sha256
  }

  /** What lies between it and the one before is held by nothing. */
  add(segment: SegmentEntry, startOffset: number): void {
    assert(segment.baseOffset >= (this.endOffset ?? 0), 'segments come in the order of offsets')
    this.#segments.push(segment)
    this.#newestTime = Math.max(this.#newestTime, newestTime(segment))
    this.#archivedEnd = archivedPrefixEnd(this.#segments, startOffset)
  }

  /** Takes out the segments that end at or below `offset`, which cuts none. */
  removeBelow(offset: number): readonly SegmentEntry[] {
    const removed = this.#segments.splice(0, segmentIndexAt(this.#segments, offset))
    assert((this.#segments[0]?.baseOffset ?? offset) >= offset, 'a segment is retired whole')
    this.#archivedEnd = archivedPrefixEnd(this.#segments, offset)
    return removed
  }

  setCopy(
    baseOffset: number,
    tier: 'disk' | 'object',
    location: Location | null,
    startOffset: number,
  ): void {
    const index = this.#segments.findIndex((segment) => segment.baseOffset === baseOffset)
    const segment = present(this.#segments[index], `segment at ${baseOffset}`)
    this.#segments[index] = { ...segment, [tier]: location }
    this.#archivedEnd = archivedPrefixEnd(this.#segments, startOffset)
  }
}

/** The newest time of its records, in ms: of those without one when they were appended. */
export function newestTime({ timeMax, appendTimeMax }: SegmentEntry): number {
  return Number.isFinite(timeMax) ? timeMax : appendTimeMax
}
