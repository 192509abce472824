/** Finds out when records of logs in RAM expire that lie in segments, of an engine that is opened and of an archive. */
import type { LogDefinition, LogState, SegmentEntry } from '../format/manifest.ts'
import type { Archive } from '../log/archive-view.ts'
import { ColdTerms } from '../log/cold-terms.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { SegmentBytes } from '../log/log-view.ts'
import type { PartitionPorts } from '../log/partition.ts'
import { type OffsetTerms, termsOfSegment } from '../log/record-terms.ts'
import { damageOf } from '../log/segment-damage.ts'
import { SegmentReading } from '../log/segment-reading.ts'
import { ownerOf } from '../log/segment-origin.ts'

/** Of a log in another mode nothing expires: it has retention. */
function mayExpire({ policy }: LogDefinition): boolean {
  return policy.mode === 'memory'
}

export async function loadColdTerms(
  logs: Iterable<LiveLog>,
  { segmentBytes, fallback }: Pick<PartitionPorts, 'segmentBytes' | 'fallback'>,
): Promise<void> {
  for (const { definition, partitions } of logs) {
    if (!mayExpire(definition)) continue
    for (const partition of partitions) {
      const { partition: number, segments } = partition
      partition.coldTerms = await ColdTerms.of(segments, async (segment) => {
        const { disk, object } = segment
        const copies: SegmentBytes[] = []
        if (disk !== null) copies.push(segmentBytes('disk', segment, disk))
        const other = object === null || disk === null ? null : fallback?.(segment, object)
        if (other) copies.push(other.bytes)
        else if (object !== null) copies.push(segmentBytes('object', segment, object))
        return termsOfFirst(copies, definition, number, segment)
      })
    }
  }
}

/** Of the first copy that is sound. @throws what the last one throws. */
async function termsOfFirst(
  copies: readonly SegmentBytes[],
  definition: LogDefinition,
  partition: number,
  segment: SegmentEntry,
): Promise<readonly OffsetTerms[]> {
  for (const [index, bytes] of copies.entries()) {
    try {
      const owner = ownerOf(definition, partition, segment)
      const { facts } = await SegmentReading.open(bytes, segment, owner)
      return termsOfSegment(facts)
    } catch (error) {
      if (index === copies.length - 1 || damageOf(error, 0, 0) === null) throw error
    }
  }
  return []
}

/** From here on views of these logs of the archive leave out what is over by `now`. */
export async function expireArchived(
  archive: Archive,
  now: () => number,
  logs: readonly LogState[] = archive.logs,
): Promise<void> {
  const terms = new Map<string, ColdTerms>()
  for (const { definition, partitions } of logs) {
    if (!mayExpire(definition)) continue
    for (const [partition, { segments, retired = [] }] of partitions.entries()) {
      // Snapshots show what is retired.
      const all = [...segments, ...retired.map(({ segment }) => segment)]
      const found = await ColdTerms.of(all, (segment) => {
        const { object } = segment
        const copies = object === null ? [] : [archive.bytesOf(segment, object)]
        return termsOfFirst(copies, definition, partition, segment)
      })
      if (found !== null) terms.set(`${definition.id}/${partition}`, found)
    }
  }
  if (terms.size > 0) archive.expire({ now, of: (id, number) => terms.get(`${id}/${number}`) })
}
