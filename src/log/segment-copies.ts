/** The stored bytes of segment copies, read from where their location says. */
import type { Location } from '../format/manifest.ts'
import { isPackPath } from '../format/paths.ts'
import type { FileSystem } from '../storage/file-system.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { SegmentBytes } from './log-view.ts'

export function bytesInStore(store: ObjectStore, location: Location): SegmentBytes {
  const { object, position, length } = location
  return {
    length,
    path: null,
    position: 0,
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
    path,
    position,
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

/** All the bytes of a copy on disk: of a pack its part, else the file, however long that is. */
export async function readWhole(
  fileSystem: FileSystem,
  dataDir: string,
  location: Location,
): Promise<Uint8Array> {
  if (!isPackPath(location.object)) return fileSystem.read(`${dataDir}/${location.object}`)
  const bytes = bytesInDirectory(fileSystem, dataDir, location)
  return bytes.read({ start: 0, end: location.length })
}

/** The same of a copy in an archive. */
export function fetchWhole(
  store: ObjectStore,
  { object, position, length }: Location,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const range = { start: position, end: position + length }
  const options = signal === undefined ? {} : { signal }
  return store.get(object, isPackPath(object) ? { ...options, range } : options)
}
