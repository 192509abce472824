/**
 * Whether a snapshot can be restored, as far as that is cheap to tell: every offset is in a segment that the archive's
 * manifest names, and every object is there and long enough. Its bytes are what `snapshot verify` reads.
 */
import type {
  Location,
  LogState,
  ManifestState,
  SegmentEntry,
  Snapshot,
} from '../format/manifest.ts'
import { segmentsHolding, unheld } from '../log/held-segments.ts'
import type { ObjectStore } from '../storage/object-store.ts'

/** Objects that are asked after side by side. */
const PARALLEL_HEADS = 8

export interface SnapshotSegment {
  readonly log: LogState
  readonly partition: number
  readonly segment: SegmentEntry
}

/** The segments that a restore of the snapshot needs, by log, partition and offset. */
export function* snapshotSegments(
  state: ManifestState,
  { logs }: Snapshot,
): Generator<SnapshotSegment> {
  for (const { logId, partitions } of logs) {
    const log = state.logs.get(logId)
    if (log === undefined) continue
    for (const { partition, startOffset, endOffset } of partitions) {
      const held = log.partitions[partition]
      if (held === undefined) continue
      for (const segment of segmentsHolding(held, startOffset, endOffset))
        yield { log, partition, segment }
    }
  }
}

/** What the manifest itself cannot give of a snapshot, in words; null when it names all. */
export function unnamedOf(state: ManifestState, { logs }: Snapshot): string | null {
  for (const { logId, name, partitions } of logs) {
    const log = state.logs.get(logId)
    if (log === undefined) return `log '${name}' is no longer in the manifest`
    if (log.definition.policy.mode === 'memory') continue
    for (const { partition, startOffset, endOffset } of partitions) {
      const held = log.partitions[partition]
      const [gap] = held === undefined ? [] : unheld(held, startOffset, endOffset)
      if (gap !== undefined)
        return `offsets ${gap.start} to ${gap.end} of log '${name}', partition ${partition}, are in no segment`
    }
  }
  return null
}

/** Why a snapshot cannot be restored. */
export interface SnapshotLack {
  /** In words. */
  readonly reason: string
  /** The object that is not as it was written; null where none is to blame. */
  readonly object: string | null
}

/**
 * Why a snapshot cannot be restored; null when nothing speaks against it.
 * @param known objects that were found before; those that are found now are added, others forgotten.
 * @throws StratalogError what the store throws.
 */
export async function lackOf(
  store: ObjectStore,
  state: ManifestState,
  snapshot: Snapshot,
  known: Map<string, number>,
): Promise<SnapshotLack | null> {
  const unnamed = unnamedOf(state, snapshot)
  if (unnamed !== null) return { reason: unnamed, object: null }
  const wanted = new Map<string, number>()
  for (const { segment } of snapshotSegments(state, snapshot)) {
    const { object, baseOffset, endOffset } = segment
    if (object === null)
      return { reason: `offsets ${baseOffset} to ${endOffset} have no object`, object }
    wanted.set(object.object, Math.max(wanted.get(object.object) ?? 0, endOf(object)))
  }
  for (const key of known.keys()) if (!wanted.has(key)) known.delete(key)
  const unknown = [...wanted].filter(([key, length]) => (known.get(key) ?? 0) < length)
  for (let index = 0; index < unknown.length; index += PARALLEL_HEADS) {
    const part = unknown.slice(index, index + PARALLEL_HEADS)
    const heads = await Promise.all(part.map(([key]) => store.head(key)))
    for (const [at, [key, length]] of part.entries()) {
      const head = heads[at] ?? null
      if (head === null) return { reason: `${key} is missing`, object: key }
      if (head.length < length)
        return { reason: `${key} is shorter than it was written`, object: key }
      known.set(key, head.length)
    }
  }
  return null
}

function endOf({ position, length }: Location): number {
  return position + length
}
