/**
 * Packs on disk that a segment was dropped from. One goes when no segment in it is named any more, which the manifest
 * says when it is sure of itself. Swept between rounds of the disk's lane only: in a round, a pack that was written may
 * wait for the commit that names its other segments.
 */
import { present } from '../base/assert.ts'
import type { DiskContext, TieringContext } from './context.ts'

const loose = new WeakMap<DiskContext, Set<string>>()

/** A segment of the pack is named no more. */
export function loosenPack(disk: DiskContext, path: string): void {
  loose.set(disk, (loose.get(disk) ?? new Set()).add(path))
}

export function hasLoosePacks({ disk }: TieringContext): boolean {
  return disk !== null && loose.has(disk)
}

/** Removes those that nothing is left of, each when its last reader lets go. */
export async function sweepPacks({ disk, pins, clock, logger }: TieringContext): Promise<void> {
  const empty = disk === null ? undefined : loose.get(disk)
  if (disk === null || empty === undefined) return
  const { manifest, fileSystem, dataDir } = disk
  // A commit that was answered with an error may name what seems to be named no more.
  await manifest.settle()
  loose.delete(disk)
  let seen = 0
  for (const { partitions } of manifest.state.logs.values()) {
    for (const { segments } of partitions) {
      for (const segment of segments.having('disk')) {
        empty.delete(present(segment.disk, 'it has a copy on disk').object)
        if (++seen % SEGMENTS_PER_TURN === 0) await clock.yield()
      }
    }
  }
  for (const path of empty) {
    pins.whenFree(path, () => {
      fileSystem.remove(`${dataDir}/${path}`).catch((error: unknown) => {
        logger.warn('A pack of dropped segments could not be removed.', {
          path,
          reason: String(error),
        })
      })
    })
  }
}

const SEGMENTS_PER_TURN = 4_096
