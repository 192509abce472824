/**
 * One stream: a log of one partition with a content type, an end and an expiry. Its offsets count records; those of a
 * fork go on where those of its source end for it, so that its own log begins at `base`.
 */
import type { Log } from '../../engine/log.ts'
import { AppendGate } from './append-gate.ts'

export interface ProducerStamp {
  readonly producerId: string
  readonly epoch: number
  readonly sequence: number
}

/** What a stream was asked to be; a second request for the same is no conflict. */
export interface StreamConfig {
  /** Null: that of the source, or `application/octet-stream`. */
  readonly contentType: string | null
  readonly ttlSeconds: number | null
  /** As it was written. */
  readonly expiresAt: string | null
  readonly forkedFrom: string | null
  /** Null: the end of the source. */
  readonly forkOffset: number | null
  readonly forkSubOffset: number
}

export interface StreamIdentity {
  readonly id: string
  readonly path: string
  readonly asked: StreamConfig
  readonly contentType: string
  readonly ttlSeconds: number | null
  readonly expiresAt: string | null
  readonly source: Stream | null
  /** The stream's offset of the first record of its own log. */
  readonly base: number
}

/** A part of a stream in one log, by the log's offsets. */
export interface StreamPart {
  readonly log: Log
  readonly from: number
  readonly to: number
  /** What the log's offsets lack to those of the stream. */
  readonly shift: number
}

export class Stream {
  readonly identity: StreamIdentity
  readonly log: Log
  readonly isJson: boolean
  readonly gate: AppendGate = new AppendGate()
  /** Forks that read through this stream. */
  forks = 0
  closedBy: ProducerStamp | null = null
  /** The newest `Stream-Seq`; undefined while nobody asked since the start. */
  lastSeq: string | null | undefined = undefined
  lastUse: number
  #isClosed = false
  #isDeleted = false
  readonly #ended = new AbortController()

  constructor(identity: StreamIdentity, log: Log, now: number) {
    this.identity = identity
    this.log = log
    this.isJson = mediaType(identity.contentType) === 'application/json'
    this.lastUse = now
  }

  get path(): string {
    return this.identity.path
  }

  /** The offset after the last record. */
  get tail(): number {
    return this.identity.base + this.log.range().end
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Deleted, and there only for its forks. */
  get isDeleted(): boolean {
    return this.#isDeleted
  }

  /** Fires when nothing can come any more. */
  get ended(): AbortSignal {
    return this.#ended.signal
  }

  close(by: ProducerStamp | null): void {
    this.#isClosed = true
    this.closedBy = by
    this.#ended.abort()
  }

  delete(): void {
    this.#isDeleted = true
    this.#ended.abort()
  }

  isExpired(now: number): boolean {
    const { ttlSeconds, expiresAt } = this.identity
    if (ttlSeconds !== null && now >= this.lastUse + ttlSeconds * 1_000) return true
    return expiresAt !== null && now >= Date.parse(expiresAt)
  }

  /** Where the records `[from, to)` lie, in order. */
  parts(from: number, to: number): readonly StreamPart[] {
    const { source, base } = this.identity
    const inherited = source === null || from >= base ? [] : source.parts(from, Math.min(to, base))
    if (to <= base) return inherited
    const own = { log: this.log, from: Math.max(from, base) - base, to: to - base, shift: base }
    return own.from < own.to ? [...inherited, own] : inherited
  }

  /** The first offset that can be read. */
  get start(): number {
    const { source, base } = this.identity
    const own = base + this.log.range().start
    return source === null || base === 0 ? own : Math.min(own, source.start)
  }
}

/** The stream ends at this offset, for good. */
export function isEnd(stream: Stream, offset: number): boolean {
  return stream.isClosed && offset >= stream.tail
}

/** A content type without its parameters, in lower case. */
export function mediaType(contentType: string): string {
  return (contentType.split(';')[0] ?? '').trim().toLowerCase()
}
