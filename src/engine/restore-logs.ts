/**
 * Logs of an archive as logs of a running engine, under names of their own: with their offsets and times, and the
 * policy that the engine gives to logs that do not say. They are there whole, or not at all: what makes the restore
 * fail takes away what it made.
 */
import { StratalogError, isStratalogError } from '../base/errors.ts'
import { parseTime } from '../base/units.ts'
import type { LogView } from '../log/log-view.ts'
import { type ReplayProgress, replay } from '../replay/replay.ts'
import type { ReplaySink } from '../replay/sink.ts'
import { type PlannedLog, planRestore } from '../snapshot/plan-restore.ts'
import type { RestoreResult } from '../snapshot/restore.ts'
import { connectArchive } from './archive-store.ts'
import type { Engine } from './engine.ts'
import { type ReplayTarget, engineSink } from './engine-sink.ts'
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
    for (const { name } of plan.logs) assertFree(engine, name)
    const source = {
      views: () => plan.logs.map((log) => viewOf(log, archive.view(log.source, log.bounds))),
    }
    const report = await wholeOrNone(engine, (sink) =>
      replay(source, sink, { signal, onProgress }, { clock }),
    )
    return {
      plan: plan.summary,
      engineId: archive.state.engineId,
      isLazy: false,
      records: report.records,
      elapsedMs: Math.round(clock.monotonic() - startedMs),
      verified: report.missing.length + report.corrupt.length === 0,
      missing: report.missing,
      corrupt: report.corrupt,
      gaps: report.logs.flatMap((log) => log.gaps.map((gap) => ({ log: log.name, ...gap }))),
    }
  } finally {
    await archive.store.close()
  }
}

function assertFree({ registry }: Engine, name: string): void {
  if (!registry.has(name)) return
  throw new StratalogError(
    'log_exists',
    `There is a log '${name}'; give it another name by rename.`,
    {
      details: { log: name },
    },
  )
}

function viewOf({ name }: PlannedLog, view: LogView): LogView {
  return { ...view, definition: { ...view.definition, name } }
}

async function wholeOrNone<T>(engine: Engine, work: (sink: ReplaySink) => Promise<T>): Promise<T> {
  const sink = engineSink(engine, 'offset')
  try {
    return await work(sink)
  } catch (error) {
    for (const target of sink.targets()) await removed(engine, target)
    throw error
  }
}

/**
 * What others have appended is theirs. What cannot be taken away now is there still, and its error tells less than the
 * one of the restore.
 */
async function removed(engine: Engine, { log, nextOffsets }: ReplayTarget): Promise<void> {
  const { logger } = engine.ports
  if (log.closed !== null) return
  if (log.partitions.some(({ nextOffset }, number) => nextOffset !== nextOffsets[number])) {
    logger.error('A log of a restore that failed has records of others, and stays.', {
      log: log.name,
    })
    return
  }
  try {
    await engine.deleteLog(log)
  } catch (error) {
    logger.error('A log of a restore that failed is still there.', {
      log: log.name,
      error: isStratalogError(error) ? error.code : String(error),
    })
  }
}
