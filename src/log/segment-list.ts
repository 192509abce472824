/** The segments of one partition, in offset order; between them there may be holes. */
import { assert, present } from '../base/assert.ts'
import type { Location, SegmentEntry } from '../format/manifest.ts'
import { SegmentEntries, SegmentEntriesEditor } from '../format/segment-entries.ts'
import { archivedPrefixEnd } from './pinned-segment.ts'

export class SegmentList {
  #segments: SegmentEntries
  #archivedEnd: number

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

  /** What lies between it and the one before is held by nothing. */
  add(segment: SegmentEntry, startOffset: number): void {
    assert(segment.baseOffset >= (this.endOffset ?? 0), 'segments come in the order of offsets')
    const editor = new SegmentEntriesEditor(this.#segments)
    editor.insert(segment)
    this.#segments = editor.build()
    this.#archivedEnd = archivedPrefixEnd(this.#segments, startOffset)
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
