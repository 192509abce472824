/** Records that were appended while their log had no WAL, and are asked for at a level that outlives the process. */
import { StratalogError } from '../base/errors.ts'
import type { Partition } from './partition.ts'

/** Whether neither the WAL nor a lower tier has the record. */
export function isOnlyInRam(partition: Partition, offset: number): boolean {
  return offset >= partition.flushedEnd && partition.batchAt(offset)?.firstLsn === Infinity
}

/** How long a wait for the disk goes on while its budget is used up. */
export interface Patience {
  readonly signal: AbortSignal
  /** The wait is over. */
  readonly end: () => void
}

/**
 * Resolves when all below `end` has a lower copy.
 * @throws StratalogError why the partition closed, and what `failing` fires with: nobody knows when a disk that failed
 * works. `disk_budget_full` where the disk has no room for it and `patience` ends.
 */
export async function flushedTo(
  partition: Partition,
  end: number,
  failing: AbortSignal,
  patience: Patience | null = null,
): Promise<void> {
  const signal = patience === null ? failing : AbortSignal.any([failing, patience.signal])
  try {
    await partition.waitForFlush(end, signal)
  } finally {
    patience?.end()
  }
  if (partition.flushedEnd >= end) return
  signal.throwIfAborted()
  if (partition.closed !== null) throw partition.closed
  throw new StratalogError('engine_closed', 'The engine closed before the append was on disk.')
}
