import { parseLogName } from '../base/log-name.ts'
import type { LogState, Snapshot } from '../format/manifest.ts'
import { userFields } from '../format/schema-evolution.ts'
import { type Archive, openArchive, wholePartition } from '../log/archive-view.ts'
import type { QueryParameters } from '../query/protocol.ts'
import type { QueryResult } from '../query/query-result.ts'
import { QueryRunner } from '../query/query-runner.ts'
import { NodeFileSystem } from '../storage/node-file-system.ts'
import { openObjectStore } from '../storage/open-object-store.ts'
import type { RecordRow } from './batch.ts'
import { ColdCache } from './cold-cache.ts'
import type { S3Options } from './config.ts'
import { environmentVariables, temporaryDirectory } from './environment.ts'
import type { LogDescription } from './log.ts'
import { type EnginePorts, resolvePorts } from './ports.ts'
import { type QueryOptions, runnerOptions } from './query-options.ts'
import { type ReadOptions, type ReadableLog, RecordStream } from './record-stream.ts'
import { type EngineStatus, archiveStatus } from './status.ts'
import { spawnQueryWorker } from './workers/spawn-query-worker.ts'

/** Disk that SQL over an archive may use for copies of its segments; gone when the reader closes. */
const CACHE_BYTES_MAX = 4 * 1024 ** 3

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
  readonly #queries: QueryRunner
  readonly #cache: ColdCache

  private constructor(archive: Archive, ports: EnginePorts) {
    this.#archive = archive
    const fileSystem = new NodeFileSystem()
    this.#cache = new ColdCache({
      fileSystem,
      store: archive.store,
      bytesMax: CACHE_BYTES_MAX,
      directory: async () => {
        const path = await temporaryDirectory()
        return { path, dispose: () => fileSystem.removeDirectory(path) }
      },
    })
    this.#queries = new QueryRunner({
      clock: ports.clock,
      logger: ports.logger.child('query'),
      viewOf: (name) => archive.view(archive.log(parseLogName(name))),
      hasLog: (name) => archive.logs.some((log) => log.definition.name === name),
      spawn: spawnQueryWorker,
      segmentPath: (source) => this.#cache.acquire(source),
    })
  }

  /** @throws StratalogError `archive_not_found`, `url_invalid`, `manifest_corrupt`, and what the store throws. */
  static async open(
    url: string,
    options: OpenArchiveOptions = {},
    givenPorts: Partial<EnginePorts> = {},
  ): Promise<ArchiveReader> {
    const ports = resolvePorts({}, givenPorts)
    const store = await openObjectStore(url, {
      ...ports,
      ...options,
      fileSystem: new NodeFileSystem(),
      environment: environmentVariables(),
    })
    try {
      return new ArchiveReader(await openArchive(store, { logger: ports.logger }), ports)
    } catch (error) {
      await store.close()
      throw error
    }
  }

  get url(): string {
    return this.#archive.url
  }

  /** @throws StratalogError `log_not_found`. */
  log(name: string): ArchiveLog {
    return new ArchiveLog(this.#archive, this.#archive.log(parseLogName(name)))
  }

  logs(): readonly ArchiveLog[] {
    return this.#archive.logs.map((state) => new ArchiveLog(this.#archive, state))
  }

  snapshots(): readonly Snapshot[] {
    return this.#archive.snapshots
  }

  /** As `Stratalog.query`, over what the archive holds. */
  async query(
    sql: string,
    parameters: QueryParameters = [],
    options: QueryOptions = {},
  ): Promise<QueryResult> {
    return this.#queries.query(sql, parameters, runnerOptions(options))
  }

  status(): EngineStatus {
    return archiveStatus(this.#archive)
  }

  async close(): Promise<void> {
    await this.#queries.close()
    await this.#cache.close()
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

  constructor(archive: Archive, state: LogState) {
    this.#archive = archive
    this.#state = state
  }

  get name(): string {
    return this.#state.definition.name
  }

  describe(): LogDescription {
    const { name, policy, partitions, timeColumn, keyColumn } = this.#state.definition
    const schema = this.#state.schemas.at(-1)
    return {
      name,
      schema: schema === undefined ? [] : userFields(schema),
      policy,
      partitions,
      timeColumn,
      keyColumn,
    }
  }

  /** As `Log.read`; `live` ends where the archive did when it was opened. */
  read(options: ReadOptions = {}): RecordStream {
    return new RecordStream(this.#readable(), { ...options, live: false })
  }

  /** As `Log.get`. */
  async get(
    offset: number,
    options: { readonly partition?: number } = {},
  ): Promise<RecordRow | null> {
    const partition = options.partition ?? 0
    const rows = await this.read({ partition, from: offset, to: offset + 1 }).toArray()
    return rows[0] ?? null
  }

  #readable(): ReadableLog {
    const archive = this.#archive
    const state = this.#state
    return {
      name: this.name,
      partitionCount: state.partitions.length,
      viewOf: (partition, from, to) => {
        const held = state.partitions[partition]
        const whole =
          held === undefined ? { startOffset: 0, endOffset: 0 } : wholePartition(held, partition)
        const startOffset = Math.min(Math.max(from, whole.startOffset), whole.endOffset)
        const endOffset = Math.max(startOffset, Math.min(to, whole.endOffset))
        return archive.view(state, [{ partition, startOffset, endOffset }])
      },
      waitFor: () => Promise.resolve(),
    }
  }
}
