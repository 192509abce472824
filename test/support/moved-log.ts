/** A log of ten records on its way down, and where its segments lie. */
import type { StoragePolicy } from '../../src/format/manifest.ts'
import type { LiveLog } from '../../src/log/live-log.ts'
import { manifestFilesInDirectory } from '../../src/log/manifest-files.ts'
import { ManifestStore } from '../../src/log/manifest-store.ts'
import { flushPartition } from '../../src/tiering/flush.ts'
import { appendRows } from './live-logs.ts'
import { type Bench, DATA_DIR, eager } from './tiering.ts'

export function rows(count: number, from = 0): { n: number }[] {
  return Array.from({ length: count }, (_, index) => ({ n: from + index }))
}

/** A log with ten records in RAM, and no step noted yet. */
export async function filled(bench: Bench, policy: StoragePolicy = eager()): Promise<LiveLog> {
  const log = await bench.addLog({ policy })
  await appendRows(log, rows(10))
  bench.steps.length = 0
  return log
}

export function flush(
  bench: Bench,
  log: LiveLog,
  target: 'disk' | 'object' = 'disk',
): Promise<unknown> {
  return flushPartition(bench.context, log, log.partition(0), target)
}

/** Where each segment lies, as the partition has it. */
export function ranges(log: LiveLog): [number, number, boolean, boolean][] {
  return log
    .partition(0)
    .segments.map(({ baseOffset, endOffset, disk, object }) => [
      baseOffset,
      endOffset,
      disk !== null,
      object !== null,
    ])
}

/** As the manifest says it, read anew from its files. */
export async function committed(bench: Bench): Promise<[number, number, boolean, boolean][]> {
  const manifest = await ManifestStore.open(manifestFilesInDirectory(bench.files, DATA_DIR), {
    clock: bench.clock,
  })
  return (manifest.state.logs.get(1)?.partitions[0]?.segments ?? []).map(
    ({ baseOffset, endOffset, disk, object }) => [
      baseOffset,
      endOffset,
      disk !== null,
      object !== null,
    ],
  )
}
