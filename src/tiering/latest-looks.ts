/**
 * How far partitions were looked through for superseded records, while the engine runs. Segments say it too, where one
 * was written again.
 */
import type { Partition } from '../log/partition.ts'

export interface LatestLook {
  /** All records before it were looked at. */
  readonly lookedTo: number
  /** Where it was to end: behind `lookedTo` where there were too many keys. Another look would come no further. */
  readonly triedTo: number
}

const NO_LOOK: LatestLook = { lookedTo: 0, triedTo: 0 }

const looks = new WeakMap<Partition, LatestLook>()

export function lastLook(partition: Partition): LatestLook {
  return looks.get(partition) ?? NO_LOOK
}

export function noteLook(partition: Partition, look: LatestLook): void {
  looks.set(partition, look)
}
