/** Records that were appended while their log had no WAL, and are asked for at a level that outlives the process. */
import { StratalogError } from '../base/errors.ts'
import type { Partition } from './partition.ts'

/** Whether neither the WAL nor a lower tier has the record. */
export function isOnlyInRam(partition: Partition, offset: number): boolean {
  return offset >= partition.flushedEnd && partition.batchAt(offset)?.firstLsn === Infinity
}

/**
 * An append that comes again at a level that outlives the process. What retention took was there as long as it was to
 * be. @throws StratalogError `producer_append_gone` where RAM let go of its records before they had a lower copy.
 */
export function assertHeld(partition: Partition, offset: number, end: number): void {
  if (offset < partition.firstOffset) return
  if (isHeld(partition, offset) && isHeld(partition, end - 1)) return
  throw new StratalogError(
    'producer_append_gone',
    `The append was applied at offset ${offset}, and its records were evicted from RAM since. Append them anew, as the producer's next sequence, where they are to stay.`,
    { details: { partition: partition.partition, from: offset, to: end } },
  )
}

function isHeld(partition: Partition, offset: number): boolean {
  const batch = partition.batchAt(offset)
  if (batch !== undefined && batch.baseOffset <= offset) return true
  const { segments } = partition
  const segment = segments.at(segments.indexAt(offset))
  return segment !== undefined && segment.baseOffset <= offset && offset < segment.endOffset
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
