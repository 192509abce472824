import { RecentTime } from '../base/clock.ts'
import { StratalogError } from '../base/errors.ts'
import type { Duration } from '../base/units.ts'
import type { AppendResult } from '../log/live-log.ts'
import type { LogView } from '../log/log-view.ts'
import type { QueryParameters } from '../base/query-parameters.ts'
import type { QueryResult } from '../query/query-result.ts'
import { WindowStream } from '../query/stream/window-stream.ts'
import type { ReplayReport } from '../replay/report.ts'
import { ARCHIVE_KEYS, type BelowMemoryKey, DISK_KEYS, PLACE_KEYS } from './below-memory-keys.ts'
import type { AlterLogOptions } from './alter-log.ts'
import type { RangesAsOf } from './as-of.ts'
import type { AppendOptions } from './append-options.ts'
import { ArchiveReader, type OpenArchiveOptions } from './archive-reader.ts'
import type { RecordRow } from './batch.ts'
import { assertObject, assertSignal } from './check-arguments.ts'
import { configError } from './config-error.ts'
import type { StratalogOptions } from './config.ts'
import { type CreateLogOptions, createLog } from './create-log.ts'
import { type DumpOptions, checkDumpOptions, dumpLines, liveDumpSource } from './dump.ts'
import type { Engine } from './engine.ts'
import type { Appendable } from './appended-records.ts'
import { Log, type LogPorts } from './log.ts'
import { appendMeter } from './append-meter.ts'
import { type MemoryMetrics, memoryMetrics } from './memory-metrics.ts'
import { openEngine } from './open-engine.ts'
import { type SnapshotKeeper, noPlaceForSnapshot } from './snapshot-keeper.ts'
import type { EnginePorts } from './ports.ts'
import { PreparedQuery } from '../base/prepared-query.ts'
import {
  type PrepareOptions,
  type QueryOptions,
  prepareOptions,
  runnerOptions,
} from './query-options.ts'
import {
  type ReplayFromArchiveOptions,
  assertReplayOptions,
} from './replay-from-archive-options.ts'
import { type ConsumeOptions, FirstUse, consumeRecords, produceExpiring } from './shorthands.ts'
import type { SnapshotDescription } from './describe-snapshot.ts'
import type { SnapshotOptions } from './snapshots.ts'
import type { FollowDirectory } from './open-stream.ts'
import type { StreamSqlOptions } from './stream-options.ts'
import { type EngineStatus, engineStatus } from './status.ts'
import { EngineTiers, type TierControl, assertAcknowledging } from './tier-control.ts'
import { type ForkOptions, assertForkOptions } from './fork-options.ts'

/** Types say so too, but a configuration may come from elsewhere. @throws StratalogError `config_invalid` */
function assertInMemory(options: StratalogOptions): void {
  if (typeof options !== 'object' || options === null) return
  const allowed = 'nothing for an engine in RAM only; Stratalog.open takes it'
  const problems = [...PLACE_KEYS, ...DISK_KEYS, ...ARCHIVE_KEYS].flatMap((path) =>
    options[path] === undefined ? [] : [{ path, given: options[path], allowed }],
  )
  if (problems.length > 0) throw configError(problems)
}

/**
 * A running engine: many logs, one WAL, one archive.
 *
 * @example
 * await using db = await Stratalog.memoryOnly()
 * const clicks = await db.createLog('clicks')
 * await clicks.append({ user_id: 7, event: 'view' })
 */
/** What is behind the façade, for other modules of the engine. */
export let engineOf: (db: Stratalog) => Engine

export class Stratalog {
  static {
    engineOf = (db) => db.#engine
  }

  readonly #tiers: EngineTiers
  readonly #engine: Engine
  readonly #logPorts: LogPorts
  readonly #firstUse: FirstUse
  readonly #follow: FollowDirectory | null
  #closing: Promise<void> | null = null

  /** `follow` finds what another process appends to the directory; null for the engine that writes it. */
  private constructor(engine: Engine, follow: FollowDirectory | null = null) {
    this.#engine = engine
    this.#follow = follow
    this.#tiers = new EngineTiers(engine, () => this.#assertWritable())
    const time = new RecentTime(engine.ports.clock)
    this.#logPorts = {
      now: () => time.now(),
      recently: () => time.recent(),
      meter: appendMeter(engine.ports.clock, engine.ports.metrics),
      hasRoom: (partition) => engine.governor.hasRoom(partition.logMemory),
      admit: (log, partition, signal) => engine.governor.admit(log, partition, signal),
      archiveThrough: (log, partition, endOffset) =>
        this.#tiers.archiveThrough(log, partition, endOffset),
      hasArchive: engine.surroundings.hasArchive,
      latest: engine.registry.latest,
      listSnapshots: () => this.snapshots(),
      heldOf: async (log) => engine.snapshots?.held(log) ?? null,
      assertOpen: () => this.#assertOpen(),
      assertWriter: engine.assertWriter,
      readOnly: engine.isReadOnly,
      follow: follow === null ? null : ({ name }) => follow(name, () => this.#assertOpen()),
    }
    this.#firstUse = new FirstUse({
      has: (name) => engine.registry.has(name),
      open: (name) => this.log(name),
      create: (name, options) => this.#createLog(name, options),
    })
  }

  /** Control over tier moves. */
  get tier(): TierControl {
    return this.#tiers
  }

  /** An engine in RAM: nothing to configure, nothing to clean up. */
  static async memoryOnly(
    options: Omit<StratalogOptions, BelowMemoryKey> = {},
    ports: Partial<EnginePorts> = {},
  ): Promise<Stratalog> {
    assertInMemory(options)
    return Stratalog.open(options, ports)
  }

  /**
   * Opens an engine; with a `dataDir` everything acknowledged before is there when the promise resolves.
   * @throws StratalogError `config_invalid`, `directory_in_use`, `directory_foreign`, `format_unsupported`,
   * `archive_foreign`, `archive_diverged`, `wal_corrupt`, `manifest_corrupt`, and what an archive throws.
   */
  static async open(
    options: StratalogOptions,
    ports: Partial<EnginePorts> = {},
  ): Promise<Stratalog> {
    return new Stratalog(await openEngine(options, ports, 'write'))
  }

  /**
   * Opens a data directory for reading, beside the process that writes it: sees what was there when it was opened.
   * Reading with `live` looks again and again, and goes on with what was written since.
   */
  static async openReadOnly(
    options: StratalogOptions,
    ports: Partial<EnginePorts> = {},
  ): Promise<Stratalog> {
    const engine = await openEngine(options, ports, 'read')
    const { LiveDirectory } = await import('./live-directory.ts')
    const { clock } = engine.ports
    const reopen = (): Promise<Engine> => openEngine(options, engine.ports, 'read')
    return new Stratalog(
      engine,
      (name, assertOpen) => new LiveDirectory({ name, clock, first: engine, reopen, assertOpen }),
    )
  }

  /**
   * Opens an archive for reading, from the bucket alone. @throws StratalogError `archive_not_found`,
   * `manifest_corrupt`.
   */
  static openArchive(
    url: string,
    options: OpenArchiveOptions = {},
    ports: Partial<EnginePorts> = {},
  ): Promise<ArchiveReader> {
    return ArchiveReader.open(url, options, ports)
  }

  /** Creates a log. @throws StratalogError `log_exists`, `log_name_invalid`, `schema_invalid`, `config_invalid`. */
  createLog(name: string, options: CreateLogOptions = {}): Promise<Log> {
    return this.#firstUse.create(name, options)
  }

  /**
   * Changes the policy of a log while it is in use. Resolves when the change is durable and appends go by it; what is
   * there already is brought to the new promise in the background, and `status()` says how far.
   * @throws StratalogError `log_not_found`, `config_invalid`, `argument_invalid` for records with a time to live that
   * the new mode would not keep to, and what the disk throws.
   * @example
   * await db.alterLog('sessions', { storage: { mode: 'persistent' } })
   */
  async alterLog(name: string, options: AlterLogOptions): Promise<Log> {
    this.#assertWritable()
    const log = this.#engine.registry.get(name)
    const { alterLog } = await import('./alter-log.ts')
    await alterLog(this.#engine, log, options)
    return new Log(log, this.#logPorts)
  }

  /**
   * Deletes a log with all its records. When it resolves that is durable, the archive is told, and the name is free:
   * another log may have it, and begins at offset 0. Forks and snapshots of it stay as they are. Appends, reads and
   * live tails of it that are under way end with `log_deleted`, and so does what is asked of a handle later.
   * @throws StratalogError `log_not_found`; `log_deleted` where another call deletes it; `store_unavailable`, after
   * which the log is as it was, unless `details.isDeleted` says that only the archive does not know yet; what the disk
   * throws.
   * @example
   * await db.deleteLog('sessions')
   */
  async deleteLog(name: string): Promise<void> {
    this.#assertWritable()
    await this.#engine.deleteLog(this.#engine.registry.get(name))
  }

  /**
   * Makes a log that shares all data of another up to an offset, a moment or a snapshot, and is independent of it from
   * there on. Nothing is copied but the one segment of a partition that is cut; both keep what they need of the rest.
   * @throws StratalogError `log_not_found`, `log_exists`, `snapshot_not_found`, `argument_invalid`
   * for an offset that the log does not have, `offset_gap` where a snapshot holds what cannot be shared; what the disk
   * throws.
   * @example
   * const before = await db.fork('orders', 'orders-before', { at: '2026-01-31T14:05:00Z' })
   */
  async fork(log: string, as: string, options: ForkOptions = {}): Promise<Log> {
    this.#assertWritable()
    assertForkOptions(options)
    const { lowerTiers } = this.#engine
    const forked =
      lowerTiers === null
        ? (await import('./fork-memory.ts')).forkInRam(this.#engine, log, as, options)
        : lowerTiers.fork(this.#engine, log, as, options)
    return new Log(await forked, this.#logPorts)
  }

  /** A log that exists. @throws StratalogError `log_not_found`. */
  log(name: string): Log {
    this.#assertOpen()
    return new Log(this.#engine.registry.get(name), this.#logPorts)
  }

  /** Every log, in the order of creation. */
  logs(): readonly Log[] {
    this.#assertOpen()
    return [...this.#engine.registry.all()].map((log) => new Log(log, this.#logPorts))
  }

  /**
   * Appends to a log by name; on its first use the log is created with the engine's defaults.
   * @throws StratalogError what `createLog` and `Log.append` throw.
   * @example
   * await db.produce('events', { user_id: 7, event: 'view' })
   */
  async produce(
    name: string,
    records: Appendable,
    options: AppendOptions = {},
  ): Promise<AppendResult> {
    this.#assertOpen()
    return (await this.#firstUse.openOrCreate(name, {})).append(records, options)
  }

  /**
   * Appends to a log of mode `memory`, which is created so on its first use; the records are gone `ttl` after it.
   * @throws StratalogError `argument_invalid` on a log of another mode, and what `produce` throws.
   * @example
   * await db.produceWithTtl('sessions', { user_id: 7 }, '30m')
   */
  async produceWithTtl(name: string, records: Appendable, ttl: Duration): Promise<AppendResult> {
    this.#assertOpen()
    return produceExpiring(this.#firstUse, name, records, ttl)
  }

  /**
   * Up to `limit` records from offset `from` on, as objects with `_offset`, `_partition` and `_time`. The next call
   * goes on at the last `_offset` and one.
   * @throws StratalogError `log_not_found` (reading creates nothing), `offset_gap`, and what reading throws.
   * @example
   * const records = await db.consume('events', 0, 100)
   */
  async consume(
    name: string,
    from: number,
    limit: number,
    options: ConsumeOptions = {},
  ): Promise<RecordRow[]> {
    return consumeRecords(this.log(name), from, limit, options)
  }

  /**
   * Runs one SQL statement over all tiers; each log is a table of its name. See docs/sql.md.
   * @throws StratalogError `query_invalid`, `query_forbidden`, `query_limit`, `log_not_found`, `timeout`, `aborted`.
   * @example
   * const result = await db.query('SELECT event, count(*) AS n FROM clicks GROUP BY event')
   * console.log(await result.toArray())
   */
  async query(
    sql: string,
    parameters: QueryParameters = [],
    options: QueryOptions = {},
  ): Promise<QueryResult> {
    this.#assertOpen()
    const running = runnerOptions(sql, parameters, options)
    const { asOf, signal } = options
    const { registry, queries } = this.#engine
    const listSnapshots = (): Promise<readonly SnapshotDescription[]> => this.snapshots()
    if (asOf === undefined)
      return queries.query(sql, parameters, { ...running, snapshots: listSnapshots })
    const { stateAsOf } = await import('./query-as-of.ts')
    const viewOf = (name: string, ranges?: RangesAsOf): LogView => registry.get(name).view(ranges)
    const { heldOf } = this.#logPorts
    const logs = { ...registry.queried, viewOf, listSnapshots, heldOf }
    const state = await stateAsOf(sql, asOf, logs, signal)
    return queries.query(sql, parameters, { ...running, ...state })
  }

  /**
   * Checks a statement, its tables and columns now, and runs it later, as often as it is asked to.
   * @throws StratalogError as `query`.
   * @example
   * const ofUser = await db.prepare('SELECT count(*) AS n FROM clicks WHERE user_id = $1')
   * console.log(await (await ofUser.query([7])).toArray())
   */
  async prepare(
    sql: string,
    options: PrepareOptions = {},
  ): Promise<PreparedQuery<QueryResult, QueryOptions>> {
    this.#assertOpen()
    const limits = prepareOptions(sql, options)
    const listSnapshots = (): Promise<readonly SnapshotDescription[]> => this.snapshots()
    const checked = await this.#engine.queries.check(sql, { ...limits, snapshots: listSnapshots })
    return new PreparedQuery(sql, checked, (...query) => this.query(...query))
  }

  /**
   * Follows a log and gives the rows of its windows as they close: SQL with `TUMBLE`, `HOP` or `SESSION` over event
   * time in its GROUP BY. It begins with the first row that is asked for. See docs/streaming.md.
   * @throws StratalogError from the iteration: `query_invalid`, `query_not_streamable`, `log_not_found`,
   * `argument_invalid`, `query_limit`, `offset_gap`, `offset_not_found`, `engine_closed`.
   * @example
   * const sql = 'SELECT event, count(*) AS n FROM clicks GROUP BY event, TUMBLE(_time, INTERVAL 1 MINUTE)'
   * for await (const row of db.streamSql(sql, { lateness: '5s' })) console.log(row)
   */
  streamSql(sql: string, options: StreamSqlOptions = {}): WindowStream {
    this.#assertOpen()
    assertObject(options, 'The options of streamSql are an object')
    if (options.signal !== undefined) assertSignal(options.signal)
    const assertOpen = (): void => this.#assertOpen()
    const source = { engine: this.#engine, assertOpen, follow: this.#follow }
    return new WindowStream(async (signal) => {
      const { openStream } = await import('./open-stream.ts')
      return openStream(source, sql, options, signal)
    }, options.signal)
  }

  /**
   * Pins every log at this instant, under a name, in the archive or at the `snapshotLocation`: whatever is not there
   * yet is uploaded, and nothing twice.
   * @throws StratalogError `argument_invalid` where there is neither, `snapshot_exists`, `store_unavailable`.
   */
  async snapshot(options: SnapshotOptions = {}): Promise<SnapshotDescription> {
    this.#assertWritable()
    return this.#snapshots().create(options)
  }

  /**
   * Deletes a snapshot by name or id. What only it held is collected afterwards.
   * @throws StratalogError `snapshot_not_found`, `argument_invalid` where snapshots have no place, `store_unavailable`.
   */
  async deleteSnapshot(nameOrId: string): Promise<SnapshotDescription> {
    this.#assertWritable()
    return this.#snapshots().delete(nameOrId)
  }

  /** The snapshots in the archive or at the `snapshotLocation`, oldest first. */
  async snapshots(): Promise<readonly SnapshotDescription[]> {
    this.#assertOpen()
    return this.#engine.snapshots?.list() ?? []
  }

  /**
   * Streams an archive's history into this engine, or into a function: offsets and times stay as they were.
   * @throws StratalogError `archive_not_found`, `log_not_found`, `log_exists`, `argument_invalid`, `aborted`; damage
   * does not throw, it is in the report.
   */
  async replayFromArchive(
    url: string,
    options: ReplayFromArchiveOptions = {},
  ): Promise<ReplayReport> {
    this.#assertOpen()
    assertReplayOptions(options)
    if (options.into === undefined) this.#assertWritable()
    const { replayFromArchive } = await import('./replay-archive.ts')
    return replayFromArchive(this.#engine, url, options)
  }

  /** Every log, partition and tier: bytes, records, offsets, lag, last error. */
  status(): EngineStatus {
    this.#assertOpen()
    return engineStatus(this.#engine)
  }

  /**
   * What the memory tier holds, against its budget, and what it let go of; the same figures go to the metrics port.
   * @example
   * const { usedBytes, maxBytes, evictionCount } = db.memoryMetrics()
   */
  memoryMetrics(): MemoryMetrics {
    this.#assertOpen()
    this.#logPorts.meter?.publish()
    return memoryMetrics(this.#engine)
  }

  /**
   * The state of every log, or of some, as JSON Lines: texts of one line each, with its line feed. It is as of the
   * call; reading it takes memory for one batch. See docs/api.md for the lines.
   * @throws StratalogError `log_not_found`; on the way `aborted`, and what reading throws.
   * @example
   * await writeFile('state.ndjson', db.dump())
   */
  dump(options: DumpOptions = {}): AsyncIterable<string> {
    this.#assertOpen()
    const { logs, signal } = checkDumpOptions(options)
    const { registry, ports } = this.#engine
    const chosen =
      logs === undefined ? registry.all() : new Set(logs.map((name) => registry.get(name)))
    const source = liveDumpSource(chosen, ports.clock.now(), (log) => new Log(log, this.#logPorts))
    return dumpLines(source, signal)
  }

  /** Makes everything durable at its log's level and lets go of files, locks and threads. Safe to call again. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    await this.#engine.close()
    this.#logPorts.meter?.publish()
  }

  async #createLog(name: string, options: CreateLogOptions): Promise<Log> {
    this.#assertWritable()
    assertAcknowledging(this.#engine)
    return new Log(await createLog(this.#engine, name, options), this.#logPorts)
  }

  #snapshots(): SnapshotKeeper {
    const { snapshots } = this.#engine
    if (snapshots === null) throw noPlaceForSnapshot()
    return snapshots
  }

  #assertOpen(): void {
    if (this.#closing !== null) throw new StratalogError('engine_closed', 'The engine is closed.')
  }

  #assertWritable(): void {
    this.#assertOpen()
    if (this.#engine.isReadOnly) {
      throw new StratalogError(
        'argument_invalid',
        'This engine was opened read-only; open it for writing.',
      )
    }
    this.#engine.assertWriter()
  }
}
