/**
 * Where the files of a manifest lie: below a data directory or below an archive's prefix. The store of manifests sees
 * this narrow port only, so both behave alike.
 */
import { isStratalogError } from '../base/errors.ts'
import {
  MANIFEST_DIRECTORY,
  type ManifestFileName,
  type NumberedManifestFile,
  PAGES_DIRECTORY,
  manifestPath,
  manifestPathAfter,
  parseManifestFileName,
  newestPath,
  parsePath,
} from '../format/paths.ts'
import type { FileSystem } from '../storage/file-system.ts'
import type { ObjectStore } from '../storage/object-store.ts'

export interface ManifestFiles {
  /** The directory or URL, for messages. */
  readonly location: string
  /** Commits and bases with numbers above `after`, by ascending number. Fetched as they are consumed. */
  list(after: number): AsyncIterable<NumberedManifestFile>
  /** The whole file; null when there is none. */
  read(file: ManifestFileName): Promise<Uint8Array | null>
  /** Durably writes the file and returns true; returns false when the name is taken, durably too. */
  putIfAbsent(file: ManifestFileName, bytes: Uint8Array): Promise<boolean>
  /**
   * The number of a commit that the manifest has come to; it has newer ones, or this is the newest. 0 where nothing
   * says. To be asked before the names are listed.
   */
  newest(): Promise<number>
  /** Durably removes a base, or removes a page; one that is not there is not an error. */
  remove(file: ManifestFileName): Promise<void>
}

export function manifestFilesInDirectory(fileSystem: FileSystem, dataDir: string): ManifestFiles {
  const directory = `${dataDir}/${MANIFEST_DIRECTORY}`
  const directoryOf = ({ kind }: ManifestFileName): string =>
    kind === 'page' ? `${dataDir}/${PAGES_DIRECTORY}` : directory
  const made = new Set<string>()
  const mark = new NewestMark(fileSystem, dataDir)
  return {
    location: dataDir,
    newest: () => mark.read(),
    async *list(after) {
      const names = await orWhen('file_not_found', [], () => fileSystem.list(directory))
      for (const name of names) {
        const file = parseManifestFileName(name)
        if (file !== null && file.number > after) yield file
      }
    },
    read: (file) =>
      orWhen('file_not_found', null, () => fileSystem.read(`${dataDir}/${manifestPath(file)}`)),
    async putIfAbsent(file, bytes) {
      const place = directoryOf(file)
      if (!made.has(place)) await fileSystem.makeDirectory(place)
      made.add(place)
      try {
        await fileSystem.putIfAbsent(`${dataDir}/${manifestPath(file)}`, bytes)
        if (file.kind === 'commit') await mark.write(file.number)
        return true
      } catch (error) {
        if (!isStratalogError(error) || error.code !== 'file_exists') throw error
        // A name that is seen need not be durable: whoever made it may have failed right before its sync.
        await fileSystem.syncDirectory(place)
        return false
      }
    },
    async remove(file) {
      await fileSystem.remove(`${dataDir}/${manifestPath(file)}`)
      if (file.kind !== 'page') await fileSystem.syncDirectory(directory)
    },
  }
}

/**
 * An empty file beside the manifest whose name has the number of the newest commit: a manifest that has lost its end
 * looks like one that was never longer. It gets its name after the commit is durable and is not synced by itself, so
 * what it says may be old and is never too much. Nothing depends on it: where it cannot be written, less is noticed.
 */
class NewestMark {
  readonly #fileSystem: FileSystem
  readonly #dataDir: string
  /** Where it is; null where there is none; undefined until somebody looked. */
  #path: string | null | undefined = undefined

  constructor(fileSystem: FileSystem, dataDir: string) {
    this.#fileSystem = fileSystem
    this.#dataDir = dataDir
  }

  async read(): Promise<number> {
    const names = await orWhen('file_not_found', [], () => this.#fileSystem.list(this.#dataDir))
    const numbers = names.flatMap((name) => {
      const parsed = parsePath(name)
      return parsed?.kind === 'newest' ? [parsed.number] : []
    })
    const newest = Math.max(0, ...numbers)
    this.#path = newest === 0 ? null : `${this.#dataDir}/${newestPath(newest)}`
    return newest
  }

  async write(number: number): Promise<void> {
    const path = `${this.#dataDir}/${newestPath(number)}`
    try {
      if (this.#path === undefined) await this.read()
      if (this.#path === null || this.#path === undefined)
        await (await this.#fileSystem.create(path)).close()
      else await this.#fileSystem.rename(this.#path, path)
      this.#path = path
    } catch {
      this.#path = undefined
    }
  }
}

export function manifestFilesInStore(store: ObjectStore): ManifestFiles {
  return {
    location: store.url,
    newest: async () => 0,
    async *list(after) {
      const options = after === 0 ? {} : { after: manifestPathAfter(after) }
      for await (const { key } of store.list(`${MANIFEST_DIRECTORY}/`, options)) {
        const parsed = parsePath(key)
        if (parsed?.kind !== 'manifest' || parsed.file.kind === 'page') continue
        if (parsed.file.number > after) yield parsed.file
      }
    },
    read: (file) => orWhen('object_not_found', null, () => store.get(manifestPath(file))),
    putIfAbsent: (file, bytes) =>
      orWhen('object_exists', false, async () => {
        await store.put(manifestPath(file), bytes, { ifAbsent: true })
        return true
      }),
    remove: (file) => store.remove(manifestPath(file)),
  }
}

async function orWhen<T>(code: string, otherwise: T, attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt()
  } catch (error) {
    if (isStratalogError(error) && error.code === code) return otherwise
    throw error
  }
}
