/**
 * Parts of cold objects on local disk, for readers that want few bytes of much.
 *
 * - A part is bytes that the reader can verify. It is verified when it is fetched, and only then kept; and each time it
 *   is read from here, since nothing here is synced. A file with wrong bytes is dropped and fetched again.
 * - One fetch serves all who want the same bytes at the same time, and goes on as long as one of them waits.
 * - Files stay within `bytesMax`; a scan of everything does not wipe what is read again and again (two-queue.ts).
 *   Parts of kind `footer` are preferred from the beginning.
 * - A disk that fails or is full makes the cache keep less, and never a read fail.
 * - At most `FETCHES_MAX` requests are under way, so that cold reads leave sockets to uploads.
 *
 * A file is named `<object>-<start>-<end>.<kind>`, the object by the SHA-256 of its content. One instance owns its
 * directory.
 */
import { throwIfAborted } from '../base/errors.ts'
import { Mutex } from '../base/mutex.ts'
import { type Range, rangeLength } from '../base/range.ts'
import { coalesce } from './coalesce.ts'
import type { FileSystem } from './file-system.ts'
import { TwoQueue } from './two-queue.ts'

export interface PartCacheOptions {
  readonly directory: string
  readonly bytesMax: number
  readonly fileSystem: FileSystem
}

/** Bytes of an object that are verified together. */
export interface CachedPart extends Range {
  readonly kind: 'footer' | 'data'
  readonly isSound: (bytes: Uint8Array) => boolean
}

/** Where parts come from. */
export interface CachedObject {
  /** SHA-256 of the whole content, hex. */
  readonly sha256: string
  readonly fetch: (range: Range, signal: AbortSignal) => Promise<Uint8Array>
}

export interface PartCacheCounts {
  /** Parts that were there, and parts that had to be fetched. */
  readonly hits: number
  readonly misses: number
  readonly fetches: number
  readonly usedBytes: number
}

const FETCHES_MAX = 16

/** Parts that lie side by side go into one file up to this size. */
const FILE_BYTES_MAX = 2 * 1024 * 1024

/** Fetched bytes that wait to be written; what comes beyond is not kept. */
const WAITING_BYTES_MAX = 32 * 1024 * 1024

const NAME_PATTERN = /^([0-9a-f]{64})-(\d{1,15})-(\d{1,15})\.(footer|data)$/

/** A file. */
interface Kept extends Range {
  readonly name: string
}

/** Bytes that are being fetched, or wait to be written. */
interface Flight extends Range {
  readonly bytes: Promise<Uint8Array>
  waiters: number
  /** Ends the fetch unless it is done; from then on nobody joins it. */
  readonly abandon: () => void
}

/** What is known of one object. */
interface Places {
  readonly kept: Set<Kept>
  readonly flights: Set<Flight>
}

export class PartCache {
  readonly #options: PartCacheOptions
  readonly #queue: TwoQueue
  readonly #objects = new Map<string, Places>()
  readonly #keptByName = new Map<string, { readonly sha256: string; readonly kept: Kept }>()
  /** Writes and removals, one at a time: the disk is others' too. */
  readonly #files = new Mutex()
  readonly #landings = new Set<Promise<void>>()
  readonly #slots: (() => void)[] = []
  #fetching = 0
  #waitingBytes = 0
  #hits = 0
  #misses = 0
  #fetches = 0

  private constructor(options: PartCacheOptions) {
    this.#options = options
    this.#queue = new TwoQueue(options.bytesMax)
  }

  /** Makes the directory, and takes over what an earlier process kept in it. */
  static async open(options: PartCacheOptions): Promise<PartCache> {
    const { fileSystem, directory } = options
    const cache = new PartCache(options)
    await fileSystem.makeDirectory(directory)
    for (const name of await fileSystem.list(directory)) {
      const [, sha256 = '', start, end, kind] = NAME_PATTERN.exec(name) ?? []
      if (kind === undefined) await fileSystem.remove(`${directory}/${name}`)
      else cache.#keep(sha256, { name, start: Number(start), end: Number(end) }, kind === 'footer')
    }
    await cache.#files.run(async () => {})
    return cache
  }

  counts(): PartCacheCounts {
    return {
      hits: this.#hits,
      misses: this.#misses,
      fetches: this.#fetches,
      usedBytes: this.#queue.usedBytes,
    }
  }

  /** @param parts ascending and apart. What is fetched is given as it came, sound or not. @throws as `fetch`. */
  async read(
    object: CachedObject,
    parts: readonly CachedPart[],
    signal?: AbortSignal,
  ): Promise<readonly Uint8Array[]> {
    const results: (Uint8Array | null)[] = parts.map(() => null)
    for (;;) {
      const open = [...parts.keys()].filter((index) => results[index] === null)
      if (open.length === 0) return results.filter((bytes) => bytes !== null)
      throwIfAborted(signal)
      // Whom to ask is settled for all parts before anything is awaited, so that nothing is fetched twice.
      const readings = this.#plan(object, parts, open).map(async ({ members, read }) => {
        for (const [position, bytes] of (await read(signal)).entries())
          results[members[position] ?? -1] = bytes
      })
      await Promise.all(readings)
    }
  }

  /** Waits until what was fetched is written, and what has to go removed. */
  async settle(): Promise<void> {
    await Promise.all(this.#landings)
    await this.#files.run(async () => {})
  }

  /** Ends what is being fetched, and settles. */
  async close(): Promise<void> {
    for (const { flights } of this.#objects.values()) {
      for (const flight of flights) flight.abandon()
    }
    await this.settle()
  }

  /** For each of the open parts one reading that has it among its members. Null of a part means: ask again. */
  #plan(
    object: CachedObject,
    parts: readonly CachedPart[],
    open: readonly number[],
  ): readonly Reading[] {
    const places = this.#placesOf(object.sha256)
    const byFile = new Map<Kept, number[]>()
    const byFlight = new Map<Flight, number[]>()
    const missing: number[] = []
    for (const index of open) {
      const part = parts[index]
      if (part === undefined) continue
      const kept = covering(places.kept, part)
      const flight = covering(places.flights, part)
      if (kept !== undefined) byFile.set(kept, [...(byFile.get(kept) ?? []), index])
      else if (flight !== undefined) byFlight.set(flight, [...(byFlight.get(flight) ?? []), index])
      else missing.push(index)
    }
    this.#misses += missing.length
    for (const fetch of coalesce(missing.flatMap((index) => parts[index] ?? []))) {
      const members = fetch.members.flatMap((member) => missing[member] ?? [])
      const wanted = members.flatMap((index) => parts[index] ?? [])
      byFlight.set(this.#depart(object, fetch, wanted), members)
    }
    const partsOf = (members: readonly number[]): readonly CachedPart[] =>
      members.flatMap((index) => parts[index] ?? [])
    return [
      ...[...byFile].map(([kept, members]) => ({
        members,
        read: () => this.#readFile(object.sha256, kept, partsOf(members)),
      })),
      ...[...byFlight].map(([flight, members]) => {
        flight.waiters++
        return {
          members,
          read: async (signal: AbortSignal | undefined) => {
            const bytes = await arrival(flight, signal)
            return partsOf(members).map((part) => cut(bytes, part, flight.start))
          },
        }
      }),
    ]
  }

  /** Sound parts from a file; all null when one is not, and then the file goes. */
  async #readFile(
    sha256: string,
    kept: Kept,
    parts: readonly CachedPart[],
  ): Promise<readonly (Uint8Array | null)[]> {
    const first = parts[0]?.start ?? kept.start
    const end = parts.at(-1)?.end ?? kept.end
    const { fileSystem } = this.#options
    try {
      const file = await fileSystem.open(this.#path(kept.name))
      let bytes: Uint8Array
      try {
        bytes = await file.read(first - kept.start, end - first)
      } finally {
        await file.close()
      }
      const read = parts.map((part) => cut(bytes, part, first))
      if (parts.every((part, index) => part.isSound(read[index] ?? bytes))) {
        this.#queue.touch(kept.name)
        this.#hits += parts.length
        return read
      }
    } catch {
      // A file that cannot be read is as good as none.
    }
    this.#drop(sha256, kept)
    return parts.map(() => null)
  }

  /** Starts a fetch that all who ask for its bytes share until they are written. */
  #depart(object: CachedObject, { start, end }: Range, parts: readonly CachedPart[]): Flight {
    const places = this.#placesOf(object.sha256)
    const controller = new AbortController()
    const bytes = this.#limited(() => object.fetch({ start, end }, controller.signal))
    let isDone = false
    const land = (): void => {
      places.flights.delete(flight)
      this.#tidy(object.sha256, places)
    }
    const abandon = (): void => {
      if (isDone) return
      controller.abort()
      land()
    }
    const flight: Flight = { start, end, bytes, waiters: 0, abandon }
    places.flights.add(flight)
    const landing = bytes
      .then((fetched) => {
        isDone = true
        return this.#store(object.sha256, flight, fetched, parts)
      })
      .catch(() => {})
      .finally(() => {
        land()
        this.#landings.delete(landing)
      })
    this.#landings.add(landing)
    return flight
  }

  async #limited<T>(run: () => Promise<T>): Promise<T> {
    if (this.#fetching >= FETCHES_MAX)
      await new Promise<void>((resolve) => this.#slots.push(resolve))
    else this.#fetching++
    this.#fetches++
    try {
      return await run()
    } finally {
      const next = this.#slots.shift()
      if (next === undefined) this.#fetching--
      else next()
    }
  }

  async #store(
    sha256: string,
    flight: Flight,
    bytes: Uint8Array,
    parts: readonly CachedPart[],
  ): Promise<void> {
    if (this.#waitingBytes + bytes.length > WAITING_BYTES_MAX) return
    this.#waitingBytes += bytes.length
    try {
      for (const stretch of stretches(parts)) {
        const isSound = stretch.parts.every((part) => part.isSound(cut(bytes, part, flight.start)))
        if (isSound && rangeLength(stretch) <= this.#options.bytesMax / 4)
          await this.#write(sha256, stretch, cut(bytes, stretch, flight.start))
      }
    } finally {
      this.#waitingBytes -= bytes.length
    }
  }

  #write(sha256: string, { start, end, parts }: Stretch, bytes: Uint8Array): Promise<void> {
    const { fileSystem } = this.#options
    const kind = parts[0]?.kind ?? 'data'
    const name = `${sha256}-${start}-${end}.${kind}`
    return this.#files.run(async () => {
      if (this.#keptByName.has(name)) return
      try {
        const file = await fileSystem.create(this.#path(name))
        try {
          await file.write(bytes)
        } finally {
          await file.close()
        }
      } catch (error) {
        await fileSystem.remove(this.#path(name)).catch(() => {})
        throw error
      }
      this.#keep(sha256, { name, start, end }, kind === 'footer')
    })
  }

  #keep(sha256: string, kept: Kept, isFooter: boolean): void {
    this.#placesOf(sha256).kept.add(kept)
    this.#keptByName.set(kept.name, { sha256, kept })
    for (const name of this.#queue.add(kept.name, rangeLength(kept), isFooter)) {
      const gone = this.#keptByName.get(name)
      if (gone !== undefined) this.#drop(gone.sha256, gone.kept)
    }
  }

  #drop(sha256: string, kept: Kept): void {
    const places = this.#placesOf(sha256)
    if (!places.kept.delete(kept)) return
    this.#tidy(sha256, places)
    this.#queue.remove(kept.name)
    this.#keptByName.delete(kept.name)
    void this.#files
      .run(() => this.#options.fileSystem.remove(this.#path(kept.name)))
      .catch(() => {})
  }

  #placesOf(sha256: string): Places {
    let places = this.#objects.get(sha256)
    if (places === undefined) {
      places = { kept: new Set(), flights: new Set() }
      this.#objects.set(sha256, places)
    }
    return places
  }

  /** Nothing is known any more of an object that nothing is kept of. */
  #tidy(sha256: string, places: Places): void {
    if (places.kept.size > 0 || places.flights.size > 0) return
    if (this.#objects.get(sha256) === places) this.#objects.delete(sha256)
  }

  #path(name: string): string {
    return `${this.#options.directory}/${name}`
  }
}

interface Reading {
  readonly members: readonly number[]
  readonly read: (signal: AbortSignal | undefined) => Promise<readonly (Uint8Array | null)[]>
}

/** Parts without a gap between them. */
interface Stretch extends Range {
  readonly parts: readonly CachedPart[]
}

function stretches(parts: readonly CachedPart[]): readonly Stretch[] {
  const found: { start: number; end: number; parts: CachedPart[] }[] = []
  for (const part of parts) {
    const last = found.at(-1)
    if (last?.end === part.start && part.end - last.start <= FILE_BYTES_MAX) {
      last.end = part.end
      last.parts.push(part)
    } else {
      found.push({ start: part.start, end: part.end, parts: [part] })
    }
  }
  return found
}

/** The bytes of a flight. Who is the last to stop waiting ends it. */
async function arrival(flight: Flight, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const { promise: stopped, reject } = Promise.withResolvers<never>()
  const stop = (): void => reject(signal?.reason as Error)
  signal?.addEventListener('abort', stop)
  try {
    return await Promise.race([flight.bytes, stopped])
  } catch (error) {
    throwIfAborted(signal)
    throw error
  } finally {
    signal?.removeEventListener('abort', stop)
    flight.waiters--
    if (flight.waiters === 0) flight.abandon()
  }
}

function covering<T extends Range>(candidates: Iterable<T>, { start, end }: Range): T | undefined {
  for (const candidate of candidates)
    if (candidate.start <= start && end <= candidate.end) return candidate
  return undefined
}

function cut(bytes: Uint8Array, { start, end }: Range, base: number): Uint8Array {
  return bytes.subarray(start - base, end - base)
}
