/**
 * `stratalog/client`: a server of Stratalog as a program sees it, in Node and in browsers. Only the types are the
 * engine's; what runs is this folder and what it needs of `base`.
 */
export { Client, type ConnectOptions, connect } from './client.ts'
export {
  Jobs,
  type Job,
  type JobProgress,
  type JobWaitOptions,
  type RestoreJobResult,
} from './jobs.ts'
export { RemoteLog } from './remote-log.ts'
export { RowBatch, RowColumn, type Row } from './row-batch.ts'
export { RowStream } from './row-stream.ts'
export { QueryRows } from './query-rows.ts'
export { RemoteWindows, type StreamQueryOptions } from './remote-windows.ts'
export type { RecordLog, RecordStore, WindowRows } from './record-store.ts'
export { StratalogError, isStratalogError, type ErrorCode, type ErrorKind } from '../base/errors.ts'
export type { AppendOptions } from '../engine/append-options.ts'
export type { AlterLogOptions } from '../engine/alter-log.ts'
export type { AsOf } from '../engine/as-of.ts'
export type { CreateLogOptions } from '../engine/create-log.ts'
export type { ForkOptions } from '../engine/fork-options.ts'
export type { ConsumeOptions } from '../engine/shorthands.ts'
export type { GetOptions } from '../engine/hot-options.ts'
export type { DrillJob, JobRequest, ReplayJob, RestoreJob } from '../engine/job-request.ts'
export type { LatestOptions, LatestReadOptions } from '../engine/latest-log.ts'
export type { LogDescription } from '../engine/log-description.ts'
export type { MemoryMetrics } from '../engine/memory-metrics.ts'
export { PreparedQuery } from '../base/prepared-query.ts'
export type { PrepareOptions, QueryOptions } from '../engine/query-options.ts'
export type { ReadOptions } from '../engine/read-options.ts'
export type { SnapshotDescription } from '../engine/describe-snapshot.ts'
export type { SnapshotOptions } from '../engine/snapshots.ts'
export type { EngineStatus } from '../engine/status.ts'
export type { ColumnType, Field } from '../format/schema.ts'
export type { Producer } from '../format/producer.ts'
export type { AppendResult } from '../log/live-log.ts'
export type { OffsetGap } from '../log/view-reader.ts'
export type { QueryParameter, QueryParameters } from '../base/query-parameters.ts'
export type { StreamResumePoint } from '../query/stream/resume-point.ts'
export type { QueryStats } from '../query/query-result.ts'
