import { StratalogError } from '../base/errors.ts'
import type { AckLevel } from '../format/manifest.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import type { TierReport, TierTarget } from '../tiering/scheduler.ts'
import type { TierMove } from '../tiering/context.ts'
import type { QueryParameters } from '../query/protocol.ts'
import type { QueryResult } from '../query/query-result.ts'
import type { ReplayReport } from '../replay/report.ts'
import { ArchiveReader, type OpenArchiveOptions } from './archive-reader.ts'
import type { StratalogOptions } from './config.ts'
import { type CreateLogOptions, createLog } from './create-log.ts'
import type { Engine } from './engine.ts'
import { LiveDirectory } from './live-directory.ts'
import { Log, type LogPorts } from './log.ts'
import { openEngine } from './open-engine.ts'
import type { EnginePorts } from './ports.ts'
import { type QueryOptions, runnerOptions } from './query-options.ts'
import { type ReplayFromArchiveOptions, replayFromArchive } from './replay-archive.ts'
import {
  type SnapshotDescription,
  type SnapshotOptions,
  createSnapshot,
  listSnapshots,
} from './snapshots.ts'
import { type EngineStatus, engineStatus } from './status.ts'

/** Appends that wait for the object store share one upload within this time. */
const OBJECT_ACK_DELAY_MS = 250

/** Control over tier moves. */
export interface TierControl {
  /**
   * Brings all that was appended before the call to `to` (default `object` with an archive, else `disk`), whatever its
   * age.
   */
  now(options?: {
    readonly logs?: readonly string[]
    readonly to?: TierTarget
  }): Promise<TierReport>
  /** One round of the scheduler: what is due by its age moves. */
  run(): Promise<readonly TierMove[]>
  /** Stops the scheduler's own rounds until `resume`. */
  pause(): void
  resume(): void
}

/**
 * A running engine: many logs, one WAL, one archive.
 *
 * @example
 * await using db = await Stratalog.memoryOnly()
 * const clicks = await db.createLog('clicks')
 * await clicks.append({ user_id: 7, event: 'view' })
 */
export class Stratalog {
  readonly tier: TierControl
  readonly #engine: Engine
  readonly #logPorts: LogPorts
  readonly #objectWaits = new Map<LiveLog, Promise<TierReport>>()
  #closing: Promise<void> | null = null

  /** `reopen` opens the directory for reading anew; null for the engine that writes it. */
  private constructor(engine: Engine, reopen: (() => Promise<Engine>) | null = null) {
    this.#engine = engine
    this.#logPorts = {
      now: () => engine.ports.clock.now(),
      admit: (log) => engine.governor.admit(log),
      archiveThrough: (log, partition, endOffset) =>
        this.#archiveThrough(log, partition, endOffset),
      assertOpen: () => this.#assertOpen(),
      readOnly: engine.isReadOnly,
      follow:
        reopen === null
          ? null
          : ({ name }) =>
              new LiveDirectory({
                name,
                clock: engine.ports.clock,
                first: engine,
                reopen,
                assertOpen: () => this.#assertOpen(),
              }),
    }
    this.tier = {
      now: (options = {}) => this.#tierNow(options),
      run: async () => {
        this.#assertWritable()
        return engine.scheduler.run()
      },
      pause: () => engine.scheduler.pause(),
      resume: () => engine.scheduler.resume(),
    }
  }

  /** An engine in RAM: nothing to configure, nothing to clean up. */
  static memoryOnly(
    options: Omit<StratalogOptions, 'dataDir' | 'archive' | 's3'> = {},
    ports: Partial<EnginePorts> = {},
  ): Promise<Stratalog> {
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
    return new Stratalog(engine, () => openEngine(options, engine.ports, 'read'))
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
  async createLog(name: string, options: CreateLogOptions = {}): Promise<Log> {
    this.#assertWritable()
    return new Log(await createLog(this.#engine, name, options), this.#logPorts)
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
    return this.#engine.queries.query(sql, parameters, runnerOptions(options))
  }

  /**
   * Pins every log at this instant, under a name, in the archive: whatever is not there yet is uploaded, and nothing
   * twice.
   * @throws StratalogError `argument_invalid` without an archive, `snapshot_exists`, `store_unavailable`.
   */
  async snapshot(options: SnapshotOptions = {}): Promise<SnapshotDescription> {
    this.#assertWritable()
    return createSnapshot(this.#engine, options)
  }

  /** The snapshots in the archive, oldest first. */
  async snapshots(): Promise<readonly SnapshotDescription[]> {
    this.#assertOpen()
    return listSnapshots(this.#engine)
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
    if (options.into === undefined) this.#assertWritable()
    return replayFromArchive(this.#engine, url, options)
  }

  /** Every log, partition and tier: bytes, records, offsets, lag, last error. */
  status(): EngineStatus {
    this.#assertOpen()
    return engineStatus(this.#engine)
  }

  /** Makes everything durable at its log's level and lets go of files, locks and threads. Safe to call again. */
  close(): Promise<void> {
    this.#closing ??= this.#engine.close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #tierNow(options: {
    readonly logs?: readonly string[]
    readonly to?: TierTarget
  }): Promise<TierReport> {
    this.#assertWritable()
    const { registry, surroundings, scheduler } = this.#engine
    if (!surroundings.hasDataDir) {
      throw new StratalogError(
        'argument_invalid',
        'An engine in RAM has no lower tier. Open it with a dataDir.',
      )
    }
    const to = options.to ?? (surroundings.hasArchive ? 'object' : 'disk')
    if (to === 'object' && !surroundings.hasArchive) {
      throw new StratalogError(
        'argument_invalid',
        'There is no archive to move to. Open the engine with one.',
      )
    }
    const logs =
      options.logs === undefined
        ? [...registry.all()]
        : options.logs.map((name) => registry.get(name))
    return scheduler.now(logs, to)
  }

  /** `ack: 'object'`: one upload for all who ask within the delay. */
  async #archiveThrough(log: LiveLog, partition: Partition, endOffset: number): Promise<void> {
    while (partition.archivedEnd < endOffset) {
      const upload = this.#objectWaits.get(log) ?? this.#startObjectUpload(log)
      const report = await upload
      const failed = report.failed.find((entry) => entry.partition === partition.partition)
      if (failed !== undefined && partition.archivedEnd < endOffset) {
        throw new StratalogError(
          'store_unavailable',
          `The append is ${describeLevel(log.policy.wal ? 'disk' : 'memory')}, but not in the archive yet: ${failed.message}`,
          { details: { log: log.name, partition: partition.partition, offset: endOffset } },
        )
      }
    }
  }

  #startObjectUpload(log: LiveLog): Promise<TierReport> {
    const { clock } = this.#engine.ports
    const upload = clock.sleep(OBJECT_ACK_DELAY_MS).then(() => {
      // Whoever comes from here on is not covered by this upload and starts the next.
      this.#objectWaits.delete(log)
      return this.#engine.scheduler.now([log], 'object')
    })
    this.#objectWaits.set(log, upload)
    return upload
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
  }
}

function describeLevel(ack: AckLevel): string {
  return ack === 'disk' ? 'durable on disk' : 'in memory'
}
