/** Every stream by its path: creating, forking, finding, closing and deleting. */
import type { Clock } from '../../base/clock.ts'
import { isStratalogError } from '../../base/errors.ts'
import type { Logger } from '../../base/logger.ts'
import { Mutex } from '../../base/mutex.ts'
import { type Random, randomHex } from '../../base/random.ts'
import type { Log } from '../../engine/log.ts'
import type { Stratalog } from '../../engine/stratalog.ts'
import { RequestProblem } from '../http-error.ts'
import { type CreatedStream, StreamEvents } from './stream-events.ts'
import { freeLogName } from './stream-names.ts'
import { appendMessages, forkPoint, messagesOf, streamSchema } from './stream-records.ts'
import { type ProducerStamp, Stream, type StreamConfig, mediaType } from './stream.ts'
import { streamConflict, streamGone, streamNotFound } from './stream-problems.ts'

export interface StreamRegistryPorts {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export interface Creation {
  readonly stream: Stream
  readonly isNew: boolean
}

const DEFAULT_TYPE = 'application/octet-stream'

export class StreamRegistry {
  readonly #db: Stratalog
  readonly #ports: StreamRegistryPorts
  readonly #events: StreamEvents
  readonly #byPath = new Map<string, Stream>()
  /** Creations and deletions of one path happen one after the other. */
  readonly #paths = new Map<string, { readonly mutex: Mutex; users: number }>()
  /** Names that creations under way have chosen. */
  readonly #chosen = new Set<string>()

  private constructor(db: Stratalog, events: StreamEvents, ports: StreamRegistryPorts) {
    this.#db = db
    this.#events = events
    this.#ports = ports
  }

  /** Finds the streams of earlier lives of the engine. */
  static async open(
    db: Stratalog,
    isDurable: boolean,
    ports: StreamRegistryPorts,
  ): Promise<StreamRegistry> {
    const registry = new StreamRegistry(db, await StreamEvents.open(db, isDurable), ports)
    await registry.#recover()
    return registry
  }

  /** @throws RequestProblem `stream_gone` for one that only forks need; StratalogError `log_not_found`. */
  get(path: string): Stream {
    const stream = this.#find(path)
    if (stream === null) throw streamNotFound(path)
    if (stream.isDeleted) throw streamGone()
    return stream
  }

  /** Its time to live begins anew. */
  touch(stream: Stream): void {
    stream.lastUse = this.#ports.clock.now()
  }

  /**
   * Creates a stream, or finds one that was created just so.
   * @throws RequestProblem `stream_conflict`, `request_invalid`; StratalogError `log_not_found` for a source.
   */
  create(path: string, asked: StreamConfig, body: Buffer, isClosed: boolean): Promise<Creation> {
    return this.#alone(path, async () => {
      const existing = this.#find(path)
      if (existing !== null) return { stream: sameStream(existing, asked, isClosed), isNew: false }
      return { stream: await this.#createNew(path, asked, body, isClosed), isNew: true }
    })
  }

  /** @throws as `get` does. */
  delete(path: string): Promise<void> {
    return this.#alone(path, async () => {
      const stream = this.get(path)
      await this.#recordDeletion(stream)
      await this.#remove(stream)
    })
  }

  /** Resolves once the end of the stream is durable; called when nothing else is appended to it. */
  async close(stream: Stream, by: ProducerStamp | null): Promise<void> {
    const { id, path } = stream.identity
    await this.#events.add({ event: 'closed', stream: id, path, details: { by } })
    stream.close(by)
  }

  async #createNew(
    path: string,
    asked: StreamConfig,
    body: Buffer,
    isClosed: boolean,
  ): Promise<Stream> {
    const source = asked.forkedFrom === null ? null : this.#sourceOf(asked.forkedFrom)
    const contentType = contentTypeFor(asked, source)
    const isJson = mediaType(contentType) === 'application/json'
    const messages = body.length === 0 ? [] : messagesOf(body, isJson)
    const point = await pointOfFork(asked, source)
    const initial = point.rest === null ? messages : [point.rest, ...messages]
    const log = freeLogName(path, (name) => this.#chosen.has(name) || this.#hasLog(name))
    const created: CreatedStream = {
      log,
      asked,
      contentType,
      ...expiryFor(asked, source),
      source: source?.identity.id ?? null,
      base: point.offset,
      initial: initial.length,
      isClosed,
    }
    const id = randomHex(this.#ports.random, 8)
    this.#chosen.add(log)
    // From here on the source stays, whatever becomes of its own path.
    if (source !== null) source.forks++
    try {
      await this.#events.add({ event: 'created', stream: id, path, details: created })
      const made = await this.#db.createLog(log, { schema: streamSchema(isJson) })
      await Promise.all([
        this.#events.add({ event: 'made', stream: id, path, details: { logId: made.id } }),
        initial.length > 0 ? appendMessages(made, isJson, initial) : null,
      ])
      const stream = this.#build(id, path, created, source, made)
      this.#byPath.set(path, stream)
      return stream
    } catch (error) {
      if (source !== null)
        for (const { log: left } of this.#leave(source)) await this.#deleteLog(left)
      throw error
    } finally {
      this.#chosen.delete(log)
    }
  }

  #build(
    id: string,
    path: string,
    created: CreatedStream,
    source: Stream | null,
    log: Log,
  ): Stream {
    const { asked, contentType, ttlSeconds, expiresAt, base, isClosed } = created
    const identity = { id, path, asked, contentType, ttlSeconds, expiresAt, source, base }
    const stream = new Stream(identity, log, this.#ports.clock.now())
    if (isClosed) stream.close(null)
    return stream
  }

  #sourceOf(path: string): Stream {
    const source = this.#find(path)
    if (source === null) throw streamNotFound(path)
    if (source.isDeleted)
      throw streamConflict('The source was deleted, and is there for its other forks only.')
    return source
  }

  /** What is there under a path; one that expired, or whose log was deleted, is removed first. */
  #find(path: string): Stream | null {
    const stream = this.#byPath.get(path)
    if (stream === undefined) return null
    const isOver = stream.isExpired(this.#ports.clock.now()) || !this.#isThere(stream.log)
    if (stream.isDeleted || !isOver) return stream
    this.#expire(stream).catch((error: unknown) => {
      this.#ports.logger.warn('the expiry of a stream was not recorded', { error: String(error) })
    })
    return this.#byPath.get(path) ?? null
  }

  /** For everybody at once; its log goes once that is recorded. */
  async #expire(stream: Stream): Promise<void> {
    stream.delete()
    const gone = stream.forks === 0 ? this.#unlink(stream) : []
    await this.#recordDeletion(stream)
    for (const { log } of gone) await this.#deleteLog(log)
  }

  async #recordDeletion({ identity: { id, path }, log }: Stream): Promise<void> {
    await this.#events.add({ event: 'deleted', stream: id, path, details: { logId: log.id } })
  }

  /** Gone, or there for its forks only. */
  async #remove(stream: Stream): Promise<void> {
    stream.delete()
    const gone = stream.forks === 0 ? this.#unlink(stream) : []
    for (const { log } of gone) await this.#deleteLog(log)
  }

  /** Takes a deleted stream from its path. Returns it, and the deleted ones that were there for it only. */
  #unlink(stream: Stream): readonly Stream[] {
    if (this.#byPath.get(stream.path) === stream) this.#byPath.delete(stream.path)
    const { source } = stream.identity
    return [stream, ...(source === null ? [] : this.#leave(source))]
  }

  /** A fork of it is no more. */
  #leave(source: Stream): readonly Stream[] {
    source.forks--
    return source.forks === 0 && source.isDeleted ? this.#unlink(source) : []
  }

  /** The log of a stream that is recorded to be deleted. One that cannot be now is deleted by the next start. */
  async #deleteLog(log: Log): Promise<void> {
    if (!this.#isThere(log)) return
    try {
      await this.#db.deleteLog(log.name)
    } catch (error) {
      if (isStratalogError(error) && error.kind === 'not_found') return
      const reason = String(error)
      this.#ports.logger.warn('the log of a deleted stream is left', { log: log.name, reason })
    }
  }

  /** Whether that very log is there. */
  #isThere({ name, id }: Log): boolean {
    return this.#logOf(name)?.id === id
  }

  #hasLog(name: string): boolean {
    return this.#logOf(name) !== null
  }

  #logOf(name: string): Log | null {
    try {
      return this.#db.log(name)
    } catch (error) {
      if (isStratalogError(error) && error.code === 'log_not_found') return null
      throw error
    }
  }

  async #recover(): Promise<void> {
    const streams = new Map<string, Stream>()
    const begun = new Map<string, CreatedStream>()
    for await (const { event, stream: id, path, details } of this.#events.all()) {
      const known = streams.get(id)
      if (event === 'created') begun.set(id, details)
      else if (event === 'made') {
        const created = begun.get(id)
        begun.delete(id)
        const stream = created && this.#revived(id, path, created, details.logId, streams)
        if (stream) streams.set(id, stream)
      } else if (event === 'closed') known?.close(details.by)
      else if (known?.log.id === details.logId) known.delete()
      // Its log is gone, and another has the name.
      else streams.delete(id)
    }
    for (const stream of streams.values()) {
      const { source } = stream.identity
      if (source !== null) source.forks++
    }
    // Forks come after their sources: backwards, a source knows whether a fork of it is left.
    for (const stream of [...streams.values()].reverse()) {
      if (!stream.isDeleted || stream.forks > 0) {
        this.#byPath.set(stream.path, stream)
        continue
      }
      if (stream.identity.source !== null) stream.identity.source.forks--
      await this.#deleteLog(stream.log)
    }
  }

  /** A stream as it was created; null where its log is gone, or a crash left it without its first records. */
  #revived(
    id: string,
    path: string,
    created: CreatedStream,
    logId: number,
    streams: ReadonlyMap<string, Stream>,
  ): Stream | null {
    const source = created.source === null ? null : streams.get(created.source)
    if (source === undefined || !this.#hasLog(created.log)) return null
    const log = this.#db.log(created.log)
    if (log.id !== logId || log.range().end < created.initial) return null
    return this.#build(id, path, created, source, log)
  }

  async #alone<T>(path: string, section: () => Promise<T>): Promise<T> {
    const entry = this.#paths.get(path) ?? { mutex: new Mutex(), users: 0 }
    this.#paths.set(path, entry)
    entry.users++
    try {
      return await entry.mutex.run(section)
    } finally {
      entry.users--
      if (entry.users === 0) this.#paths.delete(path)
    }
  }
}

/** The stream that is there, if it was created just so. @throws RequestProblem `stream_conflict`. */
function sameStream(existing: Stream, asked: StreamConfig, isClosed: boolean): Stream {
  if (existing.isDeleted)
    throw streamConflict('A stream was deleted here, and is there for its forks still.')
  const had = existing.identity.asked
  const typeOf = (config: StreamConfig): string =>
    mediaType(config.contentType ?? existing.identity.contentType)
  const isSame =
    typeOf(asked) === typeOf(had) &&
    asked.ttlSeconds === had.ttlSeconds &&
    asked.expiresAt === had.expiresAt &&
    asked.forkedFrom === had.forkedFrom &&
    (asked.forkOffset === null || asked.forkOffset === had.forkOffset) &&
    asked.forkSubOffset === had.forkSubOffset &&
    isClosed === existing.isClosed
  if (isSame) return existing
  throw streamConflict('A stream of another configuration is there.')
}

function contentTypeFor({ contentType }: StreamConfig, source: Stream | null): string {
  if (source === null) return contentType ?? DEFAULT_TYPE
  const inherited = source.identity.contentType
  if (contentType === null || mediaType(contentType) === mediaType(inherited)) return inherited
  throw streamConflict(`The source's content type is ${inherited}.`)
}

/** A fork without an expiry of its own has that of its source. */
function expiryFor(
  { ttlSeconds, expiresAt }: StreamConfig,
  source: Stream | null,
): Pick<CreatedStream, 'ttlSeconds' | 'expiresAt'> {
  if (source === null || ttlSeconds !== null || expiresAt !== null) return { ttlSeconds, expiresAt }
  return { ttlSeconds: source.identity.ttlSeconds, expiresAt: source.identity.expiresAt }
}

async function pointOfFork(
  { forkOffset, forkSubOffset }: StreamConfig,
  source: Stream | null,
): Promise<{ readonly offset: number; readonly rest: Buffer | null }> {
  if (source === null) return { offset: 0, rest: null }
  const offset = forkOffset ?? source.tail
  if (offset > source.tail)
    throw new RequestProblem('request_invalid', 'Stream-Fork-Offset lies beyond the source.')
  return forkSubOffset === 0 ? { offset, rest: null } : forkPoint(source, offset, forkSubOffset)
}
