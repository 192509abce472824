/**
 * Collect: objects of retired segments are removed from the archive, in two sweeps.
 *
 * 1. the commit that retires a segment is the first: it keeps the object in mind, and says since when;
 * 2. the second comes after a grace, for readers of an older manifest: what no snapshot names is removed, and the
 *    manifest forgets it.
 *    (a crash in between leaves objects in mind that are gone; the next sweep finds nothing to remove and forgets them)
 *
 * A key that was retired is never given to a segment again, so a writer that was superseded may go on removing what it
 * retired itself: nobody names it any more.
 */
import { present } from '../base/assert.ts'
import type { ManifestEdit, ManifestState, SegmentEntry } from '../format/manifest.ts'
import { pinnedObjects } from '../log/held-segments.ts'
import type { LiveLog } from '../log/live-log.ts'
import { hasForks, isSharedObject } from '../log/segment-origin.ts'
import type { TieringContext } from './context.ts'

/** How long the object of a retired segment stays, in ms: longer than a reader works on one state of the archive. */
export const COLLECT_GRACE_MS: number = 60 * 60 * 1000

/** Objects that are removed side by side. */
const PARALLEL_DELETES = 8

/** An object that a collection removed, or would remove. Shaped for `tier collect --json`. */
export interface CollectedObject {
  readonly log: string
  readonly partition: number
  readonly from: number
  readonly to: number
  readonly key: string
  readonly bytes: number
}

export interface CollectReport {
  readonly collected: readonly CollectedObject[]
  readonly bytes: number
  /** Retired segments that stay for now, because a snapshot names them or their grace is not over. */
  readonly pinned: number
  readonly waiting: number
}

export interface CollectOptions {
  /** ms; `COLLECT_GRACE_MS` when left out. */
  readonly grace?: number | undefined
  /** Says what would go, and removes nothing. */
  readonly dryRun?: boolean | undefined
}

interface Candidate {
  readonly logId: number
  readonly object: CollectedObject
}

/** @throws StratalogError what the object store throws; what was removed before is forgotten all the same. */
export async function collectArchive(
  context: TieringContext,
  { grace = COLLECT_GRACE_MS, dryRun = false }: CollectOptions = {},
): Promise<CollectReport> {
  const archive = present(context.archive, 'what is collected lies in an archive')
  const manifest = await archive.manifest()
  const { due, pinned, waiting } = candidatesOf(context, manifest.state, grace)
  const report = (collected: readonly Candidate[]): CollectReport => ({
    collected: collected.map(({ object }) => object),
    bytes: collected.reduce((sum, { object }) => sum + object.bytes, 0),
    pinned,
    waiting,
  })
  if (dryRun || due.length === 0) return report(due)
  // Who was superseded learns it here, before anything is removed.
  await manifest.refresh()
  const removed: Candidate[] = []
  try {
    for (let index = 0; index < due.length; index += PARALLEL_DELETES) {
      const part = due.slice(index, index + PARALLEL_DELETES)
      await Promise.all(part.map(({ object }) => archive.store.remove(object.key)))
      removed.push(...part)
    }
  } finally {
    if (removed.length > 0) await manifest.commit((state) => collectedEdits(state, removed))
  }
  const { collected, bytes } = report(removed)
  context.metrics.count('stratalog_collected_objects_total', collected.length)
  context.metrics.count('stratalog_collected_bytes_total', bytes)
  context.logger.info('Objects of retired segments were removed.', {
    objects: removed.length,
    bytes,
  })
  return report(removed)
}

/** Whether a collection would find something to do, as far as the archive is known. */
export function isCollectable(context: TieringContext): boolean {
  const state = context.archive?.state ?? null
  return state !== null && candidatesOf(context, state, COLLECT_GRACE_MS).due.length > 0
}

function candidatesOf(
  { clock, logs, pins }: TieringContext,
  state: ManifestState,
  grace: number,
): { readonly due: readonly Candidate[]; readonly pinned: number; readonly waiting: number } {
  const due: Candidate[] = []
  let waiting = 0
  let pinned = 0
  let named: ReadonlySet<string> | null = null
  const before = clock.now() - grace
  let isForked: boolean | null = null
  const isShared = (logId: number, partition: number, segment: SegmentEntry): boolean =>
    (isForked ??= hasForks(state)) && isSharedObject(state, logId, partition, segment, before)
  const live = new Map([...logs()].map((log) => [log.id, log]))
  for (const [logId, { definition, partitions }] of state.logs) {
    for (const [partition, { retired = [] }] of partitions.entries()) {
      for (const { segment, retiredAt } of retired) {
        const { object: key } = present(segment.object, 'what is kept in mind is an object')
        named ??= pinnedObjects(state)
        if (named.has(key) || isShared(logId, partition, segment)) pinned++
        else if (retiredAt > before || pins.isPinned(key)) waiting++
        // The partition does not know yet that another segment stands in its place, or the archive of a fork.
        else if (isLive(live, logId, partition, segment)) waiting++
        else {
          const { baseOffset: from, endOffset: to, length: bytes } = segment
          due.push({ logId, object: { log: definition.name, partition, from, to, key, bytes } })
        }
      }
    }
  }
  return { due, pinned, waiting }
}

function isLive(
  live: ReadonlyMap<number, LiveLog>,
  logId: number,
  partition: number,
  segment: SegmentEntry,
): boolean {
  for (const { id, definition, partitions } of live.values()) {
    const isRelated = id === logId || definition.origins !== undefined
    if (isRelated && partitions[partition]?.hasSegment(segment) === true) return true
  }
  return false
}

function collectedEdits(
  state: ManifestState,
  removed: readonly Candidate[],
): readonly ManifestEdit[] {
  const edits: ManifestEdit[] = []
  for (const [logId, { partitions }] of state.logs) {
    for (const [partition, { retired = [] }] of partitions.entries()) {
      const kept = new Set(retired.map(({ segment }) => segment.object?.object))
      const objects = removed
        .filter((entry) => entry.logId === logId && entry.object.partition === partition)
        .map(({ object }) => object.key)
        .filter((key) => kept.has(key))
      if (objects.length > 0) edits.push({ kind: 'segments-collected', logId, partition, objects })
    }
  }
  return edits
}
