/**
 * Logs of an archive as logs of a running engine, under names of their own: with their offsets and times, and the
 * policy that the engine gives to logs that do not say. Each is there whole, or not at all, and nobody finds it before.
 */
import { throwIfAborted } from '../base/errors.ts'
import { parseTime } from '../base/units.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { LogView } from '../log/log-view.ts'
import { type ReplayProgress, replay } from '../replay/replay.ts'
import type { ReplayReport } from '../replay/report.ts'
import type { ReplaySink } from '../replay/sink.ts'
import { type PlannedLog, planRestore } from '../snapshot/plan-restore.ts'
import type { RestoreLimit, RestoreResult } from '../snapshot/restore.ts'
import { connectArchive } from './archive-store.ts'
import type { Engine } from './engine.ts'
import { engineSink } from './engine-sink.ts'
import { RestoringLogs, removeRestored, reserveAll } from './restoring-logs.ts'
import type { RestoreArchiveOptions } from './restore-archive.ts'
import { type Stratalog, engineOf } from './stratalog.ts'

export interface RestoreLogsOptions extends Omit<
  RestoreArchiveOptions,
  'dataDir' | 'eager' | 'confirm' | 'onProgress' | 'logs'
> {
  readonly logs: readonly string[]
  readonly onProgress?: (progress: ReplayProgress) => void
}

/**
 * @throws StratalogError `log_exists` before anything is read, `archive_not_found`, `snapshot_not_found`,
 * `log_not_found`, `argument_invalid`, `offset_gap` for damage where a log has a lower tier, `offset_unexpected` where
 * somebody else has appended, `memory_full`, `aborted`.
 */
export async function restoreLogs(
  db: Stratalog,
  options: RestoreLogsOptions,
): Promise<RestoreResult> {
  const engine = engineOf(db)
  const { clock } = engine.ports
  const startedMs = clock.monotonic()
  const { snapshot, toOffsets, logs, rename, signal, onProgress } = options
  const archive = await connectArchive(options.archive, options.s3, engine.ports)
  try {
    const at = options.at === undefined ? undefined : parseTime(options.at, 'at')
    const plan = await planRestore(archive, { snapshot, at, toOffsets, logs, rename, signal })
    const names = plan.logs.map(({ name }) => name)
    const source = {
      views: () => plan.logs.map((log) => viewOf(log, archive.view(log.source, log.bounds))),
    }
    const report = await wholeOrNone(engine, names, signal, (sink) =>
      replay(source, sink, { signal, onProgress }, { clock }),
    )
    return {
      plan: plan.summary,
      engineId: archive.state.engineId,
      isLazy: false,
      records: report.records,
      elapsedMs: Math.round(clock.monotonic() - startedMs),
      verified: report.missing.length + report.corrupt.length === 0,
      limitedBy: limitOf(report),
      missing: report.missing,
      corrupt: report.corrupt,
      gaps: report.logs.flatMap((log) => log.gaps.map((gap) => ({ log: log.name, ...gap }))),
    }
  } finally {
    await archive.store.close()
  }
}

/** The engine is what writes to the disk here. */
function limitOf({ limitedBy }: ReplayReport): RestoreLimit | null {
  return limitedBy === 'sink' || limitedBy === 'pace' ? 'disk' : limitedBy
}

function viewOf({ name }: PlannedLog, view: LogView): LogView {
  return { ...view, definition: { ...view.definition, name } }
}

type Work<T> = (sink: ReplaySink) => Promise<T>

async function wholeOrNone<T>(
  engine: Engine,
  names: readonly string[],
  signal: AbortSignal | undefined,
  work: Work<T>,
): Promise<T> {
  const { lowerTiers, policies } = engine
  if (lowerTiers === null || policies.resolve({}).mode === 'memory')
    return unseen(engine, names, signal, work)
  const logs = RestoringLogs.take(engine, lowerTiers, names)
  try {
    const result = await work(engineSink(engine, 'offset', (name) => logs.nameHere(name)))
    throwIfAborted(signal)
    await logs.publish()
    return result
  } finally {
    await logs.end()
  }
}

/** In RAM: logs that are filled before anybody finds them, and then are there in one step. */
async function unseen<T>(
  engine: Engine,
  names: readonly string[],
  signal: AbortSignal | undefined,
  work: Work<T>,
): Promise<T> {
  const { registry } = engine
  reserveAll(registry, names)
  const sink = engineSink(engine, 'offset', undefined, true)
  const made = (): LiveLog[] => Array.from(sink.targets(), ({ log }) => log)
  try {
    const result = await work(sink)
    throwIfAborted(signal)
    registry.publish(made())
    return result
  } catch (error) {
    for (const log of made()) {
      await removeRestored(engine, log)
      // An engine that was closed meanwhile did not know of it.
      log.close()
    }
    throw error
  } finally {
    // The name of a log that was taken away is free already, and may be somebody's by now.
    const taken = new Set(made().map(({ name }) => name))
    for (const name of names) if (!taken.has(name)) registry.release(name)
  }
}
