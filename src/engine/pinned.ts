/** The offsets of a log at the instant of a snapshot. */
import type { LiveLog } from '../log/live-log.ts'
import type { ManifestState } from '../format/manifest.ts'
import type { PinnedLog } from '../snapshot/create.ts'
import { isThere } from '../tiering/archive-writer.ts'

/** A log and the offsets that the snapshot names of it. */
export interface Pinned extends PinnedLog {
  readonly log: LiveLog
}

export function pin(log: LiveLog): Pinned {
  return {
    log,
    definition: log.definition,
    partitions: log.partitions.map((partition) => ({
      partition: partition.partition,
      startOffset: partition.startOffset,
      endOffset: partition.nextOffset,
    })),
  }
}

/** What was retired on the way, and logs that were deleted, are not part of it. */
export function stillThere(state: ManifestState, pinned: readonly Pinned[]): readonly PinnedLog[] {
  return pinned.filter(({ log }) => isThere(state, log)).map(withoutRetired)
}

function withoutRetired({ log, definition, partitions }: Pinned): PinnedLog {
  return {
    definition,
    partitions: partitions.map(({ partition, startOffset, endOffset }) => {
      const start = Math.max(startOffset, log.partition(partition).firstOffset)
      return { partition, startOffset: start, endOffset: Math.max(start, endOffset) }
    }),
  }
}
