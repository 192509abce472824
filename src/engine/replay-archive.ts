import { parseTime } from '../base/units.ts'
import type { LogDefinition } from '../format/manifest.ts'
import { STAMPED_TIME_COLUMN } from '../format/schema.ts'
import type { ReplaySpeed } from '../replay/pace.ts'
import { type ReplayProgress, replay } from '../replay/replay.ts'
import type { ReplayReport, ResumePoint } from '../replay/report.ts'
import { type ReplaySink, functionSink } from '../replay/sink.ts'
import { connectArchive, unnamedIn } from './archive-store.ts'
import { Batch } from './batch.ts'
import { BatchLayout } from './batch-layout.ts'
import type { S3Options } from './config.ts'
import type { Engine } from './engine.ts'
import { engineSink } from './engine-sink.ts'
import type { EnginePorts } from './ports.ts'

export interface ReplayFromArchiveOptions {
  readonly logs?: readonly string[]
  /** Records at or after this time. */
  readonly since?: Date | string | number
  /** Records before this time. */
  readonly until?: Date | string | number
  /** Offsets `[from, to)` of one log with one partition. */
  readonly from?: number
  readonly to?: number
  /** `max` (the default), `realtime`, or how many times faster than it happened. */
  readonly speed?: ReplaySpeed
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: ReplayProgress) => void
  /** Of an earlier report or progress, to go on where it stopped. */
  readonly resumePoint?: ResumePoint
  /** Takes each batch instead of the engine; it is valid until the returned promise settles. */
  readonly into?: (log: string, batch: Batch) => void | Promise<void>
  readonly s3?: S3Options
}

export function replayFromArchive(
  engine: Engine,
  url: string,
  options: ReplayFromArchiveOptions,
): Promise<ReplayReport> {
  const { into } = options
  return replayArchive(
    url,
    into === undefined ? engineSink(engine) : batchSink(into),
    options,
    engine.ports,
  )
}

/** A sink that sees batches as readers of a log do. */
export function batchSink(into: NonNullable<ReplayFromArchiveOptions['into']>): ReplaySink {
  return functionSink((log: LogDefinition, partition, batch) =>
    into(
      log.name,
      new Batch({
        batch,
        partition,
        tier: 'object',
        holder: null,
        layout: new BatchLayout({
          log: log.name,
          schema: batch.schema,
          timeColumn: log.timeColumn ?? STAMPED_TIME_COLUMN,
          keyColumn: log.keyColumn,
          columns: null,
        }),
      }),
    ),
  )
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
    const { logs, from, to, speed, signal, onProgress, resumePoint } = options
    const since = options.since === undefined ? undefined : parseTime(options.since, 'since')
    const until = options.until === undefined ? undefined : parseTime(options.until, 'until')
    const report = await replay(
      archive,
      sink,
      { logs, from, to, since, until, speed, signal, onProgress, resumePoint },
      ports,
    )
    return {
      ...report,
      missing: [...report.missing, ...(await unnamedIn(archive, logs, ports.clock))],
    }
  } finally {
    await archive.store.close()
  }
}
