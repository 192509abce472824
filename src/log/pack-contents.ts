/** What a pack that no manifest names holds, by its own index. */
import { isStratalogError } from '../base/errors.ts'
import {
  PACK_HEADER_BYTES,
  type PackEntry,
  decodePackIndex,
  packIndexBytes,
} from '../format/pack.ts'
import { type SegmentName, parsePath } from '../format/paths.ts'
import type { FileSystem } from '../storage/file-system.ts'
import type { ObjectStore } from '../storage/object-store.ts'

/** Bytes of a file or an object. */
type ReadRange = (path: string, start: number, end: number) => Promise<Uint8Array>

/** Reads in a directory; a path is one below it. */
export function readingDirectory(fileSystem: FileSystem, dataDir: string): ReadRange {
  return async (path, start, end) => {
    const file = await fileSystem.open(`${dataDir}/${path}`)
    try {
      return await file.read(start, end - start)
    } finally {
      await file.close()
    }
  }
}

export function readingStore(store: ObjectStore): ReadRange {
  return (path, start, end) => store.get(path, { range: { start, end } })
}

/**
 * The segments that a path stands for: the one that it names, those in a pack, or none for any other path, and for a
 * pack that is damaged or gone. @throws what reading throws else.
 */
export async function segmentsAt(path: string, read: ReadRange): Promise<readonly SegmentName[]> {
  const parsed = parsePath(path)
  if (parsed?.kind === 'segment') return [{ ...parsed, sha256: parsed.hash }]
  if (parsed?.kind !== 'pack') return []
  try {
    return await packIndex(path, read)
  } catch (error) {
    const isNothing =
      isStratalogError(error) && (error.kind === 'corrupt' || error.kind === 'not_found')
    if (isNothing) return []
    throw error
  }
}

async function packIndex(path: string, read: ReadRange): Promise<readonly PackEntry[]> {
  const header = await read(path, 0, PACK_HEADER_BYTES)
  return decodePackIndex(await read(path, 0, packIndexBytes(header, path)), path)
}
