/** An engine in RAM that comes back from a `snapshotLocation`, and makes its snapshots there. */
import type { Clock } from '../base/clock.ts'
import { randomHex } from '../base/random.ts'
import { isDeletedLog } from '../format/manifest.ts'
import type { LiveLog } from '../log/live-log.ts'
import { SegmentPins } from '../log/segment-pins.ts'
import { DiskBudget } from '../tiering/disk-budget.ts'
import type { Leave } from '../tiering/end-log.ts'
import { type Closers, closeAll } from './closers.ts'
import type { StratalogOptions } from './config.ts'
import type { Engine } from './engine.ts'
import { keepSnapshots } from './keep-snapshots.ts'
import {
  type DamagedSnapshots,
  assertRestorable,
  emptyLog,
  loadLogs,
  placedLogs,
  withSoundSnapshots,
} from './load-snapshot.ts'
import { deleteInMemory, openMemoryEngine } from './memory-engine.ts'
import type { EnginePorts } from './ports.ts'
import { type SnapshotPlace, openSnapshotPlace } from './snapshot-place.ts'
import { storageOf } from './system-storage.ts'

/** @throws StratalogError `archive_foreign`, `memory_full` under `reject`, and what the store throws. */
export function openSnapshottedEngine(
  url: string,
  options: StratalogOptions,
  ports: EnginePorts,
): Promise<Engine> {
  const restores = options.restoreOnOpen !== false
  return withSoundSnapshots(async (damaged) => {
    const closers: Closers = []
    try {
      return await assemble(url, options, ports, closers, restores ? damaged : null)
    } catch (error) {
      await closeAll(closers, ports.logger)
      throw error
    }
  }, ports.logger)
}

/** `damaged`: snapshots that are not to be used; null: none is. */
async function assemble(
  url: string,
  options: StratalogOptions,
  ports: EnginePorts,
  closers: Closers,
  damaged: DamagedSnapshots | null,
): Promise<Engine> {
  const storage = storageOf(ports)
  const { clock, random, logger, metrics } = ports
  const writer = { id: randomHex(random, 16), ...storage.processName, since: clock.now() }
  const place = await openSnapshotPlace(url, options, ports, writer, null)
  closers.push(() => place.store.close())
  const engine = openMemoryEngine(options, ports, false)
  closers.push(() => engine.close())
  const { registry } = engine
  const placed = placedLogs(place.state, damaged?.ids ?? null)
  await assertRestorable(place, placed)
  for (const log of placed) registry.add(emptyLog(log))
  const lost = await loadLogs(place, placed, engine, ports)
  for (const key of damaged?.objects ?? []) place.archive.damaged.add(key)
  const encoder = storage.encoder(clock)
  closers.push(() => encoder.close())
  const context = {
    engineId: place.engineId,
    clock,
    random,
    logger: logger.child('snapshot'),
    metrics,
    disk: null,
    archive: place.archive,
    diskBudget: new DiskBudget({ maxBytes: null, watermark: 1 }),
    pins: new SegmentPins(),
    wal: null,
    encoder,
    logs: () => registry.all(),
  }
  const source = { archive: place.archive, registry, scheduler: null, ports, place: context }
  let { nextLogId } = place.state
  return {
    ...engine,
    engineId: place.engineId,
    snapshots: keepSnapshots(source, lost, options, closers),
    commitLog: async (make) => make(nextLogId++),
    deleteLog: (log) =>
      deleteInMemory(registry, log, (leave) => commitDeletion(place, clock, log, leave)),
    close: () => closeAll(closers, logger),
  }
}

/** Nothing else would keep the log from coming back. A commit that was answered with an error may have been done. */
async function commitDeletion(
  { archive }: SnapshotPlace,
  clock: Clock,
  { id: logId }: LiveLog,
  leave: Leave,
): Promise<void> {
  const manifest = await archive.manifest()
  // A store that is away says so here, while the log can still go on.
  await archive.settle()
  await manifest.refresh()
  try {
    await archive.commitEdits((state) =>
      isDeletedLog(state, logId) ? [] : [{ kind: 'log-deleted', logId, deletedAt: clock.now() }],
    )
  } catch (error) {
    try {
      await manifest.settle()
    } catch {
      leave(false)
      throw error
    }
    if (!isDeletedLog(manifest.state, logId)) throw error
  }
}
