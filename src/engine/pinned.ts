/** The offsets of a log at the instant of a snapshot. */
import type { LiveLog } from '../log/live-log.ts'
import type { ManifestState } from '../format/manifest.ts'
import type { PinnedLog } from '../snapshot/create.ts'
import { isThere } from '../tiering/archive-writer.ts'

/** A log and the offsets that the snapshot names of it. */
export interface Pinned extends PinnedLog {
  readonly log: LiveLog
  /** By partition, how often records had been taken back until then. */
  readonly takenBack: readonly number[]
}

export function pin(log: LiveLog): Pinned {
  return {
    log,
    definition: log.definition,
    takenBack: log.partitions.map(({ takenBack }) => takenBack.length),
    partitions: log.partitions.map((partition) => ({
      partition: partition.partition,
      startOffset: partition.startOffset,
      endOffset: partition.nextOffset,
    })),
  }
}

/**
 * Without what a failure of the disk has taken back since: nobody was told that it is there, and its offsets are given
 * to others from then on.
 */
export function withoutTakenBack(pinned: Pinned): Pinned {
  const { log, takenBack, partitions } = pinned
  return {
    ...pinned,
    partitions: partitions.map(({ partition, startOffset, endOffset }, index) => {
      const ends = log.partition(partition).takenBack.slice(takenBack[index])
      return { partition, startOffset, endOffset: Math.min(endOffset, ...ends) }
    }),
  }
}

/** What was retired or taken back on the way, and logs that were deleted, are not part of it. */
export function stillThere(state: ManifestState, pinned: readonly Pinned[]): readonly PinnedLog[] {
  return pinned
    .filter(({ log }) => isThere(state, log))
    .map(withoutTakenBack)
    .map(withoutRetired)
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
