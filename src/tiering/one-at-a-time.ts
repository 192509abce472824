import { Mutex } from '../base/mutex.ts'
import type { Partition } from '../log/partition.ts'

const working = new WeakMap<Partition, Mutex>()

/**
 * Runs what gives records of a partition a lower copy, one such work after the other: a flush, though a change of the
 * policy may have moved it to the other lane, and a snapshot of RAM. Both decide where segments begin and end.
 */
export function oneAtATime<Result>(
  partition: Partition,
  work: () => Promise<Result>,
): Promise<Result> {
  const mutex = working.get(partition) ?? new Mutex()
  working.set(partition, mutex)
  return mutex.run(work)
}
