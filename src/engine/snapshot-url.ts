/**
 * Where snapshots lie, and which logs they may be made of there. Compaction of a log that keeps the latest knows of the
 * snapshots in the archive only: at a `snapshotLocation` they would lose keys, or bring deleted ones back.
 */
import type { LogState } from '../format/manifest.ts'
import { parseArchiveUrl, parseSnapshotLocation } from '../storage/archive-url.ts'
import { configError } from './config-error.ts'
import type { StratalogOptions } from './config.ts'

/**
 * Where the configuration wants snapshots beside the archive; null where it wants them in it, or none.
 * A path is a directory.
 */
export function snapshotUrl({
  snapshotLocation,
  archive,
}: Pick<StratalogOptions, 'snapshotLocation' | 'archive'>): string | null {
  if (snapshotLocation === undefined) return null
  const { url } = parseSnapshotLocation(snapshotLocation)
  return archive !== undefined && parseArchiveUrl(archive).url === url ? null : url
}

/** @throws StratalogError `config_invalid` for a log that keeps the latest, or lacks what it let go of when it did. */
export function assertKeepsAll(logs: Iterable<LogState>, url: string): void {
  for (const { definition, partitions, deletedAt } of logs) {
    const { name, policy } = definition
    const isAll =
      policy.keep === 'all' &&
      !partitions.some(({ segments }) => segments.some(({ sparse }) => sparse !== undefined))
    if (isAll || deletedAt !== undefined) continue
    throw configError([
      {
        path: 'snapshotLocation',
        given: url,
        allowed: `nothing, because log '${name}' keeps, or kept, only the latest: leave it out and give the engine an archive, where snapshots of it lie`,
      },
    ])
  }
}
