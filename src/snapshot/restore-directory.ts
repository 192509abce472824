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
 */
import { StratalogError, isStratalogError } from '../base/errors.ts'
import { sha256Hex } from '../format/checksum.ts'
import { encodeIdentity } from '../format/identity.ts'
import {
  IDENTITY_FILE,
  LEASE_DIRECTORY,
  LOCK_FILE,
  RESTORING_FILE,
  TEMPORARY_DIRECTORY,
  temporaryPath,
} from '../format/paths.ts'
import type { FileSystem } from '../storage/file-system.ts'
import { isTemporaryName } from '../storage/temporary-name.ts'
import type { RestorePlan } from './plan-restore.ts'

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
    const names = await this.#names()
    if (names.includes(IDENTITY_FILE)) throw this.#notEmpty('it is a data directory already')
    if (names.includes(RESTORING_FILE)) {
      const found = await this.#fileSystem.read(this.#path(RESTORING_FILE))
      if (Buffer.compare(found, marker) === 0) return this.#makeTemporary()
      throw this.#notEmpty('another restore was begun there and not finished')
    }
    const others = names.filter((name) => !isBeforeRestore(name))
    if (others.length > 0) throw this.#notEmpty(`it holds ${others.slice(0, NAMES_MAX).join(', ')}`)
    await this.#fileSystem.makeDirectory(this.#dataDir)
    await this.#fileSystem.putIfAbsent(this.#path(RESTORING_FILE), marker)
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
    const temporary = this.#path(temporaryPath(path.replaceAll('/', '-')))
    await this.#fileSystem.remove(temporary)
    const file = await this.#fileSystem.create(temporary)
    try {
      await file.write(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
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

/**
 * What is being restored, from where: equal plans have equal markers. A restore without the bytes is done in one step,
 * so it may be finished with what the archive holds by then.
 */
function markerOf(plan: RestorePlan, isLazy: boolean): Uint8Array {
  const fingerprint = sha256Hex(Buffer.from(isLazy ? 'lazy' : JSON.stringify(segmentsOf(plan))))
  const { url, state } = plan.archive
  const marker = {
    stratalog: 'restoring',
    formatVersion: 1,
    engineId: state.engineId,
    archive: url,
    plan: fingerprint,
  }
  return Buffer.from(`${JSON.stringify(marker)}\n`)
}

function segmentsOf(plan: RestorePlan): unknown {
  return plan.logs.map(({ source, name, bounds, segments }) => ({
    id: source.definition.id,
    name,
    bounds,
    segments: segments.map(({ partition, entry, from, to }) => [partition, entry.sha256, from, to]),
  }))
}

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}
