/**
 * What happened to streams, as records of a log of the server's own: which were created, closed and deleted. Which
 * streams there are at a start is what these events say, in their order.
 *
 * A creation is recorded before its log exists, and again with the id of its log, which another log of the name does
 * not have. It counts when that is there and the first records are, so a crash on the way leaves no stream, or all of
 * it.
 */
import { isStratalogError } from '../../base/errors.ts'
import type { CreateLogOptions } from '../../engine/create-log.ts'
import type { Log } from '../../engine/log.ts'
import type { Stratalog } from '../../engine/stratalog.ts'
import type { ProducerStamp, StreamConfig } from './stream.ts'

export const STREAM_EVENTS_LOG = 'stratalog.streams'

export interface CreatedStream {
  readonly log: string
  readonly asked: StreamConfig
  readonly contentType: string
  readonly ttlSeconds: number | null
  readonly expiresAt: string | null
  /** Id of the stream that it is a fork of. */
  readonly source: string | null
  readonly base: number
  /** Records that it was created with. */
  readonly initial: number
  readonly isClosed: boolean
}

interface EventDetails {
  readonly created: CreatedStream
  /** Its log is there. */
  readonly made: { readonly logId: number }
  readonly closed: { readonly by: ProducerStamp | null }
  /** Its log is deleted after it. */
  readonly deleted: { readonly logId: number }
}

export type StreamEvent = {
  readonly [Name in keyof EventDetails]: {
    readonly event: Name
    readonly stream: string
    readonly path: string
    readonly details: EventDetails[Name]
  }
}[keyof EventDetails]

export class StreamEvents {
  readonly #log: Log

  private constructor(log: Log) {
    this.#log = log
  }

  /** `isDurable`: the engine has a data directory. */
  static async open(db: Stratalog, isDurable: boolean): Promise<StreamEvents> {
    const options: CreateLogOptions = {
      schema: { event: 'utf8', stream: 'utf8', path: 'utf8', details: 'json' },
      storage: isDurable ? { mode: 'hybrid', wal: true, ack: 'disk' } : { mode: 'memory' },
    }
    try {
      return new StreamEvents(await db.createLog(STREAM_EVENTS_LOG, options))
    } catch (error) {
      if (isStratalogError(error) && error.code === 'log_exists')
        return new StreamEvents(db.log(STREAM_EVENTS_LOG))
      throw error
    }
  }

  /** Resolves once the event is as durable as the engine makes it. */
  async add(event: StreamEvent): Promise<void> {
    await this.#log.append(event)
  }

  /** Every event, oldest first. */
  async *all(): AsyncGenerator<StreamEvent, void, undefined> {
    const columns = ['event', 'stream', 'path', 'details']
    for await (const row of this.#log.read({ columns, onGap: 'skip' }).rows())
      yield row as unknown as StreamEvent
  }
}
