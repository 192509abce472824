/**
 * Segments that the archive has of records which this machine still counts as in RAM: a snapshot of a log in RAM put
 * them there, or a flush whose commit here failed. They are taken over as they are. Made again they would be other
 * bytes, and the directory and its archive would name different segments for the same offsets.
 */
import type { SegmentEntry } from '../format/manifest.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import { notedIn } from './committed.ts'
import type { TieringContext } from './context.ts'

/** Partitions of which the archive may have more than is known: a commit to it was answered with an error. */
const unsettled = new WeakSet<Partition>()

export function archiveIsUnsettled(partition: Partition): void {
  unsettled.add(partition)
}

/** @throws what the store does, when it has to be asked and does not answer. */
export async function archivedBeyond(
  { archive }: TieringContext,
  log: LiveLog,
  partition: Partition,
  end: number,
): Promise<readonly SegmentEntry[]> {
  if (archive === null) return []
  if (unsettled.has(partition)) {
    await (await archive.manifest()).refresh()
    unsettled.delete(partition)
  }
  const segments =
    archive.state === null ? undefined : notedIn(archive.state, log, partition.partition)?.segments
  return Array.from(segments?.from(partition.flushedEnd) ?? [])
    .filter(({ baseOffset }) => baseOffset >= partition.flushedEnd && baseOffset < end)
    .map((segment) => ({ ...segment, disk: null }))
}
