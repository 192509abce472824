import { StratalogError, rejected } from '../base/errors.ts'
import { keyText, partitionOfKey } from '../base/key-text.ts'
import type { Range } from '../base/range.ts'
import { type Duration, parseDuration } from '../base/units.ts'
import { PRIORITY_MAX, PRIORITY_MIN } from '../format/limits.ts'
import type { AckLevel } from '../format/manifest.ts'
import type { Producer } from '../format/producer.ts'
import type { AppendInput } from '../log/append-input.ts'
import {
  type AppendTerms,
  DEFAULT_TERMS,
  assertExpected,
  assertStillFits,
  isApplied,
} from '../log/append-terms.ts'
import { type LatestViews, assertKeyed } from '../log/latest-views.ts'
import type { AppendResult, LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import { type Appendable, adopted, isOneRecord, toInput, withTimes } from './appended-records.ts'
import { keysOf, partitionNeeded } from './append-keys.ts'
import type { AppendMeter } from './append-meter.ts'
import type { AsOf, HeldOf, LogAsOf } from './as-of.ts'
import type { SnapshotDescription } from './describe-snapshot.ts'
import { type AppendOptions, checkedAppendOptions } from './append-options.ts'
import type { BatchStream } from './batch-stream.ts'
import {
  type LatestMoment,
  type LatestOptions,
  type LatestReadOptions,
  type LatestSource,
  latestHash,
  latestRecord,
  latestStream,
} from './latest-log.ts'
import { type LogDescription, describeLog } from './log-description.ts'
import { type ReadOptions, assertReadOptions } from './read-options.ts'
import { type ReadableLog, RecordStream } from './record-stream.ts'
import type { RecordRow } from './batch.ts'
import {
  type GetOptions,
  type HotOptions,
  NOTHING_ASKED,
  partitionAsked,
  partitionOfGet,
} from './hot-options.ts'
import { readHotRow, readHotValue } from './hot-reader.ts'
import { assertSignal } from './check-arguments.ts'
import { readableLog } from './readable-log.ts'

const NO_OPTIONS: AppendOptions = {}

/** What a log needs of the engine around it. */
export interface LogPorts {
  readonly now: () => number
  /** About now: see `RecentTime`. */
  readonly recently: () => number
  /** Null where nothing is measured. */
  readonly meter: AppendMeter | null
  /** Whether an append may go on at once, for all that memory has to say. */
  readonly hasRoom: (partition: Partition) => boolean
  /** Null when an append may go on at once; else a promise of room. */
  readonly admit: (
    log: LiveLog,
    partition: Partition,
    signal: AbortSignal | undefined,
  ) => Promise<void> | null
  /** Brings what was appended up to now to the object store; shared by all who wait. */
  readonly archiveThrough: (log: LiveLog, partition: Partition, endOffset: number) => Promise<void>
  readonly hasArchive: boolean
  readonly latest: LatestViews
  readonly listSnapshots: () => Promise<readonly SnapshotDescription[]>
  readonly heldOf: HeldOf
  readonly assertOpen: () => void
  /** @throws StratalogError `writer_fenced`. */
  readonly assertWriter: () => void
  /** Null when the engine takes appends; else why not. */
  readonly readOnly: boolean
  /** The log as it grows in a directory that another process writes; null where appends come to this engine. */
  readonly follow: ((log: LiveLog) => ReadableLog) | null
}

/** A handle on one log of a running engine. Cheap; any number of them may exist. */
export class Log {
  readonly #log: LiveLog
  readonly #ports: LogPorts

  constructor(log: LiveLog, ports: LogPorts) {
    this.#log = log
    this.#ports = ports
  }

  get name(): string {
    return this.#log.name
  }

  /** Of this log, and never another's of the engine, whatever its name. */
  get id(): number {
    return this.#log.id
  }

  describe(): LogDescription {
    const { definition, schema, partitions } = this.#log
    return describeLog(definition, schema, partitions)
  }

  /**
   * Appends and resolves once the acknowledgement level is reached. All of one append lands in one partition, with
   * consecutive offsets, or nothing of it does.
   *
   * @throws StratalogError `schema_mismatch`, `record_invalid`, `record_too_large`, `append_too_large`, `memory_full`,
   * `disk_budget_full`, `aborted`, `offset_unexpected`, `producer_sequence_gap`, `producer_fenced`,
   * `producer_append_differs`, `producer_append_gone`, `producer_append_old`, `producers_full`, `engine_closed`,
   * `log_deleted`, and `disk_full`, `disk_read_only`, `disk_failed`, `disk_stuck`, `writer_fenced`, or `wal_corrupt`
   * where a damaged WAL has lost records of the log, of which `details.fate` says whether the append was applied:
   * `not_applied` or `unknown`.
   * @example
   * await clicks.append({ user_id: 7, event: 'view' })
   */
  append(records: Appendable, asked: AppendOptions = NO_OPTIONS): Promise<AppendResult> {
    try {
      this.#assertAppendable()
      if (asked === NO_OPTIONS) {
        const quick = this.#appendQuickly(records)
        if (quick !== null) return quick
      }
      const options = asked === NO_OPTIONS ? asked : checkedAppendOptions(asked)
      // What the policy allows is to be asked of the one that the append will meet.
      const { altering } = this.#log
      if (altering !== null) return altering.then(() => this.append(records, options))
      const given = withTimes(toInput(records), this.#log.definition.timeColumn)
      const input = options.adopt === true ? adopted(given) : given
      const { producer } = options
      const partition = this.#choosePartition(input, options)
      const ack = options.ack === undefined ? this.#log.policy.ack : this.#ackLevel(options.ack)
      this.#assertReachable(ack)
      const isThere =
        producer !== undefined && isApplied(partition, input, producer, this.#ports.now())
      // What is refused makes no room for itself.
      if (!isThere) assertExpected(this.#log.definition, partition, options.expectedOffset)
      const admitted = isThere ? null : this.#ports.admit(this.#log, partition, options.signal)
      const { meter } = this.#ports
      const measured = meter === null ? null : meter.begin(ack, partition)
      const appended =
        admitted !== null || ack === 'object'
          ? this.#appendSlowly(input, partition, ack, options, admitted)
          : this.#appendAtOnce(input, partition, ack, options)
      return meter === null ? appended : meter.append(appended, ack, measured)
    } catch (error) {
      return rejected(error)
    }
  }

  /**
   * The partition that records of a key go to when their append names none: a producer counts its appends to each
   * partition by itself. @throws StratalogError `argument_invalid` for a log without a key.
   */
  partitionOf(key: unknown): number {
    const { keyColumn, partitions } = this.#log.definition
    if (keyColumn === null) {
      throw new StratalogError('argument_invalid', `Log '${this.name}' has no key column.`)
    }
    return partitions === 1 ? 0 : partitionOfKey(keyText(key) ?? '', partitions)
  }

  /** The offsets that can be read now: from the first that is kept to the next that is given. */
  range(options: HotOptions = NOTHING_ASKED): Range {
    this.#assertOpen()
    const { startOffset, readableEnd } = this.#log.partition(partitionAsked(options, 'range'))
    return { start: startOffset, end: readableEnd }
  }

  /** Resolves when the record at `offset` can be read, when the signal fires, and when the log or the engine ends. */
  arrival(offset: number, signal: AbortSignal, options: HotOptions = NOTHING_ASKED): Promise<void> {
    this.#assertOpen()
    assertSignal(signal)
    return this.#log.partition(partitionAsked(options, 'arrival')).waitFor(offset, signal)
  }

  /** The epoch and the newest sequence that are remembered of a producer; null for one that is not. */
  producer(producerId: string, options: HotOptions = NOTHING_ASKED): Producer | null {
    this.#assertOpen()
    return this.#log.partition(partitionAsked(options, 'producer')).producers.newest(producerId)
  }

  /** Reads records in offset order across every tier. See ReadOptions. */
  read(options: ReadOptions = {}): RecordStream {
    this.#assertOpen()
    assertReadOptions(options)
    if (options.asOf !== undefined) return this.#readAsOf(options.asOf, options)
    const { follow } = this.#ports
    const log =
      options.live === true && follow !== null
        ? follow(this.#log)
        : readableLog(this.#log, () => this.#assertOpen())
    return new RecordStream(log, options)
  }

  #readAsOf(asOf: AsOf, options: ReadOptions): RecordStream {
    const log = readableLog(this.#log, () => this.#assertOpen())
    return new RecordStream(log, options, async () => {
      const { readableAsOf } = await import('./as-of.ts')
      return readableAsOf(log, await this.#asOf(asOf, options.signal))
    })
  }

  /**
   * The record at one offset, or null when no such offset is readable. @throws StratalogError `offset_gap`,
   * `partition_not_found`, `argument_invalid`, `corrupt` kinds.
   */
  get(offset: number, options: GetOptions = NOTHING_ASKED): Promise<RecordRow | null> {
    try {
      this.#assertOpen()
      const partition = this.#log.partition(partitionOfGet(options))
      const row = readHotRow(this.#log, partition, offset, options.columns ?? null)
      return row === undefined ? this.#getBelow(offset, partition, options) : Promise.resolve(row)
    } catch (error) {
      return rejected(error)
    }
  }

  /**
   * The record at one offset, or its value in one column, at once: undefined when it does not lie in RAM, and null for
   * a value that is null. Use it where records are known to be hot, as those of a log in mode `memory` are.
   *
   * @throws StratalogError `partition_not_found`, `argument_invalid` for a column that there is not, `engine_closed`.
   * @example
   * const price = trades.getHot(offset, 'price')
   */
  getHot(offset: number, column?: undefined, options?: HotOptions): RecordRow | undefined
  getHot(offset: number, column: string, options?: HotOptions): unknown
  getHot(offset: number, column?: string, options: HotOptions = NOTHING_ASKED): unknown {
    this.#assertOpen()
    const partition = this.#log.partition(partitionAsked(options, 'getHot'))
    return column === undefined
      ? readHotRow(this.#log, partition, offset, null)
      : readHotValue(this.#log, partition, offset, column)
  }

  /**
   * The newest record of each key, over every tier, partition by partition in offset order; see docs/api.md. A record
   * whose `_deleted` is true takes its key away.
   *
   * @throws StratalogError `argument_invalid` for a log without a key column, `snapshot_not_found`, `query_limit` for
   * more keys than are held in RAM, and what reading throws.
   * @example
   * for await (const user of users.latest().rows()) console.log(user)
   */
  latest(options: LatestReadOptions = {}): BatchStream {
    this.#assertKeyed()
    return latestStream(this.#latestSource, options)
  }

  /** The newest record of one key; null where there is none. @throws as `latest`. */
  async getLatest(key: unknown, options: LatestOptions = {}): Promise<RecordRow | null> {
    this.#assertKeyed()
    return latestRecord(this.#latestSource, this.partitionOf(key), key, options)
  }

  /**
   * The hash of the latest view: equal wherever the same records are the newest of their keys, and however they came
   * there. See docs/formats.md. @throws as `latest`.
   */
  async latestHash(moment: LatestMoment = {}): Promise<string> {
    this.#assertKeyed()
    return latestHash(this.#latestSource, moment)
  }

  /** @throws StratalogError `argument_invalid`, `engine_closed`, `log_deleted`. */
  #assertKeyed(): void {
    this.#assertOpen()
    assertKeyed(this.#log.definition)
  }

  get #latestSource(): LatestSource {
    const { latest } = this.#ports
    const log = this.#log
    return {
      latest,
      pin: async ({ asOf, signal }) => {
        this.#assertOpen()
        if (asOf === undefined) return log.view()
        const found = await this.#asOf(asOf, signal)
        const { viewAsOf } = await import('./as-of.ts')
        this.#assertOpen()
        return viewAsOf(found, log.view(found.ranges))
      },
    }
  }

  async #asOf(asOf: AsOf, signal: AbortSignal | undefined): Promise<LogAsOf> {
    const { liveLogAsOf } = await import('./as-of.ts')
    const moments = { ...this.#ports, assertOpen: () => this.#assertOpen() }
    return liveLogAsOf(this.#log, asOf, moments, signal)
  }

  async #getBelow(
    offset: number,
    { partition, startOffset, readableEnd }: Partition,
    { columns }: GetOptions,
  ): Promise<RecordRow | null> {
    if (!Number.isSafeInteger(offset)) {
      throw new StratalogError(
        'argument_invalid',
        `offset is a whole number; got ${typeof offset === 'bigint' ? `the bigint ${String(offset)}` : String(offset)}.`,
      )
    }
    if (offset < startOffset || offset >= readableEnd) return null
    const range = { partition, from: offset, to: offset + 1 }
    const [row] = await this.read(columns === undefined ? range : { ...range, columns }).toArray()
    return row ?? null
  }

  /** Appends one record where nothing has to be chosen, waited for or written; null: it is to be looked at. */
  #appendQuickly(records: Appendable): Promise<AppendResult> | null {
    const log = this.#log
    const { policy, partitions } = log
    const partition = partitions[0]
    const record: unknown = Array.isArray(records) && records.length === 1 ? records[0] : records
    if (partition === undefined || partitions.length > 1 || !isOneRecord(record)) return null
    if (policy.ttl !== null || policy.priority !== 0) return null
    if (policy.ack === 'object' || !this.#ports.hasRoom(partition)) return null
    // A time that the engine gives to a record is exact.
    const isStamped = log.definition.timeColumn === null
    const time = isStamped ? this.#ports.now() : this.#ports.recently()
    const { meter } = this.#ports
    if (meter === null) return log.appendRow(partition, record, policy.ack, time)
    const measured = meter.begin(policy.ack, partition)
    const appended = log.appendRow(partition, record, policy.ack, time)
    return appended === null ? null : meter.row(appended, policy.ack, measured)
  }

  #choosePartition(
    input: AppendInput,
    { partition: asked, producer, expectedOffset }: AppendOptions,
  ): Partition {
    if (asked !== undefined) return this.#log.partition(asked)
    const { keyColumn } = this.#log.definition
    const { length } = this.#log.partitions
    if (length === 1) return this.#log.nextPartition()
    if (keyColumn === null) {
      // A retry has to come to where the append went.
      if (producer !== undefined)
        return this.#log.partition(partitionOfKey(producer.producerId, length))
      if (expectedOffset !== undefined) throw partitionNeeded(this.name, length)
      return this.#log.nextPartition()
    }
    const keys = new Set(
      keysOf(input, keyColumn).map((key) => partitionOfKey(key, this.#log.partitions.length)),
    )
    const [first] = keys
    if (keys.size === 1 && first !== undefined) return this.#log.partition(first)
    throw new StratalogError(
      'argument_invalid',
      `The keys of this append belong to ${keys.size} partitions of '${this.name}', and an append lands in one. Append the records of each key apart.`,
      { details: { log: this.name, partitions: [...keys] } },
    )
  }

  #appendAtOnce(
    input: AppendInput,
    partition: Partition,
    ack: AckLevel,
    options: AppendOptions,
  ): Promise<AppendResult> {
    const terms = this.#terms(partition, options)
    return this.#log.append(partition, input, ack, this.#ports.now(), terms)
  }

  /** Waits for memory before the append, and for the archive after it. */
  async #appendSlowly(
    input: AppendInput,
    partition: Partition,
    ack: AckLevel,
    options: AppendOptions,
    admitted: Promise<void> | null,
  ): Promise<AppendResult> {
    if (admitted !== null) {
      await admitted
      // The engine may have closed meanwhile.
      this.#assertOpen()
    }
    const now = this.#ports.now()
    const level = ack === 'object' ? this.#levelBelowObject() : ack
    const terms = this.#terms(partition, options)
    // While it waited for room the policy may have changed to one without the level.
    assertStillFits(this.#log.definition, ack, terms ?? DEFAULT_TERMS)
    const result = await this.#log.append(partition, input, level, now, terms)
    if (ack === 'object')
      await this.#ports.archiveThrough(this.#log, partition, result.offset + result.count)
    return result
  }

  /** @throws StratalogError `engine_closed`, `log_deleted`. */
  #assertOpen(): void {
    this.#ports.assertOpen()
    const { closed } = this.#log
    if (closed !== null) throw closed
  }

  #assertAppendable(): void {
    this.#assertOpen()
    this.#ports.assertWriter()
    const { refusal } = this.#log
    if (refusal !== null) throw refusal
    if (!this.#ports.readOnly) return
    throw new StratalogError(
      'argument_invalid',
      'This engine was opened read-only; open it for writing to append.',
    )
  }

  /** Undefined when nothing but the defaults is asked for. */
  #terms(
    partition: Partition,
    { ttl, priority, signal, producer, expectedOffset }: AppendOptions,
  ): AppendTerms | undefined {
    const { policy } = this.#log
    const isPlain = ttl === undefined && priority === undefined && signal === undefined
    if (isPlain && producer === undefined && expectedOffset === undefined) {
      if (policy.ttl === null && policy.priority === 0) return undefined
    }
    const ttlMs = ttl === undefined ? policy.ttl : this.#ttl(ttl)
    return {
      expiresAt: ttlMs === null ? Infinity : partition.expiryTime + ttlMs,
      priority: priority === undefined ? policy.priority : this.#priority(priority),
      producer,
      expectedOffset,
      signal,
    }
  }

  #ttl(ttl: Duration): number {
    this.#assertInMemory('ttl', 'RAM copies go by memoryTtl there')
    const ms = parseDuration(ttl, 'ttl')
    if (ms > 0) return ms
    throw new StratalogError('argument_invalid', `ttl is longer than 0; got ${String(ttl)}.`)
  }

  #priority(priority: number): number {
    this.#assertInMemory('priority', 'nothing is evicted from its only copy there')
    if (Number.isInteger(priority) && priority >= PRIORITY_MIN && priority <= PRIORITY_MAX)
      return priority
    throw new StratalogError(
      'argument_invalid',
      `priority is a whole number from ${PRIORITY_MIN} to ${PRIORITY_MAX}; got ${String(priority)}.`,
    )
  }

  #assertInMemory(option: string, reason: string): void {
    const { mode } = this.#log.policy
    if (mode === 'memory') return
    throw new StratalogError(
      'argument_invalid',
      `${option} is for logs of mode 'memory'; '${this.name}' is of mode '${mode}', and ${reason}.`,
      { details: { log: this.name, mode } },
    )
  }

  #ackLevel(asked: AckLevel): AckLevel {
    if (!ACK_LEVELS.includes(asked)) {
      throw new StratalogError(
        'argument_invalid',
        `ack is ${ACK_LEVELS.join(', ')}; got ${asked as string}.`,
      )
    }
    const { mode, wal, archiveAfter } = this.#log.policy
    if (asked === 'disk' && !wal) throw ackInvalid(this.name, asked, 'it has no WAL')
    if (asked === 'object' && archiveAfter === null) {
      const reason = mode === 'hybrid' ? 'it has no archive' : `mode '${mode}' uses no archive`
      throw ackInvalid(this.name, asked, reason)
    }
    return asked
  }

  /** A log may want an archive that the engine was opened without. */
  #assertReachable(ack: AckLevel): void {
    if (ack !== 'object' || this.#ports.hasArchive) return
    throw ackInvalid(this.name, ack, 'the engine was opened without an archive')
  }

  #levelBelowObject(): AckLevel {
    return this.#log.policy.wal ? 'disk' : 'memory'
  }
}

const ACK_LEVELS: readonly AckLevel[] = ['memory', 'disk', 'object']

function ackInvalid(name: string, ack: AckLevel, reason: string): StratalogError {
  return new StratalogError(
    'argument_invalid',
    `Log '${name}' cannot acknowledge at '${ack}': ${reason}.`,
  )
}
