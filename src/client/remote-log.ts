import { toWire } from '../base/wire-value.ts'
import type { AppendOptions } from '../engine/append-options.ts'
import type { GetOptions, HotOptions } from '../engine/hot-options.ts'
import type { LatestOptions, LatestReadOptions } from '../engine/latest-log.ts'
import type { LogDescription } from '../engine/log-description.ts'
import type { ReadOptions } from '../engine/read-options.ts'
import type { AppendResult } from '../log/live-log.ts'
import { fromWire } from '../base/wire-value.ts'
import type { Appender } from './appender.ts'
import { readRecords, textOfTime } from './read-records.ts'
import type { Row } from './row-batch.ts'
import { RowStream } from './row-stream.ts'
import { type Transport, pathOf } from './transport.ts'

interface Described extends LogDescription {
  readonly ranges: readonly {
    readonly partition: number
    readonly startOffset: number
    readonly endOffset: number
  }[]
}

/** A log of a server: what `Log` is of an engine. It is only a name until it is used. */
export class RemoteLog {
  readonly name: string
  readonly #transport: Transport
  readonly #appender: Appender

  constructor(name: string, transport: Transport, appender: Appender) {
    this.name = name
    this.#transport = transport
    this.#appender = appender
  }

  /** What the log is. @throws StratalogError `log_not_found`. */
  async describe(): Promise<LogDescription> {
    const { ranges: _, ...description } = await this.#described()
    return description
  }

  /** The offsets that can be read now: from the first that is kept to the next that is given. */
  async range({ partition = 0 }: HotOptions = {}): Promise<{ start: number; end: number }> {
    const { ranges } = await this.#described()
    const found = ranges.find((range) => range.partition === partition)
    return { start: found?.startOffset ?? 0, end: found?.endOffset ?? 0 }
  }

  /**
   * Appends one record, many, or an `apache-arrow` table; resolves when the level of acknowledgement is reached. It is
   * sent again when it was not answered, and applied once. Appends that are made without waiting are applied in their
   * order, and go together where they can.
   * @throws StratalogError as `Log.append`; `server_unavailable` when the outcome is not known.
   * @example
   * await clicks.append({ user_id: 7, event: 'view' })
   */
  append(records: object | readonly object[], options: AppendOptions = {}): Promise<AppendResult> {
    return this.#appender.append(records, options)
  }

  /** Reads records in offset order; goes on where it was when an answer breaks off. See `ReadOptions`. */
  read(options: ReadOptions = {}): RowStream {
    return new RowStream(() => readRecords(this.#transport, this.name, options))
  }

  /** The record at one offset, or null when no such offset is readable. */
  get(offset: number, { partition, columns }: GetOptions = {}): Promise<Row | null> {
    return this.#one({ offset, partition, columns: columns?.join(',') })
  }

  /** The newest record of each key. @throws StratalogError `argument_invalid` for a log without a key column. */
  latest(options: LatestReadOptions = {}): RowStream {
    const latest = { ...options, latest: true }
    return new RowStream(() => readRecords(this.#transport, this.name, latest))
  }

  /** The newest record of one key; null where there is none. */
  getLatest(key: unknown, options: LatestOptions = {}): Promise<Row | null> {
    const { columns, asOf, signal } = options
    return this.#one(
      {
        latest: true,
        key: JSON.stringify(toWire(key ?? null)),
        columns: columns?.join(','),
        asOf: textOfTime(asOf),
      },
      signal,
    )
  }

  async #one(
    parameters: Readonly<Record<string, string | number | boolean | undefined>>,
    signal?: AbortSignal,
  ): Promise<Row | null> {
    const { row } = await this.#transport.json<{ readonly row: unknown }>(
      pathOf('logs', this.name, 'records'),
      { parameters: { ...parameters, format: 'rows' }, isRepeatable: true, signal },
    )
    return fromWire(row) as Row | null
  }

  #described(): Promise<Described> {
    return this.#transport.json<Described>(pathOf('logs', this.name), { isRepeatable: true })
  }
}
