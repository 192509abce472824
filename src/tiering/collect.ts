/**
 * Collect: objects of retired segments are removed from the archive, in two sweeps.
 *
 * 1. the commit that retires a segment is the first: it keeps the object in mind, and says since when;
 * 2. the second comes after a grace, for readers of an older manifest: what no snapshot names is removed, and the
 *    manifest forgets it.
 *    (a crash in between leaves objects in mind that are gone; the next sweep finds nothing to remove and forgets them)
 *
 * Of a log that was deleted all segments are retired. It is forgotten when none of them is left and no snapshot names
 * it.
 *
 * A pack goes with the last of its segments that anything names. What of it is due before stays in mind, which says how
 * much of the pack is dead and since when: before each collection packs of which much is, or for long, are written anew
 * without it (thin-packs.ts).
 * What no manifest names at all is found by listing the archive, where that is asked for: orphans.ts.
 *
 * A key that was retired is never given to a segment again, so a writer that was superseded may go on removing what it
 * retired itself: nobody names it any more.
 */
import { present } from '../base/assert.ts'
import { once } from '../base/once.ts'
import { applyEdits } from '../format/manifest-builder.ts'
import { isPackPath } from '../format/paths.ts'
import type { Location, ManifestEdit, ManifestState, SegmentEntry } from '../format/manifest.ts'
import { objectKeys, pinnedSegments } from '../log/held-segments.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { ManifestStore } from '../log/manifest-store.ts'
import { hasForks, isSharedObject } from '../log/segment-origin.ts'
import type { ArchiveWriter } from './archive-writer.ts'
import type { TieringContext } from './context.ts'
import { type Orphan, type OrphanOptions, collectOrphans } from './orphans.ts'
import { rewriteThinPacks } from './thin-packs.ts'

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
  /** Packs that hold what nothing needs, and whose other segments were put elsewhere: they go after a grace. */
  readonly rewritten: number
  /** Retired segments that stay for now: a snapshot names them; or their grace, or that of their pack, is not over. */
  readonly pinned: number
  readonly waiting: number
  /** What nothing named; empty where it was not looked for. */
  readonly orphans: readonly Orphan[]
}

export interface CollectOptions {
  /** ms; `COLLECT_GRACE_MS` when left out. */
  readonly grace?: number | undefined
  /** Says what would go, and removes nothing. */
  readonly dryRun?: boolean | undefined
  /** Lists the archive for what nothing names. */
  readonly orphans?: boolean | undefined
}

type Collected = Omit<CollectReport, 'orphans' | 'rewritten'>

interface Candidate {
  readonly logId: number
  readonly object: CollectedObject
  readonly location: Location
}

interface Candidates {
  readonly due: readonly Candidate[]
  readonly pinned: number
  readonly waiting: number
}

/** @throws StratalogError what the object store throws; what was removed before is forgotten all the same. */
export async function collectArchive(
  context: TieringContext,
  { grace = COLLECT_GRACE_MS, dryRun = false, orphans = false }: CollectOptions = {},
): Promise<CollectReport> {
  const archive = present(context.archive, 'what is collected lies in an archive')
  const manifest = await archive.manifest()
  const deadAge = orphans ? grace : null
  const rewritten = await rewriteThinPacks(context, archive, manifest, deadAge, dryRun)
  const collected = await collectRetired(context, archive, manifest, { grace, dryRun })
  const retired = { rewritten, ...collected }
  if (!orphans) return { ...retired, orphans: [] }
  if (!dryRun) {
    await archive.settle()
    await manifest.refresh()
  }
  const found = await collectOrphans(context, archive.store, manifest, { grace, dryRun })
  return { ...retired, orphans: found }
}

async function collectRetired(
  context: TieringContext,
  archive: ArchiveWriter,
  manifest: ManifestStore,
  { grace, dryRun }: OrphanOptions,
): Promise<Collected> {
  const { due, pinned, waiting } = await apartFromPacks(
    context,
    manifest.state,
    candidatesOf(context, manifest.state, grace),
  )
  const report = (collected: readonly Candidate[]): Collected => {
    const objects = collected.map(({ object }) => object)
    const bytes = objects.reduce((sum, object) => sum + object.bytes, 0)
    return { collected: objects, bytes, pinned, waiting }
  }
  if (dryRun || (due.length === 0 && forgettable(manifest.state).length === 0)) return report(due)
  // Who was superseded learns it here, before anything is removed.
  await manifest.refresh()
  const removed: Candidate[] = []
  const byKey = Map.groupBy(due, ({ object }) => object.key)
  const keys = [...byKey.keys()]
  try {
    for (let index = 0; index < keys.length; index += PARALLEL_DELETES) {
      const part = keys.slice(index, index + PARALLEL_DELETES)
      await Promise.all(part.map((key) => archive.store.remove(key)))
      removed.push(...part.flatMap((key) => byKey.get(key) ?? []))
    }
  } finally {
    await manifest.commit((state) => {
      const collected = collectedEdits(state, removed)
      return [...collected, ...forgettable(applyEdits(state, collected))]
    })
  }
  const { collected, bytes } = report(removed)
  context.metrics.count('stratalog_collected_objects_total', collected.length)
  context.metrics.count('stratalog_collected_bytes_total', bytes)
  if (keys.length > 0)
    context.logger.info('Objects of retired segments were removed.', {
      objects: keys.length,
      bytes,
    })
  return report(removed)
}

/** Whether a collection would find something to do, as far as the archive is known. */
export function isCollectable(context: TieringContext): boolean {
  const state = context.archive?.state ?? null
  if (state === null) return false
  if (forgettable(state).length > 0) return true
  return candidatesOf(context, state, COLLECT_GRACE_MS).due.length > 0
}

/** Edits for the logs that were deleted, and that nothing is left of which a snapshot or a collection may want. */
function forgettable({ logs, snapshots }: ManifestState): readonly ManifestEdit[] {
  const deleted = [...logs.values()].filter(
    ({ deletedAt, partitions }) =>
      deletedAt !== undefined && partitions.every(({ retired }) => retired === undefined),
  )
  if (deleted.length === 0) return []
  const held = new Set([...snapshots.values()].flatMap((snapshot) => snapshot.logs.map(logIdOf)))
  return deleted
    .filter(({ definition }) => !held.has(definition.id))
    .map(({ definition }) => ({ kind: 'log-deleted', logId: definition.id, deletedAt: null }))
}

function logIdOf({ logId }: { readonly logId: number }): number {
  return logId
}

function candidatesOf(
  { clock, logs, pins }: TieringContext,
  state: ManifestState,
  grace: number,
): Candidates {
  const due: Candidate[] = []
  let waiting = 0
  let pinned = 0
  const named = once(() => pinnedSegments(state))
  const namedKeys = once(() => objectKeys(named()))
  const before = clock.now() - grace
  let isForked: boolean | null = null
  const isShared = (logId: number, partition: number, segment: SegmentEntry): boolean =>
    (isForked ??= hasForks(state)) && isSharedObject(state, logId, partition, segment, before)
  const all = [...logs()]
  const live: LiveLogs = {
    byId: new Map(all.map((log) => [log.id, log])),
    forks: all.filter(({ definition }) => definition.origins !== undefined),
  }
  for (const [logId, { definition, partitions }] of state.logs) {
    for (const [partition, { retired = [] }] of partitions.entries()) {
      for (const { segment, retiredAt } of retired) {
        const location = present(segment.object, 'what is kept in mind is an object')
        const { object: key } = location
        // What a snapshot names of a pack keeps the pack, and not what else it held.
        const isNamed = isPackPath(key) ? named().has(segment) : namedKeys().has(key)
        if (isNamed || isShared(logId, partition, segment)) pinned++
        else if (retiredAt > before || pins.isPinned(key)) waiting++
        // The partition does not know yet that another segment stands in its place, or the archive of a fork.
        else if (isLive(live, logId, partition, segment)) waiting++
        else {
          const { baseOffset: from, endOffset: to, length: bytes } = segment
          const object = { log: definition.name, partition, from, to, key, bytes }
          due.push({ logId, object, location })
        }
      }
    }
  }
  return { due, pinned, waiting }
}

interface LiveLogs {
  readonly byId: ReadonlyMap<number, LiveLog>
  readonly forks: readonly LiveLog[]
}

function isLive(
  { byId, forks }: LiveLogs,
  logId: number,
  partition: number,
  { baseOffset, sha256, object }: SegmentEntry,
): boolean {
  const has = (log: LiveLog | undefined): boolean => {
    const own = log?.partitions[partition]?.segments.startingAt(baseOffset)
    if (own?.sha256 !== sha256) return false
    return own.object === null || object === null || isSamePlace(own.object, object)
  }
  return has(byId.get(logId)) || forks.some(has)
}

/** What is due in a pack of which something else stays, stays with it. */
async function apartFromPacks(
  { clock }: TieringContext,
  state: ManifestState,
  candidates: Candidates,
): Promise<Candidates> {
  const due = new Map<string, number>()
  for (const { object } of candidates.due)
    if (isPackPath(object.key)) due.set(object.key, (due.get(object.key) ?? 0) + 1)
  if (due.size === 0) return candidates
  const staying = new Set<string>()
  let seen = 0
  for (const { partitions } of state.logs.values()) {
    for (const { segments, retired = [] } of partitions) {
      for (const segment of segments.having('object')) {
        staying.add(segment.object?.object ?? '')
        if (++seen % SEGMENTS_PER_TURN === 0) await clock.yield()
      }
      for (const { segment } of retired) {
        const key = segment.object?.object ?? ''
        // Those that are due are counted down; one more is one that waits.
        const left = due.get(key) ?? 0
        if (left > 0) due.set(key, left - 1)
        else staying.add(key)
      }
    }
  }
  const isStaying = ({ object: { key } }: Candidate): boolean => isPackPath(key) && staying.has(key)
  return {
    due: candidates.due.filter((candidate) => !isStaying(candidate)),
    pinned: candidates.pinned,
    waiting: candidates.waiting + candidates.due.filter(isStaying).length,
  }
}

const SEGMENTS_PER_TURN = 4_096

function collectedEdits(
  state: ManifestState,
  removed: readonly Candidate[],
): readonly ManifestEdit[] {
  const edits: ManifestEdit[] = []
  const removedIn = new Map<string, Location[]>()
  for (const { logId, object, location } of removed) {
    const place = `${logId}/${object.partition}`
    removedIn.set(place, [...(removedIn.get(place) ?? []), location])
  }
  for (const [logId, { partitions }] of state.logs) {
    for (const [partition, { retired = [] }] of partitions.entries()) {
      const gone = removedIn.get(`${logId}/${partition}`)
      if (gone === undefined) continue
      const locations = retired.flatMap(({ segment: { object } }) =>
        object !== null && gone.some((location) => isSamePlace(location, object)) ? [object] : [],
      )
      if (locations.length > 0)
        edits.push({ kind: 'segments-collected', logId, partition, locations })
    }
  }
  return edits
}

function isSamePlace(a: Location, b: Location): boolean {
  return a.object === b.object && a.position === b.position
}
