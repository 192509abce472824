import { Mutex } from '../base/mutex.ts'
import type { Partition } from '../log/partition.ts'

type OneAtATime = <Result>(partition: Partition, work: () => Promise<Result>) => Promise<Result>

/**
 * Runs what gives records of a partition a lower copy, one such work after the other: a flush, though a change of the
 * policy may have moved it to the other lane, and a snapshot of RAM. Both decide where segments begin and end.
 */
export const oneAtATime: OneAtATime = perPartition()

/** Runs what takes segments of a partition away, or puts one in the place of several: one after the other. */
export const changingSegments: OneAtATime = perPartition()

function perPartition(): OneAtATime {
  const working = new WeakMap<Partition, Mutex>()
  return (partition, work) => {
    const mutex = working.get(partition) ?? new Mutex()
    working.set(partition, mutex)
    return mutex.run(work)
  }
}
