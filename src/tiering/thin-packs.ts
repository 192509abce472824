/**
 * Packs in the archive of which little is needed, or that hold records which are gone for their log, are written anew:
 * what is live in them is put elsewhere, byte by byte, several packs together, and they are collected.
 *
 * 1. fetch what is live of them, one range of each, and check each segment against the manifest: damage is not copied;
 * 2. put the segments together under the name of their bytes, and read that back;
 *    (a crash here leaves an object that no manifest names)
 * 3. commit to the archive's manifest where they lie now, and what snapshots need of what was retired; the places
 *    that they had are retired with that commit, and their grace begins for readers of an older manifest;
 *    (a crash here leaves a data directory that knows the old places: it learns of the new ones at the next open)
 * 4. the same to the local manifest, and tell the partitions. Until a partition knows, the pack is not collected.
 *
 * What is retired or compacted meanwhile is left out of the commit, and what was copied of it is dead in the new pack.
 */
import { present } from '../base/assert.ts'
import { sha256Hex } from '../storage/checksum.ts'
import { PACK_BYTES_MAX } from '../format/limits.ts'
import type { ManifestEdit, ManifestState } from '../format/manifest.ts'
import { type Location, sameLocation } from '../format/segment-entry.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { ManifestStore } from '../log/manifest-store.ts'
import type { Partition } from '../log/partition.ts'
import { ownerOf } from '../log/segment-origin.ts'
import { StratalogError } from '../base/errors.ts'
import type { ArchiveWriter } from './archive-writer.ts'
import { type HeldSegment, heldSegments, packsWithDead } from './archived-packs.ts'
import { settleCompaction } from './compact.ts'
import type { TieringContext } from './context.ts'
import { ARCHIVE_PACK_RULE, type PackFacts, planPacks } from './pack-plan.ts'
import { putElsewhere } from './packs.ts'
import { Round } from './round.ts'

/** What is put together, with room for the index. */
const GROUP_BYTES_MAX = PACK_BYTES_MAX - 1024 * 1024

/** Objects that are written in one go, while uploads wait; the others come with the next look. */
const GROUPS_PER_LOOK = 4

/** A pack that could not be written anew, as it is damaged or gone, is tried again after this, in ms. */
const RETRY_AFTER_MS = 60 * 60 * 1000

/** Partitions that are told at the same time. */
const PARALLEL_NOTES = 64

/** Packs that failed, and when they are tried again. */
const failed = new WeakMap<ArchiveWriter, Map<string, number>>()

/**
 * Returns how many packs are left to be collected, or would be where nothing is to be done.
 * @param deadAgeMs somebody asked: whatever died so long ago is got rid of, however little it is; null: what is due.
 * @throws StratalogError what the object store throws; what was done before stays done.
 */
export async function rewriteThinPacks(
  context: TieringContext,
  archive: ArchiveWriter,
  manifest: ManifestStore,
  deadAgeMs: number | null,
  dryRun: boolean,
): Promise<number> {
  const groups = await thinGroups(context, archive, manifest.state, deadAgeMs)
  const taken = deadAgeMs === null ? groups.slice(0, GROUPS_PER_LOOK) : groups
  if (dryRun || taken.length === 0) return taken.flat().length
  // Who was superseded learns it here.
  await manifest.refresh()
  let count = 0
  for (const group of taken) count += await rewrite(context, archive, manifest, group)
  return count
}

async function thinGroups(
  { clock }: TieringContext,
  archive: ArchiveWriter,
  state: ManifestState,
  deadAgeMs: number | null,
): Promise<readonly (readonly PackFacts[])[]> {
  const now = clock.now()
  const rule = deadAgeMs === null ? ARCHIVE_PACK_RULE : { ...ARCHIVE_PACK_RULE, ageMs: deadAgeMs }
  const failures = failed.get(archive)
  const packs = (await packsWithDead(clock, state)).filter(
    ({ path }) => (failures?.get(path) ?? -Infinity) <= clock.monotonic(),
  )
  return planPacks(packs, rule, now, GROUP_BYTES_MAX)
}

/** What lies in a place, and who names it: a fork beside the log that it was made of. */
interface Moving {
  readonly holders: HeldSegment[]
  readonly bytes: Uint8Array
}

async function rewrite(
  context: TieringContext,
  archive: ArchiveWriter,
  manifest: ManifestStore,
  packs: readonly PackFacts[],
): Promise<number> {
  const places = await placesIn(context, manifest.state, new Set(packs.map(({ path }) => path)))
  const moving: Moving[] = []
  let count = 0
  for (const { path } of packs) {
    try {
      moving.push(...(await fetched(archive, path, places.get(path) ?? new Map())))
      count++
    } catch (error) {
      const isOfPack =
        error instanceof StratalogError && (error.kind === 'corrupt' || error.kind === 'not_found')
      if (!isOfPack) throw error
      const failures = failed.get(archive) ?? new Map<string, number>()
      failed.set(archive, failures.set(path, context.clock.monotonic() + RETRY_AFTER_MS))
      context.logger.warn('A pack of which little is needed could not be written anew.', {
        object: path,
        reason: error.message,
      })
    }
  }
  if (moving.length === 0) return 0
  const { logs } = manifest.state
  const locations = await putElsewhere(
    context,
    moving.map(({ holders, bytes }) => {
      const { logId, partition, segment } = present(holders[0], 'what lies in a pack has a holder')
      const definition = present(logs.get(logId), 'a log of the archive').definition
      return { name: { ...segment, ...ownerOf(definition, partition, segment) }, bytes }
    }),
  )
  const retiredAt = context.clock.now()
  const moves = moving.flatMap(({ holders }, index) => {
    const to = present(locations[index], 'each segment lies somewhere')
    return holders.map((holder) => ({ holder, to }))
  })
  await manifest.commit((state) =>
    moves.flatMap(({ holder, to }) => movingEdits(state, holder, to, retiredAt)),
  )
  await tellPartitions(
    context,
    moves.map(({ holder }) => holder),
  )
  const bytes = moving.reduce((sum, segment) => sum + segment.bytes.length, 0)
  context.metrics.count('stratalog_rewritten_packs_total', count, { tier: 'object' })
  context.metrics.count('stratalog_rewritten_bytes_total', bytes, { tier: 'object' })
  context.logger.info('Packs were written anew without what nothing needs.', {
    packs: count,
    bytes,
  })
  return count
}

/** Of some packs what lies where, by position. */
async function placesIn(
  { clock }: TieringContext,
  state: ManifestState,
  packs: ReadonlySet<string>,
): Promise<ReadonlyMap<string, ReadonlyMap<number, HeldSegment[]>>> {
  const places = new Map<string, Map<number, HeldSegment[]>>()
  let seen = 0
  for (const held of heldSegments(state)) {
    if (++seen % SEGMENTS_PER_TURN === 0) await clock.yield()
    const { object, position } = held.location
    if (!packs.has(object)) continue
    const own = places.get(object) ?? new Map<number, HeldSegment[]>()
    places.set(object, own)
    const holders = own.get(position)
    if (holders === undefined) own.set(position, [held])
    else holders.push(held)
  }
  return places
}

const SEGMENTS_PER_TURN = 4_096

/** @throws StratalogError `object_corrupt` where one is not what the manifest says, and what the store throws. */
async function fetched(
  { store }: ArchiveWriter,
  pack: string,
  places: ReadonlyMap<number, HeldSegment[]>,
): Promise<readonly Moving[]> {
  const ends = [...places].map(([position, [first]]) => position + (first?.location.length ?? 0))
  const start = Math.min(...places.keys())
  const bytes = await store.get(pack, { range: { start, end: Math.max(...ends) } })
  const moving: Moving[] = []
  for (const [position, holders] of places) {
    const { location, segment } = present(holders[0], 'what lies in a pack has a holder')
    const at = position - start
    const own = bytes.subarray(at, at + location.length)
    if (own.length !== segment.length || (await sha256Hex(own)) !== segment.sha256)
      throw new StratalogError('object_corrupt', `${pack} is damaged; it was not copied.`, {
        details: { key: pack, position, from: segment.baseOffset, to: segment.endOffset },
      })
    moving.push({ holders, bytes: own })
  }
  return moving
}

/** None where it does not lie there any more. */
function movingEdits(
  state: ManifestState,
  { logId, partition, segment, location, isRetired }: HeldSegment,
  to: Location,
  retiredAt: number,
): readonly ManifestEdit[] {
  const known = state.logs.get(logId)?.partitions[partition]
  const place = { logId, partition }
  if (!isRetired) {
    const named = known?.segments.startingAt(segment.baseOffset)
    if (named?.sha256 !== segment.sha256 || named.object === null) return []
    if (!sameLocation(named.object, location)) return []
    const moved = { ...named, disk: null, object: to }
    return [{ kind: 'segments-replaced', ...place, segment: moved, retiredAt }]
  }
  const isThere = known?.retired?.some(
    (retired) => retired.segment.object !== null && sameLocation(retired.segment.object, location),
  )
  if (isThere !== true) return []
  // Who restores the snapshot may read the old place still; the one that was retired last is the one that counts.
  return [
    { kind: 'segments-collected', ...place, locations: [location] },
    { kind: 'segment-retired', ...place, segment, retiredAt },
    { kind: 'segment-retired', ...place, segment: { ...segment, object: to }, retiredAt },
  ]
}

/** Each learns it from the archive's manifest, as of a compaction. */
async function tellPartitions(
  context: TieringContext,
  moved: readonly HeldSegment[],
): Promise<void> {
  if (context.disk === null) return
  const live = new Map([...context.logs()].map((log) => [log.id, log]))
  const told = new Map<Partition, LiveLog>()
  for (const { logId, partition: number } of moved) {
    const log = live.get(logId)
    const partition = log?.partitions[number]
    if (log !== undefined && log.closed === null && partition !== undefined)
      told.set(partition, log)
  }
  await new Round(context.clock, PARALLEL_NOTES).all(
    [...told].map(([partition, log]) => async (round) => {
      try {
        await settleCompaction({ ...context, round }, log, partition)
      } catch (error) {
        // It learns of it before its next move, or when the engine is opened.
        context.logger.warn('A partition does not know yet where its objects lie.', {
          log: log.name,
          reason: String(error),
        })
      }
    }),
  )
}
