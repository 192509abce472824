/** Opens a data directory: its lock, its identity and its manifest. */
import { StratalogError } from '../base/errors.ts'
import { randomHex } from '../base/random.ts'
import type { Writer } from '../format/manifest.ts'
import { LOCK_FILE } from '../format/paths.ts'
import { manifestFilesInDirectory } from '../log/manifest-files.ts'
import { ManifestStore } from '../log/manifest-store.ts'
import type { DirectoryLock, LockHolder } from '../storage/directory-lock.ts'
import type { FileSystem } from '../storage/file-system.ts'
import type { Closers } from './closers.ts'
import {
  assertManifestIsWhole,
  createDirectory,
  makeSubdirectories,
  readDirectoryIdentity,
  removeTemporaries,
} from './data-directory.ts'
import type { EnginePorts } from './ports.ts'
import { keepingDamage } from './quarantine.ts'
import type { StoragePorts } from './storage-ports.ts'

/** What an engine may do to its directory. */
export type Access = 'write' | 'read'

export interface OpenedDirectory {
  readonly dataDir: string
  readonly fileSystem: FileSystem
  readonly manifest: ManifestStore
  /** Null for reading. */
  readonly lock: DirectoryLock | null
  /** Of the identity; that of the manifest, once there is one. */
  readonly engineId: string
}

/** Where the directory is, and what reaches it. */
export interface DirectoryPlace extends Pick<
  StoragePorts,
  'fileSystem' | 'lockDirectory' | 'prepareWal'
> {
  readonly dataDir: string
  /** What copies of damaged files are written with: when it fails, no epoch ends. */
  readonly evidenceFiles: FileSystem
}

/** @throws StratalogError `directory_foreign`, `directory_in_use`, `file_not_found`, `manifest_corrupt`. */
export async function openDirectory(
  { dataDir, fileSystem, evidenceFiles, lockDirectory, prepareWal }: DirectoryPlace,
  ports: EnginePorts,
  access: Access,
  writer: Writer,
  closers: Closers,
): Promise<OpenedDirectory> {
  const { clock, random, logger } = ports
  let engineId = await readDirectoryIdentity(fileSystem, dataDir)
  let lock: DirectoryLock | null = null
  if (access === 'read' && engineId === null) {
    throw new StratalogError(
      'file_not_found',
      `There is no Stratalog data directory at ${dataDir}.`,
      {
        details: { path: dataDir },
      },
    )
  }
  if (access === 'write') {
    await fileSystem.makeDirectory(dataDir)
    const taken = await lockDirectory(
      `${dataDir}/${LOCK_FILE}`,
      lockHolder(writer),
      writer.id,
      logger,
    )
    closers.push(() => taken.release())
    lock = taken
    const prepared = prepareWal()
    closers.push(() => prepared.end())
    // Another process may have made the directory while this one waited for nothing but the lock.
    engineId = await readDirectoryIdentity(fileSystem, dataDir)
    if (engineId === null) {
      engineId = randomHex(random, 16)
      await createDirectory(fileSystem, dataDir, engineId)
    }
    await makeSubdirectories(fileSystem, dataDir)
    await removeTemporaries(fileSystem, dataDir)
  }
  const files = manifestFilesInDirectory(fileSystem, dataDir)
  const evidence = access === 'read' ? null : { dataDir, fileSystem: evidenceFiles, logger }
  const manifest = await keepingDamage(evidence, ['manifest'], async () => {
    const opened = await ManifestStore.open(files, { clock, logger: logger.child('manifest') })
    closers.push(() => opened.close())
    const position = { engineId: engineId ?? '', ...stateOf(opened) }
    await assertManifestIsWhole(fileSystem, dataDir, position)
    return opened
  })
  return { dataDir, fileSystem, manifest, lock, engineId: engineId ?? '' }
}

function stateOf({ number, state }: ManifestStore): Pick<ManifestStore, 'number' | 'state'> {
  return { number, state }
}

/** The writer as the lock file names it. */
export function lockHolder({ pid, host, since }: Writer): LockHolder {
  return { pid, host, since: new Date(since).toISOString() }
}
