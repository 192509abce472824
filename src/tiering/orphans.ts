/**
 * Orphans: what a crash left in the archive, and nothing names. They are found by listing it, so this runs when a
 * person asks for it, and never by itself.
 *
 * 1. what nothing names now is noted in the manifest, and since when. An upload that is under way, or is tried again,
 *    may still name it, which takes the note away;
 * 2. what was noted a grace ago and is still not named is doomed, in a commit: who was superseded learns it here, and
 *    from here on no segment is given that key, by this writer or a later one;
 * 3. only then it is removed. However late a removal takes effect, it takes nothing that is named;
 *    (a crash in between leaves objects that are doomed and still there: the next time they are removed)
 * 4. what is removed is forgotten, once no segment could be given its key: its offsets lie before their log's start.
 *    The key of a pack, which says nothing of its segments, stays in mind.
 *
 * A pack says in its index what it holds, and goes when nothing needs any of it. One whose index cannot be read stays.
 *
 * Never taken: an object of which some records lie behind all that the manifest names. It may be all there is of them,
 * where the end of the manifest was lost, and `verify` names it. An object of a log that the manifest has not, and some
 * snapshot names; and what is not ours.
 *
 * A page of a base that no base names is noted and removed too, while no base is being written; manifests are whole
 * without their bases. Puts that were begun in parts and not ended are given up when they are older than the grace:
 * one that was still under way fails, and is tried again.
 */
import type { Clock } from '../base/clock.ts'
import { isStratalogError } from '../base/errors.ts'
import type { ManifestEdit, ManifestState } from '../format/manifest.ts'
import type { UnnamedObjects } from '../format/manifest-unnamed.ts'
import {
  PACKS_DIRECTORY,
  PAGES_DIRECTORY,
  type ParsedPath,
  SEGMENTS_DIRECTORY,
  type SegmentName,
  isPackPath,
  parsePath,
} from '../format/paths.ts'
import { wholePartition } from '../log/archive-view.ts'
import type { ManifestStore } from '../log/manifest-store.ts'
import { readingStore, segmentsAt } from '../log/pack-contents.ts'
import type { ListedObject, ObjectStore, UnfinishedPut } from '../storage/object-store.ts'
import { PROBE_PREFIX } from '../storage/probe.ts'
import type { TieringContext } from './context.ts'

export interface Orphan {
  readonly key: string
  /** `unfinished`: parts of a put that did not end; `probe`: of the look whether a store takes conditional writes. */
  readonly kind: Found['kind'] | 'unfinished'
  /** Null where the store does not say. */
  readonly bytes: number | null
  /** `waiting` for its grace; `due`: what a dry run would remove. */
  readonly state: 'removed' | 'due' | 'waiting'
}

export interface OrphanOptions {
  /** ms. */
  readonly grace: number
  readonly dryRun: boolean
}

/** Removed side by side. */
const PARALLEL_DELETES = 8

const SEGMENTS_PER_TURN = 4_096

interface Found {
  readonly key: string
  readonly kind: 'segment' | 'pack' | 'page' | 'probe'
  readonly bytes: number
  /** What lies there, of a segment or a pack. */
  readonly holds: readonly SegmentName[]
}

/**
 * @param manifest the archive's, whose state is all there is.
 * @throws StratalogError `writer_fenced`, and what the store throws; what was done before stays done.
 */
export async function collectOrphans(
  context: TieringContext,
  store: ObjectStore,
  manifest: ManifestStore,
  { grace, dryRun }: OrphanOptions,
): Promise<readonly Orphan[]> {
  const now = context.clock.now()
  const pages = await manifest.betweenBases(async (used) => used)
  const found = await findOrphans(context, store, manifest.state, pages)
  const unfinished = await findUnfinished(context, store, now - grace)
  const orphan =
    (state: Orphan['state']) =>
    ({ key, kind, bytes }: Found): Orphan => ({ key, kind, bytes, state })
  if (dryRun) {
    const { unnamed } = manifest.state
    const isDue = ({ key }: Found): boolean => (unnamed?.get(key)?.since ?? now) <= now - grace
    return [
      ...found.map((entry) => orphan(isDue(entry) ? 'due' : 'waiting')(entry)),
      ...unfinished.map((entry) => partsOf(entry, 'due')),
    ]
  }
  const state = await manifest.commit((at) => sentence(at, found, now, grace))
  const { due = [], waiting = [] } = Object.groupBy(found, (entry) =>
    isDue(state, entry, now - grace) ? 'due' : 'waiting',
  )
  await remove(store, manifest, due)
  for (const entry of unfinished) await store.abortUnfinished(entry)
  const left = new Set(waiting.map(({ key }) => key))
  await manifest.commit((at) => forgetting(at, left))
  const removed = [
    ...due.map(orphan('removed')),
    ...unfinished.map((entry) => partsOf(entry, 'removed')),
  ]
  if (removed.length + waiting.length > 0)
    context.logger.info('Objects that nothing names lie in the archive.', {
      removed: removed.length,
      waiting: waiting.length,
    })
  context.metrics.count('stratalog_collected_orphans_total', removed.length)
  return [...removed, ...waiting.map(orphan('waiting'))]
}

/** Of all that lies there; only what nothing names is kept. */
async function findOrphans(
  { clock }: TieringContext,
  store: ObjectStore,
  state: ManifestState,
  pages: ReadonlySet<string>,
): Promise<readonly Found[]> {
  const kept = keptInMind(state)
  const found: Found[] = []
  for await (const { key, length: bytes } of store.list(PROBE_PREFIX))
    found.push({ key, kind: 'probe', bytes, holds: [] })
  for await (const { key, length: bytes } of store.list(`${PAGES_DIRECTORY}/`))
    if (isUnusedPage(key, pages)) found.push({ key, kind: 'page', bytes, holds: [] })
  for await (const { key, length: bytes } of store.list(`${SEGMENTS_DIRECTORY}/`)) {
    const holds = await segmentsAt(key, readingStore(store))
    if (!kept.has(key) && isLeftOver(state, key, holds))
      found.push({ key, kind: 'segment', bytes, holds })
  }
  const unnamed: ListedObject[] = []
  const named = await namedPacks(clock, state)
  for await (const object of store.list(`${PACKS_DIRECTORY}/`))
    if (!named.has(object.key) && !kept.has(object.key)) unnamed.push(object)
  for (const { key, length: bytes } of unnamed) {
    const holds = await segmentsAt(key, readingStore(store))
    if (isLeftOver(state, key, holds)) found.push({ key, kind: 'pack', bytes, holds })
  }
  return found
}

/** Spares a look into each of them. */
async function namedPacks(clock: Clock, { logs }: ManifestState): Promise<ReadonlySet<string>> {
  const named = new Set<string>()
  let seen = 0
  for (const { partitions } of logs.values()) {
    for (const { segments } of partitions) {
      for (const { object } of segments.having('object')) {
        if (object !== null && isPackPath(object.object)) named.add(object.object)
        if (++seen % SEGMENTS_PER_TURN === 0) await clock.yield()
      }
    }
  }
  return named
}

function isUnusedPage(key: string, used: ReadonlySet<string>): boolean {
  const parsed = parsePath(key)
  return parsed?.kind === 'manifest' && parsed.file.kind === 'page' && !used.has(parsed.file.sha256)
}

/** Whether no segment lies in this object, and none will want its records: others have been named in their place. */
function isLeftOver(state: ManifestState, key: string, holds: readonly SegmentName[]): boolean {
  return (
    holds.length > 0 &&
    !sharedKeys(state).has(key) &&
    holds.every(({ logId, partition: number, baseOffset }) => {
      const log = state.logs.get(logId)
      if (log === undefined) return state.deletedLogIds.has(logId) && !isInSnapshot(state, logId)
      // What snapshots need of it is retired, and kept in mind.
      if (log.deletedAt !== undefined) return true
      const partition = log.partitions[number]
      if (partition === undefined || baseOffset >= wholePartition(partition, number).endOffset)
        return false
      return partition.segments.startingAt(baseOffset)?.object?.object !== key
    })
  )
}

/** Objects that forks name: they say whose they were before, and that log may be gone or have others there. */
function sharedKeys(state: ManifestState): ReadonlySet<string> {
  const before = shared.get(state)
  if (before !== undefined) return before
  const keys = new Set<string>()
  for (const { definition, partitions } of state.logs.values()) {
    if (definition.origins === undefined) continue
    for (const { segments } of partitions)
      for (const { object } of segments.having('object'))
        if (object !== null) keys.add(object.object)
  }
  shared.set(state, keys)
  return keys
}

/** States do not change, and each is asked for every object. */
const shared = new WeakMap<ManifestState, ReadonlySet<string>>()

function isInSnapshot({ snapshots }: ManifestState, logId: number): boolean {
  return [...snapshots.values()].some(({ logs }) => logs.some((log) => log.logId === logId))
}

/** Objects of retired segments: they are collected in their own time. */
function keptInMind(state: ManifestState): ReadonlySet<string> {
  const kept = new Set<string>()
  for (const { partitions } of state.logs.values())
    for (const { retired = [] } of partitions)
      for (const { segment } of retired)
        if (segment.object !== null) kept.add(segment.object.object)
  return kept
}

/** Steps 1 and 2, for the state that they will meet: an upload may have named something since the listing. */
function sentence(
  state: ManifestState,
  found: readonly Found[],
  now: number,
  grace: number,
): readonly ManifestEdit[] {
  const known: UnnamedObjects = state.unnamed ?? new Map()
  const kept = keptInMind(state)
  const still = found.filter(
    ({ key, kind, holds }) =>
      !isOfSegments(kind) || (isLeftOver(state, key, holds) && !kept.has(key)),
  )
  const noted = still.flatMap(({ key }) => (known.has(key) ? [] : [key]))
  const doomed = still.flatMap(({ key, kind }) => {
    const note = known.get(key) ?? { since: now, isDoomed: false }
    return isOfSegments(kind) && !note.isDoomed && note.since <= now - grace ? [key] : []
  })
  return [
    ...(noted.length === 0
      ? []
      : [{ kind: 'objects-unnamed' as const, objects: noted, since: now }]),
    ...(doomed.length === 0 ? [] : [{ kind: 'objects-doomed' as const, objects: doomed }]),
  ]
}

function isDue({ unnamed }: ManifestState, { key, kind }: Found, before: number): boolean {
  const note = unnamed?.get(key)
  if (note === undefined) return false
  return isOfSegments(kind) ? note.isDoomed : note.since <= before
}

/** Whether manifests name such objects, so that its key has to be doomed before it goes. */
function isOfSegments(kind: Found['kind']): boolean {
  return kind === 'segment' || kind === 'pack'
}

async function remove(
  store: ObjectStore,
  manifest: ManifestStore,
  due: readonly Found[],
): Promise<void> {
  const pages = due.filter(({ kind }) => kind === 'page')
  await removeAll(
    store,
    due.filter(({ kind }) => kind !== 'page'),
  )
  if (pages.length === 0) return
  await manifest.betweenBases((used) => {
    return removeAll(
      store,
      pages.filter(({ key }) => isUnusedPage(key, used)),
    )
  })
}

async function removeAll(store: ObjectStore, objects: readonly Found[]): Promise<void> {
  for (let index = 0; index < objects.length; index += PARALLEL_DELETES)
    await Promise.all(
      objects.slice(index, index + PARALLEL_DELETES).map(({ key }) => store.remove(key)),
    )
}

/** Step 4. @param left what is still there; all else was removed, or is gone without us. */
function forgetting(state: ManifestState, left: ReadonlySet<string>): readonly ManifestEdit[] {
  const objects = [...(state.unnamed ?? [])].flatMap(([key, { isDoomed }]) => {
    const parsed = parsePath(key)
    if (left.has(key) || (isDoomed && parsed?.kind === 'pack')) return []
    return isDoomed && parsed?.kind === 'segment' && couldBePut(state, parsed) ? [] : [key]
  })
  return objects.length === 0 ? [] : [{ kind: 'objects-forgotten', objects }]
}

function couldBePut(
  state: ManifestState,
  { logId, partition, baseOffset }: Extract<ParsedPath, { readonly kind: 'segment' }>,
): boolean {
  const known = state.logs.get(logId)?.partitions[partition]
  return known !== undefined && baseOffset >= known.startOffset
}

/** None where the store, or its policy, does not say: other orphans are found all the same. */
async function findUnfinished(
  { logger }: TieringContext,
  store: ObjectStore,
  before: number,
): Promise<readonly UnfinishedPut[]> {
  const found: UnfinishedPut[] = []
  try {
    for await (const entry of store.listUnfinished(''))
      if (entry.startedAt <= before) found.push(entry)
  } catch (error) {
    const code = isStratalogError(error) ? error.code : null
    if (code !== 'store_unsupported' && code !== 'store_denied') throw error
    logger.warn('The object store does not say which uploads in parts were not ended.', { error })
  }
  return found
}

function partsOf({ key }: UnfinishedPut, state: Orphan['state']): Orphan {
  return { key, kind: 'unfinished', bytes: null, state }
}
