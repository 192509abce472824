/** The stored bytes of segment copies, on disk and in the archive, as views read them. */
import { StratalogError } from '../base/errors.ts'
import type { Range } from '../base/range.ts'
import type { Location, SegmentEntry } from '../format/manifest.ts'
import type { SegmentBytes } from '../log/log-view.ts'
import type { FileSystem } from '../storage/file-system.ts'
import type { ObjectStore } from '../storage/object-store.ts'

export function diskSegmentBytes(fileSystem: FileSystem, dataDir: string, location: Location): SegmentBytes {
  const path = `${dataDir}/${location.object}`
  return {
    length: location.length,
    path: location.position === 0 ? path : null,
    read: async (range: Range) => {
      const file = await fileSystem.open(path)
      try {
        return await file.read(location.position + range.start, range.end - range.start)
      } finally {
        await file.close()
      }
    },
  }
}

export function archiveSegmentBytes(store: ObjectStore | null, segment: SegmentEntry, location: Location): SegmentBytes {
  return {
    length: location.length,
    path: null,
    read: (range: Range, signal?: AbortSignal) => {
      if (store === null) {
        throw new StratalogError(
          'store_unavailable',
          `Offsets ${segment.baseOffset} to ${segment.endOffset} lie in the archive only, and the engine was opened without it. Open it with the archive's URL.`,
          { details: { key: location.object } },
        )
      }
      const start = location.position + range.start
      const end = location.position + range.end
      return store.get(location.object, { range: { start, end }, ...(signal === undefined ? {} : { signal }) })
    },
  }
}
