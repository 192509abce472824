/**
 * Keeps a copy of a file that is found damaged while its directory is opened for writing: evidence, and something to
 * try a repair on. The file itself is never changed. The name of a copy follows from its bytes, so the same damage is
 * kept once, however often the directory is opened. Only for who holds the lock.
 */
import { StratalogError, isStratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { sha256Hex } from '../format/checksum.ts'
import { QUARANTINE_DIRECTORY, parsePath, quarantinePath } from '../format/paths.ts'
import type { FileSystem } from '../storage/file-system.ts'

/** What a step of opening reads of the directory; an archive has files of the same names, which it may read besides. */
type KeptKind = 'wal' | 'manifest' | 'segment'

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
async function copyDamaged(
  place: QuarantinePlace,
  kinds: readonly string[],
  error: StratalogError,
): Promise<string | null> {
  const { dataDir, fileSystem, logger } = place
  const { file: named, object, tier } = error.details
  const file = tier === 'disk' ? object : named
  if (typeof file !== 'string') return null
  const path = file.startsWith(`${dataDir}/`) ? file.slice(dataDir.length + 1) : file
  if (!kinds.includes(parsePath(path)?.kind ?? '')) return null
  try {
    const bytes = await fileSystem.read(`${dataDir}/${path}`)
    const copy = `${dataDir}/${quarantinePath(path, sha256Hex(bytes))}`
    if ((await fileSystem.stat(copy)) === null) {
      await fileSystem.makeDirectory(`${dataDir}/${QUARANTINE_DIRECTORY}`)
      await fileSystem.putIfAbsent(copy, bytes)
    }
    return copy
  } catch (failure) {
    if (!isStratalogError(failure)) throw failure
    logger.warn('No copy of a damaged file could be kept.', { file, error: failure })
    return null
  }
}
