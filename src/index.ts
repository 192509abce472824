/** The public API of `stratalog`. What is not exported here is not for use by other packages. */
export { Stratalog } from './engine/stratalog.ts'
export type { AttachedLog, TierControl, TierScrubOptions } from './engine/tier-control.ts'
export { ArchiveReader, ArchiveLog, type OpenArchiveOptions } from './engine/archive-reader.ts'
export { QueryResult, type QueryRow, type QueryStats } from './query/query-result.ts'
export type { PrepareOptions, QueryOptions } from './engine/query-options.ts'
export { PreparedQuery } from './base/prepared-query.ts'
export { WindowStream } from './query/stream/window-stream.ts'
export type { StreamStats } from './query/stream/stream-run.ts'
export type { StreamResumePoint } from './query/stream/resume-point.ts'
export type { LateOutput, LateRow } from './query/stream/stream-ports.ts'
export type { StreamSqlOptions } from './engine/stream-options.ts'
export type { QueryParameter, QueryParameters } from './base/query-parameters.ts'
export type { SnapshotDescription } from './engine/describe-snapshot.ts'
export type { SnapshotOptions } from './engine/snapshots.ts'
export type { SnapshotScheduleStatus } from './engine/snapshot-schedule.ts'
export type { SnapshotDiff } from './snapshot/compare.ts'
export {
  drillArchive,
  planRestoreArchive,
  reconcileArchive,
  restoreArchive,
  scrubFiles,
  verifyFiles,
} from './engine/archive-operations.ts'
export type {
  VerifyFilesOptions,
  VerifyNote,
  VerifyRemains,
  VerifyProblem,
  VerifyReport,
} from './engine/verify/verify-report.ts'
export type {
  KeptTail,
  ReconcileOptions,
  ReconcileReport,
  ReconciledLog,
} from './engine/reconcile.ts'
export type { PlanRestoreOptions, RestoreArchiveOptions } from './engine/restore-archive.ts'
export type { DrillArchiveOptions, DrillCheckOptions } from './engine/drill-archive.ts'
export type { DrillReport } from './replay/drill-report.ts'
export type { LiveEngine, LiveSide } from './replay/live-side.ts'
export type { RestoreForecast } from './snapshot/forecast-restore.ts'
export type { RestoreSummary } from './snapshot/plan-restore.ts'
export type { RestoreProgress, RestoreResult } from './snapshot/restore.ts'
export type { ReplayFromArchiveOptions } from './engine/replay-from-archive-options.ts'
export type { HttpEndpoint } from './engine/http-target-sink.ts'
export type { ReplayReport, ResumePoint } from './replay/report.ts'
export type { ReplayProgress, ReplayStep } from './replay/replay-options.ts'
export type { AlterLogOptions } from './engine/alter-log.ts'
export type {
  StorageChanges,
  StorageOptions,
  StratalogOptions,
  S3Options,
} from './engine/config.ts'
export type { CreateLogOptions } from './engine/create-log.ts'
export type { ForkOptions } from './engine/fork-options.ts'
export type { Appendable } from './engine/appended-records.ts'
export { Log } from './engine/log.ts'
export type { GetOptions, HotOptions } from './engine/hot-options.ts'
export type { LatestMoment, LatestOptions, LatestReadOptions } from './engine/latest-log.ts'
export type { LogDescription } from './engine/log-description.ts'
export type { AppendOptions } from './engine/append-options.ts'
export { Batch, BatchColumn, type RecordRow } from './engine/batch.ts'
export type { ElementArray } from './format/column-elements.ts'
export type { LazyRow } from './format/row-reader.ts'
export type { OffsetGap } from './log/view-reader.ts'
export type { ReadOptions } from './engine/read-options.ts'
export type { AsOf } from './engine/as-of.ts'
export { BatchStream } from './engine/batch-stream.ts'
export { RecordStream } from './engine/record-stream.ts'
export type {
  ArchiveStatus,
  DiskStatus,
  EngineStatus,
  LogStatus,
  PartitionStatus,
  RestoreStatus,
  TierStatus,
} from './engine/status.ts'
export type { MemoryMetrics, LogMemory } from './engine/memory-metrics.ts'
export type { DumpOptions } from './engine/dump.ts'
export {
  exportRecords,
  type ExportFormat,
  type ExportOptions,
  type ExportProgress,
  type ExportedLog,
} from './engine/export-records.ts'
export type { ConsumeOptions } from './engine/shorthands.ts'
export type { EnginePorts } from './engine/ports.ts'
export type { RecoveryProgress } from './engine/recovery-progress.ts'
export { StratalogError, isStratalogError, type ErrorCode, type ErrorKind } from './base/errors.ts'
export type { Clock } from './base/clock.ts'
export { VirtualClock } from './base/virtual-clock.ts'
export type { Logger, LogLevel } from './base/logger.ts'
export type { Metrics } from './base/metrics.ts'
export type { ColumnType, Field } from './format/schema.ts'
export type { Producer } from './format/producer.ts'
export type { AppendResult } from './log/live-log.ts'
export type { CircuitStatus } from './storage/breaking-object-store.ts'
export type { RequestCounts } from './storage/metered-object-store.ts'
export type { PartCacheCounts } from './storage/part-cache.ts'
export type { EstimatedCost } from './storage/request-cost.ts'
export type { CollectReport, CollectedObject } from './tiering/collect.ts'
export type { ScrubProblem, ScrubReport, ScrubStatus } from './tiering/scrub-report.ts'
export type { ScrubProgress } from './tiering/scrubber.ts'
export type { Orphan } from './tiering/orphans.ts'
export type { TierReport, TierTarget } from './tiering/steps.ts'
export type { TierMove } from './tiering/context.ts'
