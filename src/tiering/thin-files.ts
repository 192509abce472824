/**
 * Packs on disk of which little is needed, or that hold records which are gone for their log, are written anew without
 * them, between rounds of the disk's lane. A pack takes room until the one that it went into is named, so the budget
 * keeps room for that which flushes do not get (`disk-budget.ts`), and packs go one after the other.
 *
 * 1. read what is live and check each segment against the manifest: damage is not copied;
 * 2. write it as a flush does;
 *    (a crash here leaves a file that no manifest names; the next open removes it)
 * 3. commit to the manifest where the segments lie now;
 * 4. tell the partitions. The next sweep removes the pack, when its last reader lets go.
 *
 * A log may let go of a segment, or write it again, at any of these steps: the partition says what it still names.
 */
import { present } from '../base/assert.ts'
import { isStratalogError } from '../base/errors.ts'
import type { Location, ManifestState, SegmentEntry } from '../format/manifest.ts'
import { sameLocation } from '../format/segment-entry.ts'
import type { LiveLog } from '../log/live-log.ts'
import { ownerOf } from '../log/segment-origin.ts'
import { commitLocal } from './commit.ts'
import { notedIn } from './committed.ts'
import type { DiskContext, TieringContext } from './context.ts'
import { removeFiles } from './evict.ts'
import { sweepPacks } from './loose-packs.ts'
import { DISK_PACK_RULE, type PackFacts, SHORT_DISK_PACK_RULE, planPacks } from './pack-plan.ts'
import { type PackedSegment, writeElsewhere } from './packs.ts'
import { readVerified } from './upload.ts'

/** In one go; flushes wait for it. */
const GROUPS_PER_ROUND = 8

/** Packs that are damaged, which stay as they are until the engine is opened again. */
const damaged = new WeakMap<DiskContext, Set<string>>()

/** Removes packs that nothing is left of, and writes those anew of which little is. */
export async function tidyPacks(context: TieringContext): Promise<void> {
  const { disk } = context
  if (disk === null) return
  for (let count = 0; count < GROUPS_PER_ROUND; count++) {
    const group = groupDue(context, disk, await sweepPacks(context, context.diskBudget.isShort))
    if (group === null || !(await rewrite(context, disk, group))) return
  }
}

/** The emptiest packs that there is room for. */
function groupDue(
  { clock, diskBudget }: TieringContext,
  disk: DiskContext,
  packs: readonly PackFacts[],
): readonly PackFacts[] | null {
  const rule = diskBudget.isShort ? SHORT_DISK_PACK_RULE : DISK_PACK_RULE
  const room = Math.min(diskBudget.packBytesMax, diskBudget.rewriteBytes)
  const sound = packs.filter(({ path }) => damaged.get(disk)?.has(path) !== true)
  const [group] = planPacks(sound, rule, clock.now(), room)
  if (group === undefined) return null
  return group.reduce((sum, { liveBytes }) => sum + liveBytes, 0) <= room ? group : null
}

interface Holder {
  readonly log: LiveLog
  readonly partition: number
  readonly segment: SegmentEntry
}

/** Whether something came of it. */
async function rewrite(
  context: TieringContext,
  disk: DiskContext,
  packs: readonly PackFacts[],
): Promise<boolean> {
  const giveBack = context.diskBudget.reserve(packs.reduce((sum, pack) => sum + pack.liveBytes, 0))
  try {
    const places = await placesIn(context, new Set(packs.map(({ path }) => path)))
    const moving: { readonly holders: readonly Holder[]; readonly segment: PackedSegment }[] = []
    for (const { path } of packs) {
      const read = await readPack(context, disk, path, places.get(path) ?? new Map())
      moving.push(...read)
    }
    if (moving.length === 0) return false
    const locations = await writeElsewhere(
      context,
      moving.map(({ segment }) => segment),
    )
    const moves = moving.map(({ holders }, index) => {
      return { holders, to: present(locations[index], 'each segment lies somewhere') }
    })
    const state = await commitLocal(context, (current) =>
      moves.flatMap(({ holders, to }) => holders.flatMap((holder) => edit(current, holder, to))),
    )
    for (const { holders, to } of moves) settle(context, disk, state, holders, to)
    const bytes = moving.reduce((sum, { segment }) => sum + segment.bytes.length, 0)
    context.metrics.count('stratalog_rewritten_packs_total', packs.length, { tier: 'disk' })
    context.metrics.count('stratalog_rewritten_bytes_total', bytes, { tier: 'disk' })
    return true
  } finally {
    giveBack()
  }
}

/** By pack and position who names what lies there. */
async function placesIn(
  { clock, logs }: TieringContext,
  packs: ReadonlySet<string>,
): Promise<ReadonlyMap<string, ReadonlyMap<number, Holder[]>>> {
  const places = new Map<string, Map<number, Holder[]>>()
  let seen = 0
  for (const log of logs()) {
    if (log.closed !== null) continue
    for (const { partition, segments } of log.partitions) {
      for (const segment of segments.having('disk')) {
        if (++seen % SEGMENTS_PER_TURN === 0) await clock.yield()
        const { object, position } = present(segment.disk ?? undefined, 'a copy on disk')
        if (!packs.has(object)) continue
        const own = places.get(object) ?? new Map<number, Holder[]>()
        places.set(object, own)
        const holders = own.get(position) ?? []
        own.set(position, holders)
        holders.push({ log, partition, segment })
      }
    }
  }
  return places
}

const SEGMENTS_PER_TURN = 4_096

/** Nothing of a pack that is damaged: what the manifest has of it is not copied by halves. */
async function readPack(
  context: TieringContext,
  disk: DiskContext,
  pack: string,
  places: ReadonlyMap<number, readonly Holder[]>,
): Promise<readonly { readonly holders: readonly Holder[]; readonly segment: PackedSegment }[]> {
  const read: { readonly holders: readonly Holder[]; readonly segment: PackedSegment }[] = []
  try {
    for (const holders of places.values()) {
      const { log, partition: number, segment } = present(holders[0], 'a place has a holder')
      const bytes = await readVerified(disk, segment)
      const { mode, retention } = log.policy
      read.push({
        holders,
        segment: {
          partition: null,
          retention,
          isLeaving: mode === 'hybrid' && context.archive !== null,
          name: { ...segment, ...ownerOf(log.definition, number, segment) },
          bytes,
        },
      })
    }
    return read
  } catch (error) {
    if (!isStratalogError(error) || (error.kind !== 'corrupt' && error.kind !== 'not_found'))
      throw error
    damaged.set(disk, (damaged.get(disk) ?? new Set()).add(pack))
    context.logger.warn('A pack of which little is needed could not be written anew.', {
      path: pack,
      reason: error.message,
    })
    return []
  }
}

/** None where a commit that was answered with an error did it, or it does not lie there any more. */
function edit(
  state: ManifestState,
  { log, partition, segment }: Holder,
  to: Location,
): readonly {
  kind: 'segments-replaced'
  logId: number
  partition: number
  segment: SegmentEntry
  retiredAt: null
}[] {
  const known = notedIn(state, log, partition)?.segments.startingAt(segment.baseOffset)
  if (known?.sha256 !== segment.sha256 || known.disk === null || segment.disk === null) return []
  if (!sameLocation(known.disk, segment.disk)) return []
  const place = { logId: log.id, partition, retiredAt: null }
  return [{ kind: 'segments-replaced', ...place, segment: { ...known, disk: to } }]
}

/** Tells who still has the segment in its old place; what nobody does goes. */
function settle(
  context: TieringContext,
  disk: DiskContext,
  state: ManifestState,
  holders: readonly Holder[],
  to: Location,
): void {
  let isNamed = false
  for (const { log, partition: number, segment } of holders) {
    const from = present(segment.disk ?? undefined, 'it lay on disk')
    const committed = notedIn(state, log, number)?.segments.startingAt(segment.baseOffset)
    const partition = log.partitions[number]
    const own = partition?.segments.startingAt(segment.baseOffset)
    const isThere =
      log.closed === null &&
      own?.sha256 === segment.sha256 &&
      own.disk !== null &&
      sameLocation(own.disk, from)
    const now = committed?.sha256 === segment.sha256 ? committed.disk : null
    if (!isThere || now === null || sameLocation(now, from)) continue
    partition?.setCopy(segment.baseOffset, 'disk', now)
    context.diskBudget.named(now.object)
    removeFiles(context, disk, [from])
    isNamed ||= sameLocation(now, to)
  }
  if (!isNamed) {
    context.diskBudget.named(to.object)
    removeFiles(context, disk, [to])
  }
}
