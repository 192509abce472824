import { present } from '../base/assert.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { MemoryAccount } from '../log/memory-account.ts'

/** What all partitions of a log count into. */
export function memoryOf(log: LiveLog): MemoryAccount {
  return present(log.partitions[0], 'a log has a partition').logMemory
}
