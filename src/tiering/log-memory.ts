import { present } from '../base/assert.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { MemoryAccount } from '../log/memory-account.ts'

/** What all partitions of a log count into. */
export function memoryOf(log: LiveLog): MemoryAccount {
  return present(log.partitions[0], 'a log has a partition').logMemory
}

/** Whether records may go from their only copy: not those that a log in RAM still owes to its former tiers. */
export function mayEvict(log: LiveLog): boolean {
  return log.policy.mode === 'memory' && !log.partitions.some((partition) => partition.isOwing)
}
