/** Records that were appended while their log had no WAL, and are asked for at a level that outlives the process. */
import { StratalogError } from '../base/errors.ts'
import type { Partition } from './partition.ts'

/** Whether neither the WAL nor a lower tier has the record. */
export function isOnlyInRam(partition: Partition, offset: number): boolean {
  return offset >= partition.flushedEnd && partition.batchAt(offset)?.firstLsn === Infinity
}

/**
 * Resolves when all below `end` has a lower copy.
 * @throws StratalogError `engine_closed`, and what `failing` fires with: nobody knows when a disk that failed works.
 */
export async function flushedTo(
  partition: Partition,
  end: number,
  failing: AbortSignal,
): Promise<void> {
  await partition.waitForFlush(end, failing)
  if (partition.flushedEnd >= end) return
  failing.throwIfAborted()
  throw new StratalogError('engine_closed', 'The engine closed before the append was on disk.')
}
