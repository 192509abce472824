/** An engine in RAM that comes back from a `snapshotLocation`, and makes its snapshots there. */
import { randomHex } from '../base/random.ts'
import { SegmentPins } from '../log/segment-pins.ts'
import { DiskBudget } from '../tiering/disk-budget.ts'
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
import { openMemoryEngine } from './memory-engine.ts'
import type { EnginePorts } from './ports.ts'
import { openSnapshotPlace } from './snapshot-place.ts'
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
  await loadLogs(place, placed, engine, ports)
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
    lost: damaged?.objects ?? new Set<string>(),
  }
  const source = { archive: place.archive, registry, scheduler: null, ports, place: context }
  let { nextLogId } = place.state
  return {
    ...engine,
    snapshots: keepSnapshots(source, options, closers),
    commitLog: async (make) => make(nextLogId++),
    close: () => closeAll(closers, logger),
  }
}
