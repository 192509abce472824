/**
 * Keeps a copy of a file that is found damaged while its directory is opened for writing, and of what a repair
 * replaces: evidence, and something to try another repair on. An opening never changes the file itself. The name of a
 * copy follows from its bytes, so the same damage is kept once, however often the directory is opened. Only for who
 * holds the lock.
 *
 * Bounded: a file passes through RAM in pieces, and copies are made until there are QUARANTINE_FILES_MAX of them or
 * QUARANTINE_BYTES_MAX are reached; then the first ones stay, and the log says which file has no copy.
 */
import { StratalogError, isStratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { Sha256 } from '../format/checksum.ts'
import { QUARANTINE_BYTES_MAX, QUARANTINE_FILES_MAX } from '../format/limits.ts'
import { QUARANTINE_DIRECTORY, parsePath, quarantinePath, temporaryPath } from '../format/paths.ts'
import type { FileSystem, ReadableFile } from '../storage/file-system.ts'
import type { Quarantine } from '../tiering/scrub-repair.ts'

/** Of a damaged file in RAM at a time. */
const PIECE_BYTES = 1024 * 1024

/** What a step of opening reads of the directory; an archive has files of the same names, which it may read besides. */
type KeptKind = 'wal' | 'manifest' | 'segment' | 'pack'

export interface QuarantinePlace {
  readonly dataDir: string
  /** Not the one that ends the writer's epoch when it fails: a copy that fails costs nothing. */
  readonly fileSystem: FileSystem
  readonly logger: Logger
}

/** Does `work`; where it finds a file of the directory damaged, its error names the copy that was made of it. */
export async function keepingDamage<Result>(
  place: QuarantinePlace | null,
  kinds: readonly KeptKind[],
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    if (place === null || !isStratalogError(error) || error.kind !== 'corrupt') throw error
    const copy = await copyDamaged(place, kinds, error)
    if (copy === null) throw error
    throw new StratalogError(error.code, `${error.message} A copy of it is kept as ${copy}.`, {
      cause: error,
      details: { ...error.details, quarantined: copy },
    })
  }
}

/** Where the copy is; null when the error is of no file of the directory, or there is no room for a copy. */
export async function copyDamaged(
  place: QuarantinePlace,
  kinds: readonly KeptKind[],
  error: StratalogError,
): Promise<string | null> {
  const { dataDir, logger } = place
  const { file: named, object, tier } = error.details
  const file = tier === 'disk' ? object : named
  if (typeof file !== 'string') return null
  const path = file.startsWith(`${dataDir}/`) ? file.slice(dataDir.length + 1) : file
  const kind = parsePath(path)?.kind
  if (!kinds.some((kept) => kept === kind)) return null
  try {
    return await keepCopy(place, path)
  } catch (failure) {
    if (!isStratalogError(failure)) throw failure
    logger.warn('No copy of a damaged file could be kept.', { file, error: failure })
    return null
  }
}

/**
 * Copies of what a repair is about to replace. Each names the copy; null where none could be made, which costs
 * evidence and no data.
 */
export function quarantineOf(place: QuarantinePlace): Quarantine {
  const keeping = async (path: string, keep: () => Promise<string | null>) => {
    try {
      return await keep()
    } catch (failure) {
      if (!isStratalogError(failure)) throw failure
      place.logger.warn('No copy of a damaged file could be kept.', { file: path, error: failure })
      return null
    }
  }
  return {
    file: (path) => keeping(path, () => keepCopy(place, path)),
    bytes: (path, bytes) => keeping(path, () => keepPieces(place, path, inMemory(bytes))),
  }
}

function inMemory(bytes: Uint8Array): ReadableFile {
  return {
    length: bytes.length,
    read: async (position, length) => bytes.subarray(position, position + length),
    close: async () => {},
  }
}

async function keepCopy(place: QuarantinePlace, path: string): Promise<string | null> {
  const source = await place.fileSystem.open(`${place.dataDir}/${path}`)
  try {
    return await keepPieces(place, path, source)
  } finally {
    await source.close()
  }
}

async function keepPieces(
  place: QuarantinePlace,
  path: string,
  source: ReadableFile,
): Promise<string | null> {
  const { dataDir, fileSystem, logger } = place
  const hash = new Sha256()
  for await (const piece of piecesOf(source)) hash.update(piece)
  const copy = `${dataDir}/${quarantinePath(path, hash.digestHex())}`
  if ((await fileSystem.stat(copy)) !== null) return copy
  const { files, bytes } = await measureQuarantine(place)
  if (files >= QUARANTINE_FILES_MAX || bytes + source.length > QUARANTINE_BYTES_MAX) {
    logger.warn('No copy of a damaged file is made: there are as many in quarantine as may be.', {
      file: path,
      fileBytes: source.length,
      files,
      filesMax: QUARANTINE_FILES_MAX,
      bytes,
      bytesMax: QUARANTINE_BYTES_MAX,
    })
    return null
  }
  await writeCopy(place, source, copy)
  return copy
}

/** A crash leaves a temporary file, which the next opening removes, or the whole copy. */
async function writeCopy(
  { dataDir, fileSystem }: QuarantinePlace,
  source: ReadableFile,
  copy: string,
): Promise<void> {
  const directory = `${dataDir}/${QUARANTINE_DIRECTORY}`
  const temporary = `${dataDir}/${temporaryPath(QUARANTINE_DIRECTORY)}`
  await fileSystem.makeDirectory(directory)
  const file = await fileSystem.create(temporary)
  try {
    try {
      for await (const piece of piecesOf(source)) await file.write(piece)
      await file.sync()
    } finally {
      await file.close()
    }
    await fileSystem.rename(temporary, copy)
  } catch (error) {
    await fileSystem.remove(temporary).catch(() => {})
    throw error
  }
  await fileSystem.syncDirectory(directory)
}

async function* piecesOf(file: ReadableFile): AsyncGenerator<Uint8Array> {
  for (let position = 0; position < file.length; position += PIECE_BYTES)
    yield await file.read(position, Math.min(PIECE_BYTES, file.length - position))
}

async function measureQuarantine({
  dataDir,
  fileSystem,
}: QuarantinePlace): Promise<{ readonly files: number; readonly bytes: number }> {
  const directory = `${dataDir}/${QUARANTINE_DIRECTORY}`
  if ((await fileSystem.stat(directory)) === null) return { files: 0, bytes: 0 }
  const names = await fileSystem.list(directory)
  let bytes = 0
  for (const name of names) bytes += (await fileSystem.stat(`${directory}/${name}`))?.length ?? 0
  return { files: names.length, bytes }
}
