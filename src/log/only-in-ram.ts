/** Records that were appended while their log had no WAL, and are asked for at a level that outlives the process. */
import { StratalogError } from '../base/errors.ts'
import type { Partition } from './partition.ts'

/** Whether neither the WAL nor a lower tier has the record. */
export function isOnlyInRam(partition: Partition, offset: number): boolean {
  return offset >= partition.flushedEnd && partition.batchAt(offset)?.firstLsn === Infinity
}

/** Resolves when all below `end` has a lower copy. @throws StratalogError `engine_closed`. */
export async function flushedTo(partition: Partition, end: number): Promise<void> {
  await partition.waitForFlush(end)
  if (partition.flushedEnd >= end) return
  throw new StratalogError('engine_closed', 'The engine closed before the append was on disk.')
}
