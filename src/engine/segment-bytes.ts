/** The stored bytes of a segment as an engine reads them, or why they cannot be had. */
import type { Logger } from '../base/logger.ts'
import { StratalogError, isStratalogError } from '../base/errors.ts'
import type { Location, SegmentEntry } from '../format/manifest.ts'
import { parsePath, segmentKey } from '../format/paths.ts'
import type { ArchiveBytes } from '../log/archive-view.ts'
import type { SegmentBytes, SegmentFallback } from '../log/log-view.ts'
import { bytesInDirectory } from '../log/segment-copies.ts'
import type { FileSystem } from '../storage/file-system.ts'

export function archiveSegmentBytes(
  archive: ArchiveBytes | null,
  segment: SegmentEntry,
  location: Location,
): SegmentBytes {
  if (archive !== null) return archive(segment, location)
  return {
    length: location.length,
    path: null,
    position: 0,
    read: () =>
      Promise.reject(
        new StratalogError(
          'store_unavailable',
          `Offsets ${segment.baseOffset} to ${segment.endOffset} lie in the archive only, and the engine was opened without it. Open it with the URL of the archive.`,
          { details: { key: location.object } },
        ),
      ),
  }
}

/**
 * What serves in place of a damaged disk copy: the archive's copy, where there is an archive. Each segment that needs
 * it is logged once; nothing is repaired, so that the damaged file stays as evidence. Without pins a file that is gone
 * is no damage: its writer dropped it.
 */
export function archiveFallback(
  archive: ArchiveBytes | null,
  logger: Logger,
  hasPins: boolean,
): (segment: SegmentEntry, location: Location) => SegmentFallback | null {
  const told = new Set<string>()
  return (segment, location) => {
    if (archive === null) return null
    return {
      tier: 'object',
      bytes: archive(segment, location),
      onUse: (error) => {
        const isDropped = !hasPins && isStratalogError(error) && error.code === 'file_not_found'
        if (isDropped || told.has(location.object)) return
        told.add(location.object)
        logger.warn('A segment on disk is damaged; the archive serves it. The file is kept.', {
          file: segment.disk?.object ?? '',
          object: location.object,
          reason: error instanceof Error ? error.message : String(error),
        })
      },
    }
  }
}

/**
 * The disk copy as an engine reads it that is not the writer: the writer drops a copy once the archive has the segment,
 * and the archive's copy has a key that follows from the segment. What it compacted or retired is `file_not_found`.
 */
export function unpinnedSegmentBytes(
  fileSystem: FileSystem,
  dataDir: string,
  archive: ArchiveBytes | null,
  segment: SegmentEntry,
  location: Location,
): SegmentBytes {
  const disk = bytesInDirectory(fileSystem, dataDir, location)
  return {
    ...disk,
    read: async (range, signal) => {
      try {
        return await disk.read(range, signal)
      } catch (error) {
        const path = parsePath(location.object)
        const isGone = isStratalogError(error) && error.code === 'file_not_found'
        // An archive's copy that was known when the view was pinned is the source's fallback.
        if (!isGone || segment.object !== null) throw error
        if (path?.kind !== 'segment') throw movedOn(location, error)
        const key = segmentKey({ ...path, sha256: segment.sha256 })
        const archived = { object: key, position: 0, length: segment.length }
        if (archive === null) throw movedOn(location, error)
        try {
          return await archive(segment, archived).read(range, signal)
        } catch (missing) {
          const isNowhere = isStratalogError(missing) && missing.code === 'object_not_found'
          throw isNowhere ? movedOn(location, missing) : missing
        }
      }
    },
  }
}

function movedOn({ object }: Location, cause: unknown): StratalogError {
  return new StratalogError(
    'file_not_found',
    `${object} was removed by its writer since this engine was opened: its records lie in another segment or in the archive now, or are older than their log keeps. Open the engine again.`,
    { cause, details: { path: object } },
  )
}
