import { parseLogName } from '../base/log-name.ts'
import type { LogState } from '../format/manifest.ts'
import { SegmentEntries } from '../format/segment-entries.ts'
import type { Archive, PartitionBounds } from '../log/archive-view.ts'
import { LatestViews, assertKeyed } from '../log/latest-views.ts'
import type { LogView } from '../log/log-view.ts'
import { newestStart } from '../log/newest-start.ts'
import type { QueryParameters } from '../base/query-parameters.ts'
import type { QueryResult } from '../query/query-result.ts'
import type { RecordRow } from './batch.ts'
import type { SnapshotDiff } from '../snapshot/compare.ts'
import { type SnapshotDescription, describeSnapshot } from './describe-snapshot.ts'
import type { AsOf, RangesAsOf } from './as-of.ts'
import type { BatchStream } from './batch-stream.ts'
import type { ColdParts } from './cold-parts.ts'
import { OBJECT, assertOptions } from './check-arguments.ts'
import type { S3Options } from './config.ts'
import { type DumpOptions, archiveDumpSource, checkDumpOptions, dumpLines } from './dump.ts'
import { type HotOptions, partitionAsked } from './hot-options.ts'
import {
  type LatestMoment,
  type LatestReadOptions,
  type LatestSource,
  latestHash,
  latestStream,
} from './latest-log.ts'
import { loadQueries } from './load-queries.ts'
import { type LogDescription, describeLog } from './log-description.ts'
import { archivedLogFacts } from './log-facts.ts'
import { type EnginePorts, resolvePorts } from './ports.ts'
import { Queries } from './queries.ts'
import { PreparedQuery } from '../base/prepared-query.ts'
import {
  type PrepareOptions,
  type QueryOptions,
  prepareOptions,
  runnerOptions,
} from './query-options.ts'
import { type ReadOptions, assertReadOptions } from './read-options.ts'
import { type ReadableLog, RecordStream } from './record-stream.ts'
import { type EngineStatus, archiveStatus } from './status.ts'

export interface OpenArchiveOptions {
  readonly s3?: S3Options
}

/**
 * An archive, read from the bucket alone: as it was when it was opened, while an engine may go on writing it.
 *
 * @example
 * await using archive = await Stratalog.openArchive('file:///backups/shop')
 * for await (const order of archive.log('orders').read().rows()) console.log(order)
 */
export class ArchiveReader {
  readonly #archive: Archive
  readonly #parts: ColdParts
  readonly #queries: Queries
  readonly #ports: EnginePorts
  readonly #latest: LatestViews

  private constructor(archive: Archive, parts: ColdParts, ports: EnginePorts) {
    this.#archive = archive
    this.#parts = parts
    this.#ports = ports
    this.#latest = new LatestViews(ports)
    this.#queries = new Queries(() => {
      const viewOf = (name: string) => archive.view(archive.log(parseLogName(name)))
      const hasLog = (name: string) => archive.logs.some((log) => log.definition.name === name)
      const latest = this.#latest
      const logFacts = () => archivedLogFacts(archive)
      return loadQueries(
        { viewOf, hasLog, logFacts, latest, store: archive.store, dataDir: null },
        ports,
      )
    })
  }

  /** @throws StratalogError `archive_not_found`, `url_invalid`, `manifest_corrupt`, and what the store throws. */
  static async open(
    url: string,
    options: OpenArchiveOptions = {},
    givenPorts: Partial<EnginePorts> = {},
  ): Promise<ArchiveReader> {
    assertOptions(options, { s3: OBJECT }, 'openArchive')
    const ports = resolvePorts({}, givenPorts)
    const { connectArchiveParts } = await import('./archive-store.ts')
    const { archive, parts } = await connectArchiveParts(url, options.s3, ports)
    const { expireArchived } = await import('./load-terms.ts')
    await expireArchived(archive, () => ports.clock.now())
    return new ArchiveReader(archive, parts, ports)
  }

  get url(): string {
    return this.#archive.url
  }

  /** @throws StratalogError `log_not_found`. */
  log(name: string): ArchiveLog {
    return new ArchiveLog(this.#archive, this.#archive.log(parseLogName(name)), this.#latest)
  }

  logs(): readonly ArchiveLog[] {
    return this.#archive.logs.map((state) => new ArchiveLog(this.#archive, state, this.#latest))
  }

  /** Oldest first. */
  snapshots(): readonly SnapshotDescription[] {
    return this.#archive.snapshots.map(describeSnapshot)
  }

  /** By name or id. @throws StratalogError `snapshot_not_found`. */
  snapshot(nameOrId: string): SnapshotDescription {
    return describeSnapshot(this.#archive.snapshot(nameOrId))
  }

  /** What a restore of `to` has more and less than one of `from`. @throws StratalogError `snapshot_not_found`. */
  async compareSnapshots(from: string, to: string): Promise<SnapshotDiff> {
    const archive = this.#archive
    const { compareSnapshots } = await import('../snapshot/compare.ts')
    return compareSnapshots(archive.state, archive.snapshot(from), archive.snapshot(to))
  }

  /** As `Stratalog.query`, over what the archive holds. */
  async query(
    sql: string,
    parameters: QueryParameters = [],
    options: QueryOptions = {},
  ): Promise<QueryResult> {
    const running = runnerOptions(sql, parameters, options)
    const { asOf, signal } = options
    const listSnapshots = async (): Promise<readonly SnapshotDescription[]> => this.snapshots()
    if (asOf === undefined)
      return this.#queries.query(sql, parameters, { ...running, snapshots: listSnapshots })
    const archive = this.#archive
    const { stateAsOf } = await import('./query-as-of.ts')
    const state = await stateAsOf(
      sql,
      asOf,
      {
        hasLog: (name) => archive.logs.some((log) => log.definition.name === name),
        viewOf: (name, ranges) => archive.view(archive.log(parseLogName(name)), boundsOf(ranges)),
        logFacts: () => archivedLogFacts(archive),
        listSnapshots,
        heldOf: async () => null,
      },
      signal,
    )
    return this.#queries.query(sql, parameters, { ...running, ...state })
  }

  /** As `Stratalog.prepare`, over what the archive holds. */
  async prepare(
    sql: string,
    options: PrepareOptions = {},
  ): Promise<PreparedQuery<QueryResult, QueryOptions>> {
    const limits = prepareOptions(sql, options)
    const listSnapshots = async (): Promise<readonly SnapshotDescription[]> => this.snapshots()
    const checked = await this.#queries.check(sql, { ...limits, snapshots: listSnapshots })
    return new PreparedQuery(sql, checked, (...query) => this.query(...query))
  }

  status(): EngineStatus {
    return archiveStatus(this.#archive)
  }

  /** As `Stratalog.dump`, of what the archive holds. @throws StratalogError as that does. */
  dump(options: DumpOptions = {}): AsyncIterable<string> {
    const { logs, signal } = checkDumpOptions(options)
    const chosen =
      logs === undefined ? this.logs() : [...new Set(logs)].map((name) => this.log(name))
    const status = new Map(this.status().logs.map((log) => [log.name, log.partitions]))
    const source = archiveDumpSource(chosen, this.#ports.clock.now(), (name) => status.get(name))
    return dumpLines(source, signal)
  }

  async close(): Promise<void> {
    await this.#queries.close()
    this.#latest.close()
    await this.#parts.close()
    await this.#archive.store.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** A log in an archive: what can be read of it. */
export class ArchiveLog {
  readonly #archive: Archive
  readonly #state: LogState
  readonly #latest: LatestViews

  constructor(archive: Archive, state: LogState, latest: LatestViews) {
    this.#archive = archive
    this.#state = state
    this.#latest = latest
  }

  get name(): string {
    return this.#state.definition.name
  }

  describe(): LogDescription {
    return describeLog(this.#state.definition, this.#state.schemas.at(-1) ?? null)
  }

  /** As `Log.read`; `live` ends where the archive did when it was opened. */
  read(options: ReadOptions = {}): RecordStream {
    assertReadOptions(options)
    const { asOf } = options
    const log = this.#readable()
    if (asOf === undefined) return new RecordStream(log, { ...options, live: false })
    return new RecordStream(log, options, async () => {
      const { readableAsOf } = await import('./as-of.ts')
      const archive = this.#archive
      const ranges = await this.#rangesAsOf(asOf, options.signal)
      const viewOf = (partition: number, startOffset: number, endOffset: number): LogView =>
        archive.view(this.#state, [{ partition, startOffset, endOffset }])
      return readableAsOf({ ...log, viewOf }, { ranges, held: null })
    })
  }

  /** As `Log.latest`. */
  latest(options: LatestReadOptions = {}): BatchStream {
    return latestStream(this.#latestSource, options)
  }

  /** As `Log.latestHash`. */
  latestHash(moment: LatestMoment = {}): Promise<string> {
    return latestHash(this.#latestSource, moment)
  }

  /** As `Log.get`. */
  async get(offset: number, options: HotOptions = {}): Promise<RecordRow | null> {
    const partition = partitionAsked(options, 'get')
    const rows = await this.read({ partition, from: offset, to: offset + 1 }).toArray()
    return rows[0] ?? null
  }

  /** @throws StratalogError `argument_invalid` for a log without a key. */
  get #latestSource(): LatestSource {
    const state = this.#state
    assertKeyed(state.definition)
    return {
      latest: this.#latest,
      pin: async ({ asOf, signal }) => {
        const ranges = asOf === undefined ? undefined : await this.#rangesAsOf(asOf, signal)
        return this.#archive.view(state, boundsOf(ranges))
      },
    }
  }

  async #rangesAsOf(asOf: AsOf, signal: AbortSignal | undefined): Promise<RangesAsOf> {
    const { rangesAsOf, resolveMoment } = await import('./as-of.ts')
    const archive = this.#archive
    const moment = await resolveMoment(asOf, async () => archive.snapshots.map(describeSnapshot))
    return rangesAsOf(moment, archive.view(this.#state), signal)
  }

  #readable(): ReadableLog {
    const archive = this.#archive
    const state = this.#state
    return {
      name: this.name,
      partitionCount: state.partitions.length,
      rangeOf: (partition) => {
        const held = state.partitions[partition]
        const start = held?.startOffset ?? 0
        return { start, end: held?.segments.at(-1)?.endOffset ?? start }
      },
      newestStart: (partition, count) => {
        const { startOffset = 0, segments = SegmentEntries.empty } =
          state.partitions[partition] ?? {}
        const endOffset = segments.at(-1)?.endOffset ?? startOffset
        return newestStart({ startOffset, endOffset, segments, batches: [], now: 0 }, count)
      },
      viewOf: (partition, from, to) => {
        const held = state.partitions[partition]
        const start = held?.startOffset ?? 0
        const end = held?.segments.at(-1)?.endOffset ?? start
        const startOffset = Math.min(Math.max(from, start), end)
        const endOffset = Math.max(startOffset, Math.min(to, end))
        return archive.view(state, [{ partition, startOffset, endOffset }])
      },
      waitFor: () => Promise.resolve(),
    }
  }
}

function boundsOf(ranges: RangesAsOf | undefined): readonly PartitionBounds[] | undefined {
  if (ranges === undefined) return undefined
  return [...ranges].map(([partition, { start, end }]) => ({
    partition,
    startOffset: start,
    endOffset: end,
  }))
}
