/** The offsets of a partition that snapshots hold: those that a manifest names, and those that are being made. */
import type { ManifestState, SnapshotPartition } from '../format/manifest.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { TieringContext } from './context.ts'

/** Of logs: what snapshots have pinned that no manifest names yet. */
const beingMade = new WeakMap<LiveLog, Set<readonly SnapshotPartition[]>>()

/**
 * From the instant of a snapshot on, until what is returned is called: until its commit, nothing else says that these
 * offsets are held.
 */
export function holdForSnapshot(
  log: LiveLog,
  partitions: readonly SnapshotPartition[],
): () => void {
  const held = beingMade.get(log) ?? new Set()
  beingMade.set(log, held.add(partitions))
  return () => {
    held.delete(partitions)
  }
}

/** As far as is known at this instant. @param archived what the archive knows; null without one. */
export function snapshotRanges(
  { disk }: TieringContext,
  log: LiveLog,
  number: number,
  archived: ManifestState | null,
): readonly SnapshotPartition[] {
  const named = [disk?.manifest.state, archived].flatMap((state) =>
    [...(state?.snapshots.values() ?? [])].flatMap(({ logs }) =>
      logs.filter(({ logId }) => logId === log.id).flatMap(({ partitions }) => partitions),
    ),
  )
  return [...named, ...[...(beingMade.get(log) ?? [])].flat()].filter(
    ({ partition }) => partition === number,
  )
}
