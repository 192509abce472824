/**
 * Whether what a snapshot has and older ones have not is as it was written: before they go, its bytes are looked at as
 * a scrubber does. What all of them share is as good or bad with them as without.
 */
import type { ManifestState, SegmentEntry, Snapshot } from '../format/manifest.ts'
import { ownerOf } from '../log/segment-origin.ts'
import { type SnapshotLack, type SnapshotSegment, snapshotSegments } from '../snapshot/check.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { lookAt } from '../tiering/scrub-look.ts'

/**
 * The first damage; null where there is none.
 * @param older snapshots that are to go, at least one.
 * @param sound places in objects that were looked at before; what is found sound now is added.
 * @throws StratalogError what the store throws.
 */
export async function newDamageOf(
  store: ObjectStore,
  state: ManifestState,
  newest: Snapshot,
  older: readonly Snapshot[],
  sound: Set<string>,
): Promise<SnapshotLack | null> {
  const ports = {
    disk: null,
    store,
    pace: () => Promise.resolve(),
    signal: new AbortController().signal,
  }
  const isShared = sharedBy(older)
  const wanted = new Set<string>()
  for (const held of snapshotSegments(state, newest)) {
    const { log, partition, segment } = held
    const { object: location } = segment
    if (location === null) continue
    const place = `${location.object}@${location.position}`
    wanted.add(place)
    if (sound.has(place) || isShared(held)) continue
    const { definition } = log
    const of = { logId: definition.id, log: definition.name, partition, segment, location }
    const owner = ownerOf(definition, partition, segment)
    const [damage] = await lookAt(ports, { ...of, tier: 'object', owner }, 'bytes')
    if (damage !== undefined) {
      const { from, to, reason } = damage
      const what = `${location.object} is damaged: ${reason} It holds offsets ${from} to ${to} of log '${of.log}', partition ${partition}`
      return { reason: what, object: location.object }
    }
    sound.add(place)
  }
  for (const place of sound) if (!wanted.has(place)) sound.delete(place)
  return null
}

/** Offsets of a partition: a segment that ends behind `start` and begins before `end` is in every snapshot. */
interface Shared {
  start: number
  end: number
  count: number
}

/** Whether every one of the snapshots holds records of a segment. */
function sharedBy(snapshots: readonly Snapshot[]): (held: SnapshotSegment) => boolean {
  const shared = new Map<string, Shared>()
  for (const { logs } of snapshots)
    for (const { logId, partitions } of logs)
      for (const { partition, startOffset, endOffset } of partitions) {
        const key = `${logId}/${partition}`
        const known = shared.get(key) ?? { start: 0, end: Infinity, count: 0 }
        known.start = Math.max(known.start, startOffset)
        known.end = Math.min(known.end, endOffset)
        known.count++
        shared.set(key, known)
      }
  return ({ log, partition, segment }) => {
    const known = shared.get(`${log.definition.id}/${partition}`)
    return known !== undefined && known.count === snapshots.length && touches(segment, known)
  }
}

function touches({ baseOffset, endOffset }: SegmentEntry, { start, end }: Shared): boolean {
  return endOffset > start && baseOffset < end
}
