import { parseTime } from '../base/units.ts'
import type { ReplaySpeed } from '../replay/pace.ts'
import type { RecordFilter } from '../replay/record-filter.ts'
import { replay } from '../replay/replay.ts'
import type { ReplayProgress, ReplayStep } from '../replay/replay-options.ts'
import type { ReplayReport, ResumePoint } from '../replay/report.ts'
import { type ReplaySink, functionSink } from '../replay/sink.ts'
import { connectArchive, unnamedIn } from './archive-store.ts'
import type { Batch } from './batch.ts'
import type { S3Options } from './config.ts'
import type { Engine } from './engine.ts'
import { type PickedBy, engineSink } from './engine-sink.ts'
import type { HttpEndpoint } from './http-target-sink.ts'
import type { EnginePorts } from './ports.ts'
import { replayedBatch } from './replayed-batch.ts'

export interface ReplayFromArchiveOptions {
  readonly logs?: readonly string[]
  /** Records at or after this time. */
  readonly since?: Date | string | number
  /** Records before this time. */
  readonly until?: Date | string | number
  /** Offsets `[from, to)` of one log with one partition. */
  readonly from?: number
  readonly to?: number
  /** Only records for which it returns true; a record is right during the call. */
  readonly filter?: RecordFilter
  /** `max` (the default), `realtime`, how many times faster than it happened, or `stepped`. */
  readonly speed?: ReplaySpeed
  /** With `stepped`: called before each step of at most `stepRecords` records (1), taken when it resolves. */
  readonly step?: (next: ReplayStep) => Promise<void>
  readonly stepRecords?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: ReplayProgress) => void
  /**
   * Of an earlier report or progress, to go on where it stopped. Logs that the engine has already are then taken for
   * those of the earlier replay, and each record comes into them once.
   */
  readonly resumePoint?: ResumePoint
  /**
   * Takes each batch instead of the engine; it is valid until the returned promise settles. Or an endpoint that takes
   * NDJSON by POST.
   */
  readonly into?: ((log: string, batch: Batch) => void | Promise<void>) | HttpEndpoint
  readonly s3?: S3Options
}

export async function replayFromArchive(
  engine: Engine,
  url: string,
  options: ReplayFromArchiveOptions,
): Promise<ReplayReport> {
  const { into } = options
  if (into === undefined)
    return replayArchive(url, engineSink(engine, pickedBy(options)), options, engine.ports)
  if (typeof into === 'function') return replayArchive(url, batchSink(into), options, engine.ports)
  return replayToEndpoint(url, into, options, engine.ports)
}

function pickedBy({ since, until, filter }: ReplayFromArchiveOptions): PickedBy {
  if (filter !== undefined) return 'filter'
  return since === undefined && until === undefined ? 'offset' : 'time'
}

/** A sink that sees batches as readers of a log do. */
export function batchSink(into: (log: string, batch: Batch) => void | Promise<void>): ReplaySink {
  return functionSink((log, partition, batch) =>
    into(log.name, replayedBatch(log, partition, batch)),
  )
}

/** As `replayArchive`, to an HTTP endpoint. @throws `url_invalid`, `sink_refused`, `sink_unavailable`. */
export async function replayToEndpoint(
  url: string,
  endpoint: HttpEndpoint,
  options: ReplayFromArchiveOptions,
  ports: EnginePorts,
): Promise<ReplayReport> {
  const { openHttpSink } = await import('./http-target-sink.ts')
  const sink = await openHttpSink(endpoint, ports, options.signal)
  try {
    return await replayArchive(url, sink, options, ports)
  } finally {
    sink.close()
  }
}

/** Opens an archive and streams it into a sink. @throws as `Stratalog.replayFromArchive`. */
export async function replayArchive(
  url: string,
  sink: ReplaySink,
  options: ReplayFromArchiveOptions,
  ports: EnginePorts,
): Promise<ReplayReport> {
  const archive = await connectArchive(url, options.s3, ports)
  try {
    const since = options.since === undefined ? undefined : parseTime(options.since, 'since')
    const until = options.until === undefined ? undefined : parseTime(options.until, 'until')
    const report = await replay(archive, sink, { ...options, since, until }, ports)
    return {
      ...report,
      missing: [...report.missing, ...(await unnamedIn(archive, options.logs, ports.clock))],
    }
  } finally {
    await archive.store.close()
  }
}
