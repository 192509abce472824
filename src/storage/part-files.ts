/**
 * Parts of cold objects in local files, for readers that need a path: those that are missing are fetched, close ones in
 * one request, and written one after another into a file of their own.
 *
 * - A part is kept only after it was verified. What is here is gone with the process that fetched it: nothing is
 *   synced, and where each part lies is known in memory only.
 * - One fetch serves all who want the same parts at the same time.
 * - Files stay within `bytesMax` by dropping those that were not used for longest. What someone holds is never dropped.
 *
 * One instance owns its directory.
 */
import { throwIfAborted } from '../base/errors.ts'
import { type Range, rangeLength } from '../base/range.ts'
import { coalesce } from './coalesce.ts'
import type { FileSystem, WritableFile } from './file-system.ts'
import type { CachedPart } from './part-cache.ts'
import { objectCorrupt } from './store-errors.ts'

export interface PartFilesOptions {
  readonly directory: string
  readonly bytesMax: number
  readonly fileSystem: FileSystem
}

/** Where parts come from. */
export interface PartedObject {
  /** SHA-256 of the whole content, hex. */
  readonly sha256: string
  readonly key: string
  readonly url: string
  readonly fetch: (range: Range, signal: AbortSignal) => Promise<Uint8Array>
}

/** A part of the object, and where it begins in its file. */
export interface FilePlace extends Range {
  readonly position: number
}

export interface PartFile {
  readonly path: string
  readonly places: readonly FilePlace[]
}

export interface HeldParts {
  /** Together they have every part that was asked for. */
  readonly files: readonly PartFile[]
  /** Requests that this took. */
  readonly requests: number
  /** Lets the files go; they may be removed from then on. Harmless to call again. */
  readonly release: () => void
  /** Has them fetched again by whoever wants their parts next: they are not what they were. */
  readonly discard: () => void
}

interface Entry extends PartFile {
  readonly sha256: string
  readonly bytes: number
  pins: number
  /** Settles when all of its parts are there. */
  ready: Promise<void>
}

/** Requests of one file that are under way at once, and the bytes of one: together they bound its memory. */
const REQUESTS_MAX = 8
const REQUEST_BYTES_MAX = 4 * 1024 * 1024

export class PartFiles {
  readonly #options: PartFilesOptions
  /** The least recently used first. */
  readonly #entries = new Set<Entry>()
  readonly #fills = new Set<Promise<void>>()
  #usedBytes = 0
  #count = 0
  #removals: Promise<void> = Promise.resolve()

  private constructor(options: PartFilesOptions) {
    this.#options = options
  }

  /** Makes the directory, and removes what an earlier process left in it. */
  static async open(options: PartFilesOptions): Promise<PartFiles> {
    const { fileSystem, directory } = options
    await fileSystem.makeDirectory(directory)
    for (const name of await fileSystem.list(directory))
      await fileSystem.remove(`${directory}/${name}`)
    return new PartFiles(options)
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /**
   * Files with these parts, which are ascending and apart.
   *
   * @throws StratalogError `object_corrupt` when a part comes wrong twice, and what `fetch` and the disk throw.
   */
  async acquire(
    object: PartedObject,
    parts: readonly CachedPart[],
    signal: AbortSignal,
  ): Promise<HeldParts> {
    let requests = 0
    for (;;) {
      throwIfAborted(signal)
      const used = new Set<Entry>()
      const missing: CachedPart[] = []
      for (const part of parts) {
        const entry = this.#entryWith(object.sha256, part)
        if (entry === null) missing.push(part)
        else used.add(entry)
      }
      const own = missing.length === 0 ? null : this.#make(object, missing, signal)
      if (own !== null) {
        used.add(own.entry)
        requests += own.requests
      }
      for (const entry of used) this.#hold(entry)
      const release = this.#releaseOnce(used)
      const results = await settledOr(
        signal,
        [...used].map((entry) => entry.ready),
        release,
      )
      if (results.every(({ status }) => status === 'fulfilled')) {
        this.#evict()
        const files = [...used].map(({ path, places }): PartFile => ({ path, places }))
        const discard = (): void => {
          for (const entry of used) this.#drop(entry)
        }
        return { files, requests, release, discard }
      }
      release()
      // Another's fetch may have ended with that one's signal: then its parts are fetched again.
      await own?.entry.ready
    }
  }

  #entryWith(sha256: string, part: Range): Entry | null {
    for (const entry of this.#entries) {
      if (entry.sha256 !== sha256) continue
      const place = entry.places.find(({ start }) => start === part.start)
      if (place?.end === part.end) return entry
    }
    return null
  }

  #make(
    object: PartedObject,
    parts: readonly CachedPart[],
    signal: AbortSignal,
  ): { readonly entry: Entry; readonly requests: number } {
    const fetches = inRequests(parts)
    let position = 0
    const places = parts.map(({ start, end }): FilePlace => {
      const place = { start, end, position }
      position += end - start
      return place
    })
    const path = `${this.#options.directory}/${object.sha256}-${++this.#count}`
    const ready = this.#fill(path, object, fetches, signal)
    this.#fills.add(ready)
    const entry: Entry = { sha256: object.sha256, path, places, bytes: position, pins: 0, ready }
    this.#entries.add(entry)
    this.#usedBytes += position
    ready.catch(() => this.#drop(entry)).finally(() => this.#fills.delete(ready))
    return { entry, requests: fetches.length }
  }

  /** Fetches some ahead of what is written; where one fails, the others end. */
  async #fill(
    path: string,
    object: PartedObject,
    requests: readonly Request[],
    wanted: AbortSignal,
  ): Promise<void> {
    const file = await this.#options.fileSystem.create(path)
    const failure = new AbortController()
    const signal = AbortSignal.any([wanted, failure.signal])
    try {
      const ahead: Promise<readonly Uint8Array[]>[] = []
      const queue = requests.values()
      const start = (): void => {
        const next = queue.next()
        if (next.done === true) return
        const fetching = soundParts(object, next.value, signal)
        // Whoever awaits it sees the failure; where one before it failed, nobody does.
        fetching.catch(() => {})
        ahead.push(fetching)
      }
      for (let count = 0; count < REQUESTS_MAX; count++) start()
      for (let fetching = ahead.shift(); fetching !== undefined; fetching = ahead.shift()) {
        await writeAll(file, await fetching)
        start()
      }
    } finally {
      failure.abort()
      await file.close()
    }
  }

  #hold(entry: Entry): void {
    entry.pins++
    if (!this.#entries.delete(entry)) return
    this.#entries.add(entry)
  }

  #releaseOnce(entries: ReadonlySet<Entry>): () => void {
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      for (const entry of entries) {
        entry.pins--
        // One that was dropped meanwhile stayed for whoever held it.
        if (entry.pins === 0 && !this.#entries.has(entry)) this.#remove(entry)
      }
      this.#evict()
    }
  }

  #evict(): void {
    for (const entry of this.#entries) {
      if (this.#usedBytes <= this.#options.bytesMax) return
      if (entry.pins === 0) this.#drop(entry)
    }
  }

  #drop(entry: Entry): void {
    if (!this.#entries.delete(entry)) return
    this.#usedBytes -= entry.bytes
    if (entry.pins === 0) this.#remove(entry)
  }

  #remove({ path }: Entry): void {
    this.#removals = this.#removals
      .then(() => this.#options.fileSystem.remove(path))
      .catch(() => {})
  }

  /** Waits until nothing is written or removed any more. Whoever fetches has ended it. */
  async settle(): Promise<void> {
    await Promise.allSettled([...this.#fills])
    await this.#removals
  }
}

/** What became of all; rejects, and lets go of them, once the waiting is over by the signal. */
async function settledOr(
  signal: AbortSignal,
  work: readonly Promise<void>[],
  release: () => void,
): Promise<readonly PromiseSettledResult<void>[]> {
  const { promise: stopped, reject } = Promise.withResolvers<never>()
  const stop = (): void => reject(signal.reason as Error)
  signal.addEventListener('abort', stop)
  try {
    return await Promise.race([Promise.allSettled(work), stopped])
  } catch (error) {
    release()
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** What one request fetches, and the parts in it. */
interface Request extends Range {
  readonly parts: readonly CachedPart[]
}

function inRequests(parts: readonly CachedPart[]): readonly Request[] {
  const groups: CachedPart[][] = []
  let bytes = Infinity
  for (const part of parts) {
    if (bytes + rangeLength(part) > REQUEST_BYTES_MAX) {
      groups.push([])
      bytes = 0
    }
    bytes += rangeLength(part)
    groups.at(-1)?.push(part)
  }
  return groups.flatMap((group) =>
    coalesce(group).map(({ start, end, members }) => ({
      start,
      end,
      parts: members.flatMap((member) => group[member] ?? []),
    })),
  )
}

/** The parts of a request. One that comes wrong is asked for once more: what is on its way may be damaged too. */
async function soundParts(
  object: PartedObject,
  { start, end, parts }: Request,
  signal: AbortSignal,
): Promise<readonly Uint8Array[]> {
  for (let tries = 1; ; tries++) {
    const bytes = await object.fetch({ start, end }, signal)
    const cut = parts.map((part) => bytes.subarray(part.start - start, part.end - start))
    const wrong = parts.findIndex((part, index) => !part.isSound(cut[index] ?? bytes))
    if (wrong === -1) return cut
    if (tries === 2) {
      const { start: from = start, end: to = end } = parts[wrong] ?? {}
      const reason = `bytes ${from} to ${to} of its segment are not those that its footer tells of`
      throw objectCorrupt(object.url, object.key, reason, { start: from, end: to })
    }
  }
}

async function writeAll(file: WritableFile, pieces: readonly Uint8Array[]): Promise<void> {
  for (const piece of pieces) await file.write(piece)
}
