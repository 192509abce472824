/**
 * Packs on disk that a segment was dropped from. One goes when no segment in it is named any more: neither by the
 * manifest, when it is sure of itself, nor by a partition, which learns of a commit when the step that asked for it
 * goes on, and gives readers what it names until then. Swept between rounds of the disk's lane only: in a round, a pack
 * that was written may wait for the commit that names its other segments.
 */
import { present } from '../base/assert.ts'
import type { Location } from '../format/manifest.ts'
import type { DiskContext, TieringContext } from './context.ts'

/** Who is to be told when a pack is gone, by the position of the segment: what a fork shares is dropped twice. */
type Told = Map<number, () => void>

interface Packs {
  /** To be looked at by the next sweep. */
  loose: Map<string, Told>
  /** They were looked at, and hold other segments still. */
  readonly held: Map<string, Told>
}

const packsOf = new WeakMap<DiskContext, Packs>()

/**
 * A segment of the pack is named no more by a log.
 * @param drop is called where it is the first; what it returns is called when the pack is removed.
 */
export function loosenPack(
  disk: DiskContext,
  { object: path, position }: Location,
  drop: () => () => void,
): void {
  const packs = packsOf.get(disk) ?? {
    loose: new Map<string, Told>(),
    held: new Map<string, Told>(),
  }
  packsOf.set(disk, packs)
  const told = packs.loose.get(path) ?? packs.held.get(path) ?? new Map<number, () => void>()
  if (!told.has(position)) told.set(position, drop())
  packs.loose.set(path, told)
  packs.held.delete(path)
}

export function hasLoosePacks({ disk }: TieringContext): boolean {
  return disk !== null && (packsOf.get(disk)?.loose.size ?? 0) > 0
}

/** Removes those that nothing is left of. One that is read is looked at again when its last reader lets go. */
export async function sweepPacks(context: TieringContext): Promise<void> {
  const { disk, pins, clock, logger, logs } = context
  const packs = disk === null ? undefined : packsOf.get(disk)
  if (disk === null || packs === undefined || packs.loose.size === 0) return
  const { manifest, fileSystem, dataDir } = disk
  // A commit that was answered with an error may name what seems to be named no more.
  await manifest.settle()
  const empty = packs.loose
  packs.loose = new Map()
  let seen = 0
  const live = [...logs()].filter(({ closed }) => closed === null)
  for (const { partitions } of [...manifest.state.logs.values(), ...live]) {
    for (const { segments } of partitions) {
      for (const segment of segments.having('disk')) {
        const path = present(segment.disk, 'it has a copy on disk').object
        const told = empty.get(path)
        if (told !== undefined) packs.held.set(path, both(packs.held.get(path), told))
        empty.delete(path)
        if (++seen % SEGMENTS_PER_TURN === 0) await clock.yield()
      }
    }
  }
  for (const [path, told] of empty) {
    const all = both(packs.held.get(path), told)
    packs.held.delete(path)
    const gone = (): void => {
      for (const tell of all.values()) tell()
    }
    if (pins.isPinned(path)) {
      // It may be forked while a reader holds it.
      pins.whenFree(path, () => {
        packs.loose.set(path, both(packs.loose.get(path), all))
      })
      continue
    }
    fileSystem.remove(`${dataDir}/${path}`).then(gone, (error: unknown) => {
      logger.warn('A pack of dropped segments could not be removed.', {
        path,
        reason: String(error),
      })
    })
  }
}

function both(one: Told | undefined, other: Told): Told {
  return one === undefined ? other : new Map([...one, ...other])
}

const SEGMENTS_PER_TURN = 4_096
