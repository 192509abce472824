import { isStratalogError } from '../base/errors.ts'
import type { ManifestEdit } from '../format/manifest.ts'
import type { ArchiveWriter } from '../tiering/archive-writer.ts'
import { pullFromArchive, withDiskCopies } from './archive-connection.ts'
import type { OpenedDirectory } from './open-directory.ts'
import type { EnginePorts } from './ports.ts'

/** A store that is away costs lag, not the start; anything else that is wrong with it is said now. */
export async function pull(
  archive: ArchiveWriter,
  { manifest, fileSystem, dataDir }: OpenedDirectory,
  ports: EnginePorts,
): Promise<readonly ManifestEdit[]> {
  try {
    const remote = await archive.manifest()
    return await withDiskCopies(pullFromArchive(manifest.state, remote.state), fileSystem, dataDir)
  } catch (error) {
    if (!isStratalogError(error) || error.code !== 'store_unavailable') throw error
    ports.logger.warn('The archive cannot be reached; uploads wait until it can.', {
      reason: error.message,
    })
    return []
  }
}
