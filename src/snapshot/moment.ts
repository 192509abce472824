import type { LogState } from '../format/manifest.ts'
import { type Archive, wholePartition } from '../log/archive-view.ts'
import { offsetAtMoment as offsetInView } from '../log/offset-at-moment.ts'

/** The offset after the last record of an archived partition that had been appended by `at`. */
export async function offsetAtMoment(
  archive: Archive,
  log: LogState,
  partition: number,
  at: number,
  signal?: AbortSignal,
): Promise<number> {
  const state = log.partitions[partition]
  if (state === undefined) return 0
  const view = archive.view(log, [wholePartition(state, partition)])
  return offsetInView(view, partition, at, signal)
}
