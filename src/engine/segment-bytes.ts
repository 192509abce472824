/** The stored bytes of a segment as an engine reads them, or why they cannot be had. */
import { StratalogError, isStratalogError } from '../base/errors.ts'
import type { Location, SegmentEntry } from '../format/manifest.ts'
import { parsePath, segmentKey } from '../format/paths.ts'
import type { SegmentBytes } from '../log/log-view.ts'
import { bytesInDirectory, bytesInStore } from '../log/segment-copies.ts'
import type { FileSystem } from '../storage/file-system.ts'
import type { ObjectStore } from '../storage/object-store.ts'

export function archiveSegmentBytes(
  store: ObjectStore | null,
  segment: SegmentEntry,
  location: Location,
): SegmentBytes {
  if (store !== null) return bytesInStore(store, location)
  return {
    length: location.length,
    path: null,
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
 * The disk copy as an engine reads it that is not the writer: the writer drops a copy once the archive has the segment, and
 * the archive's copy has a key that follows from the segment.
 */
export function unpinnedSegmentBytes(
  fileSystem: FileSystem,
  dataDir: string,
  store: ObjectStore | null,
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
        if (!isGone || path?.kind !== 'segment') throw error
        const key = segmentKey({ ...path, sha256: segment.sha256 })
        const archived = { object: key, position: 0, length: segment.length }
        return archiveSegmentBytes(store, segment, archived).read(range, signal)
      }
    },
  }
}
