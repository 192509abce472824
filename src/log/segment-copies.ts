/** The stored bytes of segment copies, read from where their location says. */
import type { Location } from '../format/manifest.ts'
import type { FileSystem } from '../storage/file-system.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { SegmentBytes } from './log-view.ts'

export function bytesInStore(store: ObjectStore, location: Location): SegmentBytes {
  const { object, position, length } = location
  return {
    length,
    path: null,
    read: (range, signal) => {
      const wanted = { start: position + range.start, end: position + range.end }
      return store.get(object, { range: wanted, ...(signal === undefined ? {} : { signal }) })
    },
  }
}

/** A file is opened for each read: a view holds no descriptors. */
export function bytesInDirectory(
  fileSystem: FileSystem,
  dataDir: string,
  location: Location,
): SegmentBytes {
  const { object, position, length } = location
  const path = `${dataDir}/${object}`
  return {
    length,
    path: position === 0 ? path : null,
    async read(range) {
      const file = await fileSystem.open(path)
      try {
        return await file.read(position + range.start, range.end - range.start)
      } finally {
        await file.close()
      }
    },
  }
}
