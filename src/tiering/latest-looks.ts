/**
 * Where the last look for superseded records of a partition ended, while the engine runs. Segments say it too, where
 * one was written again.
 */
import type { Partition } from '../log/partition.ts'

const ends = new WeakMap<Partition, number>()

/** 0 where there was none. */
export function lookedTo(partition: Partition): number {
  return ends.get(partition) ?? 0
}

export function noteLook(partition: Partition, end: number): void {
  ends.set(partition, end)
}
