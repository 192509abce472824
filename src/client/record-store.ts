/** What an engine and a client have in common: a program that is written against it runs with either. */
import type { Duration } from '../base/units.ts'
import type { AlterLogOptions } from '../engine/alter-log.ts'
import type { AppendOptions } from '../engine/append-options.ts'
import type { CreateLogOptions } from '../engine/create-log.ts'
import type { SnapshotDescription } from '../engine/describe-snapshot.ts'
import type { ForkOptions } from '../engine/fork-options.ts'
import type { GetOptions, HotOptions } from '../engine/hot-options.ts'
import type { LatestOptions, LatestReadOptions } from '../engine/latest-log.ts'
import type { LogDescription } from '../engine/log-description.ts'
import type { MemoryMetrics } from '../engine/memory-metrics.ts'
import type { PreparedQuery } from '../base/prepared-query.ts'
import type { PrepareOptions, QueryOptions } from '../engine/query-options.ts'
import type { ReadOptions } from '../engine/read-options.ts'
import type { ConsumeOptions } from '../engine/shorthands.ts'
import type { SnapshotOptions } from '../engine/snapshots.ts'
import type { EngineStatus } from '../engine/status.ts'
import type { ColumnType, Field } from '../format/schema.ts'
import type { AppendResult } from '../log/live-log.ts'
import type { QueryParameters } from '../base/query-parameters.ts'
import type { QueryStats } from '../query/query-result.ts'
import type { StreamResumePoint } from '../query/stream/resume-point.ts'
import type { StreamQueryOptions } from './remote-windows.ts'
import type { Row } from './row-batch.ts'

/** What the engine says at once, and a client when it was told: await it. */
type Soon<T> = T | Promise<T>

export interface RecordColumn {
  readonly name: string
  readonly type: ColumnType
  readonly length: number
  readonly nullCount: number
  isValid(row: number): boolean
  get(row: number): unknown
  toArray(): unknown[]
}

export interface RecordBatches extends AsyncIterable<{
  readonly partition: number
  readonly baseOffset: number
  readonly length: number
  readonly tier: 'memory' | 'disk' | 'object'
  readonly offsets: Float64Array | null
  readonly fields: readonly Field[]
  column(name: string): RecordColumn
  toRows(): Row[]
  rows(): Iterable<Row>
}> {
  rows(): AsyncIterableIterator<Row, void, undefined>
  toArray(): Promise<Row[]>
}

export interface QueryAnswer extends AsyncIterable<Row>, AsyncDisposable {
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  readonly stats: Promise<QueryStats>
  toArray(): Promise<Row[]>
  close(): Promise<void>
}

/** `WindowStream` and `RemoteWindows`. */
export interface WindowRows extends AsyncIterable<Row>, AsyncDisposable {
  readonly resumePoint: StreamResumePoint | null
  readonly columns: readonly { readonly name: string; readonly type: string }[] | null
  open(): Promise<void>
  close(): Promise<void>
}

/** `Log` and `RemoteLog`. */
export interface RecordLog {
  readonly name: string
  describe(): Soon<LogDescription>
  range(options?: HotOptions): Soon<{ readonly start: number; readonly end: number }>
  append(records: object | readonly object[], options?: AppendOptions): Promise<AppendResult>
  read(options?: ReadOptions): RecordBatches
  get(offset: number, options?: GetOptions): Promise<Row | null>
  latest(options?: LatestReadOptions): RecordBatches
  getLatest(key: unknown, options?: LatestOptions): Promise<Row | null>
}

/** `Stratalog` and `Client`. */
export interface RecordStore extends AsyncDisposable {
  createLog(name: string, options?: CreateLogOptions): Promise<RecordLog>
  alterLog(name: string, options: AlterLogOptions): Promise<RecordLog>
  deleteLog(name: string): Promise<void>
  fork(log: string, as: string, options?: ForkOptions): Promise<RecordLog>
  log(name: string): RecordLog
  logs(): Soon<readonly RecordLog[]>
  produce(
    name: string,
    records: object | readonly object[],
    options?: AppendOptions,
  ): Promise<AppendResult>
  produceWithTtl(
    name: string,
    records: object | readonly object[],
    ttl: Duration,
  ): Promise<AppendResult>
  consume(name: string, from: number, limit: number, options?: ConsumeOptions): Promise<Row[]>
  query(sql: string, parameters?: QueryParameters, options?: QueryOptions): Promise<QueryAnswer>
  prepare(sql: string, options?: PrepareOptions): Promise<PreparedQuery<QueryAnswer, QueryOptions>>
  streamSql(sql: string, options?: StreamQueryOptions): WindowRows
  snapshot(options?: SnapshotOptions): Promise<SnapshotDescription>
  snapshots(): Promise<readonly SnapshotDescription[]>
  deleteSnapshot(nameOrId: string): Promise<SnapshotDescription>
  status(): Soon<EngineStatus>
  memoryMetrics(): Soon<MemoryMetrics>
  close(): Promise<void>
}
