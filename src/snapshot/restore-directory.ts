/**
 * The directory that a restore writes, and how it tells its own unfinished work from anything else.
 *
 * 1. `restoring.json` says what is being restored; it is the first file. A directory that holds anything else is
 *    refused.
 * 2. Segments are written under a temporary name, synced, renamed; then their directories are synced.
 * 3. One manifest commit names them all.
 * 4. `stratalog.json` makes it a data directory; `restoring.json` goes.
 *
 * Killed before 4, it is no data directory to an engine, and the same restore finishes it: segments that are there are
 * checked and kept. Another restore, or anything that is not ours, is refused with `directory_not_empty`.
 *
 * Where the archive has moved on since, the restore goes on as of now: segments that are still wanted are kept, so that
 * what is there in the end is of one instant. Before, what the earlier plan left is cleared away:
 *
 * 1. `restoring.json` says that this is under way;
 * 2. the manifest goes, if there was one already;
 * 3. files of segments go that are wanted no more;
 * 4. `restoring.json` says what is being restored now. Killed in between, 2 to 4 are done again.
 */
import { StratalogError, isStratalogError } from '../base/errors.ts'
import { sha256Hex } from '../format/checksum.ts'
import { encodeIdentity } from '../format/identity.ts'
import {
  IDENTITY_FILE,
  LEASE_DIRECTORY,
  LOCK_FILE,
  MANIFEST_DIRECTORY,
  RESTORING_FILE,
  SEGMENTS_DIRECTORY,
  TEMPORARY_DIRECTORY,
  parsePath,
  segmentPath,
  temporaryPath,
} from '../format/paths.ts'
import type { FileSystem } from '../storage/file-system.ts'
import { isTemporaryName } from '../storage/temporary-name.ts'
import type { RestorePlan } from './plan-restore.ts'
import { type RestoringMarker, encodeMarker, markerOf, planOfSame } from './restoring-marker.ts'

/** Names shown of what is in the way. */
const NAMES_MAX = 3

/** Whether a file may be there before a restore has begun: the lock, and what a kill left of an unfinished marker. */
export function isBeforeRestore(name: string): boolean {
  const isLock = name === LOCK_FILE || name === LEASE_DIRECTORY
  return isLock || (name.startsWith(RESTORING_FILE) && isTemporaryName(name))
}

export class RestoreDirectory {
  readonly #fileSystem: FileSystem
  readonly #dataDir: string
  readonly #unsynced = new Set<string>()

  constructor(fileSystem: FileSystem, dataDir: string) {
    this.#fileSystem = fileSystem
    this.#dataDir = dataDir
  }

  /** @throws StratalogError `directory_not_empty`. */
  async begin(plan: RestorePlan, isLazy = false): Promise<void> {
    const marker = markerOf(plan, isLazy)
    const bytes = encodeMarker(marker)
    const names = await this.#names()
    if (names.includes(IDENTITY_FILE)) throw this.#notEmpty('it is a data directory already')
    if (names.includes(RESTORING_FILE)) {
      const found = await this.#fileSystem.read(this.#path(RESTORING_FILE))
      const begun = planOfSame(found, marker)
      if (begun === null) throw this.#notEmpty('another restore was begun there and not finished')
      await this.#makeTemporary()
      if (begun !== marker.plan) await this.#clear({ ...marker, plan: '' }, plan)
      if (Buffer.compare(found, bytes) !== 0) await this.#replaceMarker(bytes)
      return
    }
    const others = names.filter((name) => !isBeforeRestore(name))
    if (others.length > 0) throw this.#notEmpty(`it holds ${others.slice(0, NAMES_MAX).join(', ')}`)
    await this.#fileSystem.makeDirectory(this.#dataDir)
    await this.#fileSystem.putIfAbsent(this.#path(RESTORING_FILE), bytes)
    await this.#makeTemporary()
  }

  /** Whether the file is there with exactly these bytes. */
  async holds(path: string, length: number, sha256: string): Promise<boolean> {
    const stat = await this.#fileSystem.stat(this.#path(path))
    if (stat === null || stat.length !== length) return false
    this.#unsynced.add(directoryOf(path))
    return sha256Hex(await this.#fileSystem.read(this.#path(path))) === sha256
  }

  /** Writes a file whole. Its name is durable after `sync`. */
  async write(path: string, bytes: Uint8Array): Promise<void> {
    const temporary = await this.#writeTemporary(path, bytes)
    const directory = directoryOf(path)
    if (!this.#unsynced.has(directory)) await this.#fileSystem.makeDirectory(this.#path(directory))
    await this.#fileSystem.rename(temporary, this.#path(path))
    this.#unsynced.add(directory)
  }

  /** Makes the names of all that was written durable. */
  async sync(): Promise<void> {
    for (const directory of this.#unsynced)
      await this.#fileSystem.syncDirectory(this.#path(directory))
    this.#unsynced.clear()
  }

  /** Makes it a data directory: the last step. */
  async finish(engineId: string): Promise<void> {
    await this.#fileSystem.putIfAbsent(
      this.#path(IDENTITY_FILE),
      encodeIdentity({ kind: 'directory', engineId }),
    )
    await this.#fileSystem.remove(this.#path(RESTORING_FILE))
    await this.#fileSystem.syncDirectory(this.#dataDir)
  }

  /** Takes away what is of an earlier plan only. */
  async #clear(marker: RestoringMarker, plan: RestorePlan): Promise<void> {
    await this.#replaceMarker(encodeMarker(marker))
    // What says how far the manifest came goes before it: it may say less, never more.
    for (const name of await this.#names())
      if (parsePath(name)?.kind === 'newest') await this.#fileSystem.remove(this.#path(name))
    await this.#fileSystem.syncDirectory(this.#dataDir)
    await this.#fileSystem.removeDirectory(this.#path(MANIFEST_DIRECTORY))
    await this.#fileSystem.syncDirectory(this.#dataDir)
    const wanted = new Set<string>()
    for (const { source, segments } of plan.logs) {
      const logId = source.definition.id
      for (const { partition, entry } of segments)
        wanted.add(segmentPath({ ...entry, logId, partition }))
    }
    for (const log of await this.#namesIn(SEGMENTS_DIRECTORY)) {
      for (const partition of await this.#namesIn(log)) {
        for (const path of await this.#namesIn(partition))
          if (!wanted.has(path)) await this.#fileSystem.remove(this.#path(path))
      }
    }
  }

  /** Paths below the data directory. */
  async #namesIn(directory: string): Promise<readonly string[]> {
    const stat = await this.#fileSystem.stat(this.#path(directory))
    if (stat === null || !stat.isDirectory) return []
    const names = await this.#fileSystem.list(this.#path(directory))
    return names.map((name) => `${directory}/${name}`)
  }

  async #replaceMarker(bytes: Uint8Array): Promise<void> {
    const temporary = await this.#writeTemporary(RESTORING_FILE, bytes)
    await this.#fileSystem.rename(temporary, this.#path(RESTORING_FILE))
    await this.#fileSystem.syncDirectory(this.#dataDir)
  }

  async #writeTemporary(path: string, bytes: Uint8Array): Promise<string> {
    const temporary = this.#path(temporaryPath(path.replaceAll('/', '-')))
    await this.#fileSystem.remove(temporary)
    const file = await this.#fileSystem.create(temporary)
    try {
      await file.write(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    return temporary
  }

  #makeTemporary(): Promise<void> {
    return this.#fileSystem.makeDirectory(this.#path(TEMPORARY_DIRECTORY))
  }

  async #names(): Promise<readonly string[]> {
    try {
      return await this.#fileSystem.list(this.#dataDir)
    } catch (error) {
      if (isStratalogError(error) && error.code === 'file_not_found') return []
      throw error
    }
  }

  #path(name: string): string {
    return `${this.#dataDir}/${name}`
  }

  #notEmpty(reason: string): StratalogError {
    return new StratalogError(
      'directory_not_empty',
      `${this.#dataDir} cannot be restored into: ${reason}. Nothing in it was touched; name an empty or a new directory.`,
      { details: { path: this.#dataDir, reason } },
    )
  }
}

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}
