/**
 * Which log wrote a segment. A fork shares the segments of its source: they lie where they lay and say of themselves
 * whose they were. What a fork writes itself lies behind all that it shares, so offsets tell the two apart, and no
 * segment of a fork reaches from one to the other.
 */
import type { LogDefinition, ManifestState, SegmentEntry } from '../format/manifest.ts'
import type { SegmentOwner } from './segment-reading.ts'

/** The log and partition that a segment names in its facts. */
export function ownerOf(
  { id, origins = [] }: LogDefinition,
  partition: number,
  { endOffset }: Pick<SegmentEntry, 'endOffset'>,
): SegmentOwner {
  const origin = origins.find(({ endOffsets }) => endOffset <= (endOffsets[partition] ?? 0))
  return { logId: origin?.logId ?? id, partition }
}

/** Where a fork's own segments begin; 0 for a log that is none. */
export function sharedEnd({ origins = [] }: LogDefinition, partition: number): number {
  return Math.max(0, ...origins.map(({ endOffsets }) => endOffsets[partition] ?? 0))
}

/** Logs that may name the files and objects of `logId`, or whose it may name: itself is not among them. */
export function* relativesOf(
  logId: number,
  definitions: Iterable<LogDefinition>,
): Generator<number> {
  const all = [...definitions]
  const own = all.find(({ id }) => id === logId)?.origins ?? []
  const before = new Set(own.map((origin) => origin.logId))
  for (const { id, origins = [] } of all) {
    if (id === logId) continue
    const isLater = origins.some((origin) => origin.logId === logId || before.has(origin.logId))
    if (isLater || before.has(id)) yield id
  }
}

/**
 * Whether a log of the manifest that is related to `logId` has the object of `segment` for a segment of its own, or
 * retired it after `since`, in ms.
 */
export function isSharedObject(
  { logs }: ManifestState,
  logId: number,
  partition: number,
  { baseOffset, object }: SegmentEntry,
  since: number,
): boolean {
  const definitions = Array.from(logs.values(), ({ definition }) => definition)
  for (const id of relativesOf(logId, definitions)) {
    const other = logs.get(id)?.partitions[partition]
    const own = other?.segments.startingAt(baseOffset)?.object?.object
    if (own !== undefined && own === object?.object) return true
    const isRecent = other?.retired?.some(
      ({ segment, retiredAt }) => retiredAt > since && segment.object?.object === object?.object,
    )
    if (isRecent === true) return true
  }
  return false
}

export function hasForks({ logs }: ManifestState): boolean {
  for (const { definition } of logs.values()) if (definition.origins !== undefined) return true
  return false
}
