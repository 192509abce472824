import { present } from '../base/assert.ts'
import { type Range, intersectRanges } from '../base/range.ts'
import type { Location, SegmentEntry } from '../format/manifest.ts'
import type { SegmentEntries } from '../format/segment-entries.ts'
import type { Lease, SegmentBytes, SegmentFallback, SegmentSource, ViewSource } from './log-view.ts'
import type { SegmentPins } from './segment-pins.ts'

/** How a partition comes to the copies of its segments. */
export interface SegmentPorts {
  readonly pins: SegmentPins
  /** The stored bytes of one copy. */
  readonly segmentBytes: (
    tier: 'disk' | 'object',
    segment: SegmentEntry,
    location: Location,
  ) => SegmentBytes
  /** The archive's copy, for when the disk's is damaged; null where there is no archive to read from. */
  readonly fallback?: (segment: SegmentEntry, location: Location) => SegmentFallback | null
}

/** A segment in a view: its disk copy or else its object copy, both pinned until the leases end. */
function segmentSource(
  ports: SegmentPorts,
  segment: SegmentEntry,
  part: Range,
  leases: Lease[],
): SegmentSource {
  const tier = segment.disk === null ? 'object' : 'disk'
  const location = present(segment.disk ?? segment.object, 'a segment has a copy')
  if (tier === 'disk') {
    ports.pins.pin(location.object)
    leases.push({ release: () => ports.pins.unpin(location.object) })
  }
  const object = segment.object?.object
  if (object !== undefined) {
    ports.pins.pin(object)
    leases.push({ release: () => ports.pins.unpin(object) })
  }
  const fallback =
    tier === 'disk' && segment.object !== null
      ? (ports.fallback?.(segment, segment.object) ?? null)
      : null
  return {
    tier,
    segment,
    from: part.start,
    to: part.end,
    bytes: ports.segmentBytes(tier, segment, location),
    ...(fallback === null ? {} : { fallback }),
  }
}

/** The offset below which every record has an object copy. */
export function archivedPrefixEnd(segments: SegmentEntries, startOffset: number): number {
  const [waiting] = segments.lacking('object')
  if (waiting === undefined) return segments.chunks.at(-1)?.endOffset ?? startOffset
  const index = segments.indexAt(waiting.baseOffset)
  return index === 0 ? startOffset : (segments.at(index - 1)?.endOffset ?? startOffset)
}

/** Pins what of the segments, which are in order, lies in `wanted`. */
export function segmentSources(
  ports: SegmentPorts,
  segments: SegmentEntries,
  wanted: Range,
  leases: Lease[],
): ViewSource[] {
  const sources: ViewSource[] = []
  for (const segment of segments.from(wanted.start)) {
    const part = intersectRanges({ start: segment.baseOffset, end: segment.endOffset }, wanted)
    if (part === null) break
    sources.push(segmentSource(ports, segment, part, leases))
  }
  return sources
}
