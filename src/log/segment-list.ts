/** The segments of one partition, in offset order; between them there may be holes. */
import { assert, present } from '../base/assert.ts'
import type { Location, SegmentEntry } from '../format/manifest.ts'
import { archivedPrefixEnd } from './pinned-segment.ts'

export class SegmentList {
  readonly #segments: SegmentEntry[]
  #archivedEnd: number

  constructor(segments: readonly SegmentEntry[], startOffset: number) {
    this.#segments = [...segments]
    this.#archivedEnd = archivedPrefixEnd(this.#segments, startOffset)
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

  /** What lies between it and the one before is held by nothing. */
  add(segment: SegmentEntry, startOffset: number): void {
    assert(segment.baseOffset >= (this.endOffset ?? 0), 'segments come in the order of offsets')
    this.#segments.push(segment)
    this.#archivedEnd = archivedPrefixEnd(this.#segments, startOffset)
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
