/** From what lies in the WAL directory to a WAL that takes appends. */
import { isStratalogError } from '../base/errors.ts'
import { Recovery } from '../log/recovery.ts'
import { WAL_DIRECTORY } from '../format/paths.ts'
import type { AckQueue } from '../log/ack-queue.ts'
import type { ManifestStore } from '../log/manifest-store.ts'
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
  const { engineId } = directory
  const { walLsn, walReached } = directory.manifest.state
  const recovery = new Recovery(registry.byId, directory.manifest.state.deletedLogIds)
  const startedAt = ports.clock.monotonic()
  const scanned = scanWal(new NodeSyncFileSystem(), `${directory.dataDir}/${WAL_DIRECTORY}`, {
    engineId,
    fromLsn: walLsn,
    reachedLsn: walReached,
    onFrame: (frame, payload) => recovery.apply(frame, payload),
  })
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
  closers.push(async () => {
    await wal.close()
    await noteReached(directory.manifest, wal)
  })
  // From here on a directory without a WAL has lost it.
  if (directory.manifest.state.walReached === null)
    await directory.manifest.commit([{ kind: 'wal-reached', walLsn: scanned.endLsn }])
  return wal
}

/**
 * The manifest learns where the WAL ends: the seal alone would go with the end of a file that is cut short. A writer
 * that was fenced meanwhile has nothing to say.
 */
async function noteReached(manifest: ManifestStore, wal: Wal): Promise<void> {
  if (wal.failure !== null) return
  const { durableLsn } = wal
  try {
    await manifest.commit(({ walReached }) =>
      durableLsn > (walReached ?? -1) ? [{ kind: 'wal-reached', walLsn: durableLsn }] : [],
    )
  } catch (error) {
    if (!isStratalogError(error) || error.code !== 'writer_fenced') throw error
  }
}
