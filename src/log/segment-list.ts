/** The segments of one partition, in offset order; between them there may be holes. */
import { assert, present } from '../base/assert.ts'
import type { Location, SegmentEntry } from '../format/manifest.ts'
import { SegmentEntries, SegmentEntriesEditor } from '../format/segment-entries.ts'
import { archivedPrefixEnd } from './pinned-segment.ts'

/** What retention asks of all segments. */
export interface SegmentTotals {
  /** The newest time of a record that a segment has, or had, in ms; -Infinity where none did. */
  readonly newestTime: number
  readonly storedBytes: number
}

export class SegmentList {
  #segments: SegmentEntries
  #archivedEnd: number
  /** Null until somebody asks: to look at every segment takes a while. */
  #totals: SegmentTotals | null = null

  constructor(segments: Iterable<SegmentEntry>, startOffset: number) {
    this.#segments = SegmentEntries.of(segments)
    this.#archivedEnd = archivedPrefixEnd(this.#segments, startOffset)
  }

  get all(): SegmentEntries {
    return this.#segments
  }
  /** Undefined without a segment. */
  get endOffset(): number | undefined {
    return this.#segments.chunks.at(-1)?.endOffset
  }
  /** Below it every record that a segment holds has an object copy. */
  get archivedEnd(): number {
    return this.#archivedEnd
  }

  get totals(): SegmentTotals {
    return (this.#totals ??= totalsOf(this.#segments))
  }

  /** Whether these very bytes are one of them. */
  has({ baseOffset, sha256 }: SegmentEntry): boolean {
    return this.#segments.startingAt(baseOffset)?.sha256 === sha256
  }

  /** What lies between it and the one before is held by nothing. */
  add(segment: SegmentEntry, startOffset: number): void {
    assert(segment.baseOffset >= (this.endOffset ?? 0), 'segments come in the order of offsets')
    const editor = new SegmentEntriesEditor(this.#segments)
    editor.insert(segment)
    this.#segments = editor.build()
    if (this.#totals !== null) this.#totals = withSegment(this.#totals, segment)
    this.#archivedEnd = archivedPrefixEnd(this.#segments, startOffset)
  }

  /** Takes out the segments that end at or below `offset`, which cuts none. */
  removeBelow(offset: number): readonly SegmentEntry[] {
    const editor = new SegmentEntriesEditor(this.#segments)
    const removed: SegmentEntry[] = []
    for (let found = editor.at(0); found !== null; found = editor.at(0)) {
      if (found.entry.endOffset > offset) break
      removed.push(found.entry)
      if (this.#totals !== null) {
        const { newestTime: newest, storedBytes } = this.#totals
        this.#totals = { newestTime: newest, storedBytes: storedBytes - found.entry.length }
      }
      editor.remove(found)
    }
    this.#segments = editor.build()
    assert((this.#segments.at(0)?.baseOffset ?? offset) >= offset, 'a segment is retired whole')
    this.#archivedEnd = archivedPrefixEnd(this.#segments, offset)
    return removed
  }

  /** Puts `segment` in the place of `replaced`, which have its offsets. */
  replace(replaced: readonly SegmentEntry[], segment: SegmentEntry, startOffset: number): void {
    const editor = new SegmentEntriesEditor(this.#segments)
    for (const { baseOffset } of replaced)
      editor.remove(present(editor.at(baseOffset) ?? undefined, `segment at ${baseOffset}`))
    editor.insert(segment)
    this.#segments = editor.build()
    this.#archivedEnd = archivedPrefixEnd(this.#segments, startOffset)
    this.#totals = null
  }

  setCopy(
    baseOffset: number,
    tier: 'disk' | 'object',
    location: Location | null,
    startOffset: number,
  ): void {
    const editor = new SegmentEntriesEditor(this.#segments)
    const next = editor.at(baseOffset)
    const found = present(
      next?.entry.baseOffset === baseOffset ? next : undefined,
      `segment at ${baseOffset}`,
    )
    editor.replace(found, { ...found.entry, [tier]: location })
    this.#segments = editor.build()
    this.#archivedEnd = archivedPrefixEnd(this.#segments, startOffset)
  }
}

/** The newest time of its records, in ms: of those without one when they were appended. */
export function newestTime({ timeMax, appendTimeMax }: SegmentEntry): number {
  return Number.isFinite(timeMax) ? timeMax : appendTimeMax
}

function totalsOf(segments: Iterable<SegmentEntry>): SegmentTotals {
  let totals: SegmentTotals = { newestTime: -Infinity, storedBytes: 0 }
  for (const segment of segments) totals = withSegment(totals, segment)
  return totals
}

function withSegment(totals: SegmentTotals, segment: SegmentEntry): SegmentTotals {
  return {
    newestTime: Math.max(totals.newestTime, newestTime(segment)),
    storedBytes: totals.storedBytes + segment.length,
  }
}
