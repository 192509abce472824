/**
 * Packs on disk that a segment was dropped from. One goes when no segment in it is named any more: neither by the
 * manifest, when it is sure of itself, nor by a partition, which learns of a commit when the step that asked for it
 * goes on, and gives readers what it names until then. Swept between rounds of the disk's lane only: in a round, a pack
 * that was written may wait for the commit that names its other segments.
 *
 * Of those that hold others still a sweep says how much, for thin-files.ts. What was dropped before the engine was
 * opened is found by the first one.
 */
import { present } from '../base/assert.ts'
import { PACK_FIRST_POSITION, PACK_INDEX_STEP, decodePackIndex } from '../format/pack.ts'
import type { Location } from '../format/manifest.ts'
import { isPackPath } from '../format/paths.ts'
import { DISK_PACK_RULE, type PackFacts } from './pack-plan.ts'
import type { DiskContext, TieringContext } from './context.ts'

interface Dropped {
  readonly length: number
  /** Engine clock, ms. */
  readonly since: number
  /** To be called when the pack is gone. */
  readonly tell: () => void
}

/** By the position of the segment: what a fork shares is dropped twice. */
type Told = Map<number, Dropped>

interface Packs {
  /** To be looked at by the next sweep. */
  loose: Map<string, Told>
  /** They were looked at, and hold other segments still. */
  readonly held: Map<string, Told>
  /** Whether what was dropped before is known. */
  isWhole: boolean
  /** When those that are held are looked at for their age, by the engine's clock. */
  nextLook: number
}

/** Packs that hold others are looked at for what died in them long ago, in ms. */
const LOOK_AGAIN_MS = 60 * 60 * 1000

const packsOf = new WeakMap<DiskContext, Packs>()

function packsIn(disk: DiskContext): Packs {
  const packs = packsOf.get(disk) ?? {
    loose: new Map<string, Told>(),
    held: new Map<string, Told>(),
    isWhole: false,
    nextLook: -Infinity,
  }
  packsOf.set(disk, packs)
  return packs
}

/**
 * A segment of the pack is named no more by a log.
 * @param drop is called where it is the first; what it returns is called when the pack is removed.
 */
export function loosenPack(
  disk: DiskContext,
  { object: path, position, length }: Location,
  since: number,
  drop: () => () => void,
): void {
  const packs = packsIn(disk)
  const told: Told = packs.loose.get(path) ?? packs.held.get(path) ?? new Map<number, Dropped>()
  if (!told.has(position)) told.set(position, { length, since, tell: drop() })
  packs.loose.set(path, told)
  packs.held.delete(path)
}

/** Whether a sweep would find something to do. */
export function hasLoosePacks({ disk, clock }: TieringContext): boolean {
  if (disk === null) return false
  const { loose, held, isWhole, nextLook } = packsIn(disk)
  if (!isWhole || loose.size > 0) return true
  if (clock.now() < nextLook) return false
  const before = clock.now() - DISK_PACK_RULE.ageMs
  for (const told of held.values())
    for (const { since } of told.values()) if (since > -Infinity && since <= before) return true
  return false
}

/**
 * Removes those that nothing is left of; returns what is in the others. One that is read goes with its last reader.
 * @param isAsked looks though nothing was dropped since the last time.
 */
export async function sweepPacks(
  context: TieringContext,
  isAsked: boolean,
): Promise<readonly PackFacts[]> {
  const { disk, pins, clock } = context
  if (disk === null) return []
  const packs = packsIn(disk)
  if (!hasLoosePacks(context) && !(isAsked && packs.held.size > 0)) return []
  // A commit that was answered with an error may name what seems to be named no more.
  await disk.manifest.settle()
  // What is dropped from now on is loose again.
  for (const [path, told] of packs.loose) packs.held.set(path, told)
  packs.loose = new Map()
  packs.nextLook = clock.now() + LOOK_AGAIN_MS
  const looked = new Map(packs.held)
  const named = await namedPlaces(context, packs.isWhole ? looked : null)
  if (!packs.isWhole) await findDropped(context, disk, named, looked)
  packs.isWhole = true
  const facts: PackFacts[] = []
  const gone: Promise<void>[] = []
  for (const [path, told] of looked) {
    const live = named.get(path)
    if (live !== undefined) {
      if (!packs.loose.has(path)) packs.held.set(path, told)
      facts.push(factsOf(path, live, told))
      continue
    }
    // It lost more since, and is looked at again.
    if (!packs.held.delete(path)) continue
    if (pins.isPinned(path)) {
      // It may be forked while a reader holds it.
      pins.whenFree(path, () => {
        packs.loose.set(path, both(packs.loose.get(path), told))
      })
    } else gone.push(removePack(context, disk, path, told))
  }
  await Promise.all(gone)
  return facts
}

async function removePack(
  { logger }: TieringContext,
  { fileSystem, dataDir }: DiskContext,
  path: string,
  told: Told,
): Promise<void> {
  try {
    await fileSystem.remove(`${dataDir}/${path}`)
    for (const { tell } of told.values()) tell()
  } catch (error) {
    logger.warn('A pack of dropped segments could not be removed.', {
      path,
      reason: String(error),
    })
  }
}

/** Lengths of segments by their place in a pack. */
type Places = ReadonlyMap<number, number>

/** @param among packs that are looked for; null: all. */
async function namedPlaces(
  { disk, clock, logs }: TieringContext,
  among: ReadonlyMap<string, unknown> | null,
): Promise<ReadonlyMap<string, Places>> {
  const named = new Map<string, Map<number, number>>()
  const { manifest } = present(disk ?? undefined, 'packs are swept on a disk')
  let seen = 0
  const live = [...logs()].filter(({ closed }) => closed === null)
  for (const { partitions } of [...manifest.state.logs.values(), ...live]) {
    for (const { segments } of partitions) {
      for (const segment of segments.having('disk')) {
        if (++seen % SEGMENTS_PER_TURN === 0) await clock.yield()
        const { object, position, length } = present(segment.disk ?? undefined, 'a copy on disk')
        if (!isPackPath(object) || among?.has(object) === false) continue
        const places = named.get(object) ?? new Map<number, number>()
        named.set(object, places.set(position, length))
      }
    }
  }
  return named
}

/** Adds packs to those that are `looked` at whose index has more than is named. */
async function findDropped(
  { diskBudget, logger }: TieringContext,
  disk: DiskContext,
  named: ReadonlyMap<string, Places>,
  looked: Map<string, Told>,
): Promise<void> {
  for (const [path, places] of named) {
    const told: Told = looked.get(path) ?? new Map<number, Dropped>()
    const known = new Set([...places.keys(), ...told.keys()])
    const first = Math.min(...known)
    if (first === PACK_FIRST_POSITION + PACK_INDEX_STEP * (known.size - 1)) continue
    try {
      const entries = decodePackIndex(await readIndex(disk, path, first), path)
      for (const { position, length } of entries) {
        if (known.has(position)) continue
        diskBudget.written(path, length)
        diskBudget.named(path)
        told.set(position, { length, since: -Infinity, tell: diskBudget.dropped(length) })
      }
      looked.set(path, told)
    } catch (error) {
      logger.warn('A pack could not be looked into.', { path, reason: String(error) })
    }
  }
}

async function readIndex(
  { fileSystem, dataDir }: DiskContext,
  path: string,
  end: number,
): Promise<Uint8Array> {
  const file = await fileSystem.open(`${dataDir}/${path}`)
  try {
    return await file.read(0, end)
  } finally {
    await file.close()
  }
}

function factsOf(path: string, live: Places, told: Told): PackFacts {
  let [liveBytes, deadBytes, deadSince] = [0, 0, Infinity]
  for (const length of live.values()) liveBytes += length
  for (const [position, { length, since }] of told) {
    // A fork has what the log that it was made of let go of.
    if (live.has(position)) continue
    deadBytes += length
    deadSince = Math.min(deadSince, since)
  }
  return { path, liveBytes, deadBytes, deadSince }
}

function both(one: Told | undefined, other: Told): Told {
  return one === undefined ? other : new Map([...one, ...other])
}

const SEGMENTS_PER_TURN = 4_096
