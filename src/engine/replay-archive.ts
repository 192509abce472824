import { parseTime } from '../base/units.ts'
import { replay } from '../replay/replay.ts'
import type { ReplayReport } from '../replay/report.ts'
import { checkReplayOptions } from '../replay/replay-options.ts'
import { type ReplaySink, functionSink } from '../replay/sink.ts'
import { connectArchive, unnamedIn } from './archive-store.ts'
import type { Batch } from './batch.ts'
import type { Engine } from './engine.ts'
import { type PickedBy, engineSink } from './engine-sink.ts'
import type { HttpEndpoint } from './http-target-sink.ts'
import type { EnginePorts } from './ports.ts'
import { replayedBatch } from './replayed-batch.ts'
import type { ReplayFromArchiveOptions } from './replay-from-archive-options.ts'

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
  const since = options.since === undefined ? undefined : parseTime(options.since, 'since')
  const until = options.until === undefined ? undefined : parseTime(options.until, 'until')
  checkReplayOptions({ ...options, since, until })
  const archive = await connectArchive(url, options.s3, ports)
  try {
    const report = await replay(archive, sink, { ...options, since, until }, ports)
    return {
      ...report,
      missing: [...report.missing, ...(await unnamedIn(archive, options.logs, ports.clock))],
    }
  } finally {
    await archive.store.close()
  }
}
