/** From what lies in the WAL directory to a WAL that takes appends. */
import { Recovery } from '../log/recovery.ts'
import { WAL_DIRECTORY } from '../format/paths.ts'
import type { AckQueue } from '../log/ack-queue.ts'
import { type Wal, createThreadWal } from '../log/wal.ts'
import { type WalScanResult, scanWal } from '../log/wal-scan.ts'
import { NodeSyncFileSystem } from '../storage/node-sync-file-system.ts'
import type { Closers } from './closers.ts'
import type { LogRegistry } from './log-registry.ts'
import type { OpenedDirectory } from './open-directory.ts'
import type { EnginePorts } from './ports.ts'
import { spawnWalThread } from './workers/spawn-wal-thread.ts'

/** Reads the WAL from the manifest's checkpoint on and puts its records back into RAM. */
export function scanDirectoryWal(
  directory: OpenedDirectory,
  registry: LogRegistry,
  ports: EnginePorts,
): WalScanResult {
  const { engineId, walLsn } = directory.manifest.state
  const recovery = new Recovery(registry.byId)
  const startedAt = ports.clock.monotonic()
  const scanned = scanWal(new NodeSyncFileSystem(), `${directory.dataDir}/${WAL_DIRECTORY}`, {
    engineId,
    fromLsn: walLsn,
    onFrame: (frame, payload) => recovery.apply(frame, payload),
  })
  recovery.finish()
  if (recovery.report.records > 0 || scanned.torn !== null) {
    ports.logger.info('Recovered from the WAL.', {
      ...recovery.report,
      torn: scanned.torn,
      elapsedMs: Math.round(ports.clock.monotonic() - startedAt),
    })
  }
  return scanned
}

export interface WalOpening {
  readonly directory: OpenedDirectory
  readonly scanned: WalScanResult
  readonly acks: AckQueue
  readonly ports: EnginePorts
  readonly closers: Closers
}

/** Starts the WAL thread behind what was scanned; its acknowledgements settle through `acks`. */
export async function openWal({
  directory,
  scanned,
  acks,
  ports,
  closers,
}: WalOpening): Promise<Wal> {
  const { engineId, epoch } = directory.manifest.state
  const wal = await createThreadWal({
    directory: `${directory.dataDir}/${WAL_DIRECTORY}`,
    engineId,
    epoch,
    recovered: scanned,
    spawn: spawnWalThread,
  })
  wal.onDurable((durableLsn) => acks.settle(durableLsn))
  wal.onFailure((failure) => {
    ports.logger.error('The WAL failed: nothing is acknowledged any more.', {
      code: failure.code,
      reason: failure.message,
    })
    acks.fail(failure)
  })
  closers.push(() => wal.close())
  return wal
}
