import { present } from '../base/assert.ts'
import { type Range, intersectRanges } from '../base/range.ts'
import type { Location, SegmentEntry } from '../format/manifest.ts'
import type { SegmentEntries } from '../format/segment-entries.ts'
import type { ColdTerms } from './cold-terms.ts'
import type { GapHistory } from './gap-history.ts'
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
  /** As of `SegmentSource.successor`; null where nobody else changes the archive. */
  readonly successor?: SuccessorLookup | null
  /** The archive's copy, for when the disk's is damaged; null where there is no archive to read from. */
  readonly fallback?: (segment: SegmentEntry, location: Location) => SegmentFallback | null
}

/** Whose segment it is in the directory: the log that names it, and its partition. */
export interface SegmentPlace {
  readonly logId: number
  readonly partition: number
}

/** What holds a segment's records in the archive by now, and its bytes. @throws StratalogError `object_not_found`. */
export type SuccessorLookup = (
  place: SegmentPlace,
  segment: SegmentEntry,
) => Promise<{ readonly segment: SegmentEntry; readonly bytes: SegmentBytes } | null>

/** A segment in a view: its disk copy or else its object copy. A view of many segments reads few: bytes come late. */
class StoredSource implements SegmentSource {
  readonly tier: 'disk' | 'object'
  readonly segment: SegmentEntry
  readonly from: number
  readonly to: number
  readonly fallback?: SegmentFallback
  readonly successor?: () => Promise<SegmentSource | null>
  readonly #ports: SegmentPorts
  readonly #location: Location
  #bytes: SegmentBytes | null = null

  constructor(
    ports: SegmentPorts,
    place: SegmentPlace,
    segment: SegmentEntry,
    part: Range,
    pinned: string[],
  ) {
    const { disk, object } = segment
    this.tier = disk === null ? 'object' : 'disk'
    this.segment = segment
    this.from = part.start
    this.to = part.end
    this.#ports = ports
    this.#location = present(disk ?? object ?? undefined, 'a segment has a copy')
    if (disk !== null) pinned.push(disk.object)
    if (object !== null) pinned.push(object.object)
    const { successor } = ports
    if (object !== null && successor !== undefined && successor !== null)
      this.successor = () => succeeding(successor, place, segment, part)
    if (disk === null || object === null) return
    const fallback = ports.fallback?.(segment, object) ?? null
    if (fallback !== null) this.fallback = fallback
  }

  get bytes(): SegmentBytes {
    return (this.#bytes ??= this.#ports.segmentBytes(this.tier, this.segment, this.#location))
  }
}

async function succeeding(
  lookup: SuccessorLookup,
  place: SegmentPlace,
  segment: SegmentEntry,
  { start: from, end: to }: Range,
): Promise<SegmentSource | null> {
  const found = await lookup(place, segment)
  return found === null ? null : { tier: 'object', ...found, from, to }
}

/** The offset below which every record has an object copy. */
export function archivedPrefixEnd(segments: SegmentEntries, startOffset: number): number {
  const [waiting] = segments.lacking('object')
  if (waiting === undefined) return segments.chunks.at(-1)?.endOffset ?? startOffset
  const index = segments.indexAt(waiting.baseOffset)
  return index === 0 ? startOffset : (segments.at(index - 1)?.endOffset ?? startOffset)
}

/** Stands for records of which nobody can tell whether they may be read; `isAllLive` is asked once somebody can. */
export function unreadableSource(
  source: SegmentSource,
  error: Error,
  terms: ColdTerms,
  isAllLive: () => boolean,
): SegmentSource {
  const { tier, segment, from, to } = source
  const bytes = { length: 0, read: () => Promise.reject(error), path: null, position: 0 }
  const again = async (): Promise<SegmentSource> => {
    await terms.settle(segment)
    // What has expired is a gap of the next view.
    if (!isAllLive()) throw error
    return source
  }
  return { tier, segment, from, to, bytes, lost: { error: () => error, again } }
}

/** What of a partition lies in segments. */
export interface ColdRecords extends SegmentPlace {
  readonly segments: SegmentEntries
  readonly coldTerms: ColdTerms | null
  /** ms; what expired by then is left out. */
  readonly expiryTime: number
}

/** Pins every copy of what of the segments, which are in order, lies in `wanted`; what has expired is a gap. */
export function segmentSources(
  ports: SegmentPorts,
  cold: ColdRecords,
  gaps: GapHistory,
  wanted: Range,
  leases: Lease[],
): ViewSource[] {
  const sources: ViewSource[] = []
  const pinned: string[] = []
  for (const segment of cold.segments.from(wanted.start)) {
    const part = intersectRanges({ start: segment.baseOffset, end: segment.endOffset }, wanted)
    if (part === null) break
    const terms = cold.coldTerms
    const unknown = terms?.unknown(segment) ?? null
    const liveNow = (): readonly Range[] => terms?.liveRanges(part, cold.expiryTime, gaps) ?? [part]
    if (terms !== null && unknown !== null) {
      const source = new StoredSource(ports, cold, segment, part, pinned)
      sources.push(unreadableSource(source, unknown, terms, () => isWhole(liveNow(), part)))
    } else {
      for (const range of liveNow())
        sources.push(new StoredSource(ports, cold, segment, range, pinned))
    }
  }
  for (const file of pinned) ports.pins.pin(file)
  leases.push({ release: () => pinned.forEach((file) => ports.pins.unpin(file)) })
  return sources
}

export function isWhole([first, ...rest]: readonly Range[], part: Range): boolean {
  return first?.start === part.start && first.end === part.end && rest.length === 0
}
