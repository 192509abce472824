/** From what lies in the WAL directory to a WAL that takes appends, and goes on by itself when the disk does. */
import { isStratalogError } from '../base/errors.ts'
import { noMetrics } from '../base/metrics.ts'
import { DISK_PROBE_BYTES } from '../format/limits.ts'
import type { Writer } from '../format/manifest.ts'
import { TEMPORARY_DIRECTORY, WAL_DIRECTORY } from '../format/paths.ts'
import type { AckQueue } from '../log/ack-queue.ts'
import type { DiskHealth } from '../log/disk-health.ts'
import type { Partition } from '../log/partition.ts'
import type { ManifestStore } from '../log/manifest-store.ts'
import { ResumableWal } from '../log/resumable-wal.ts'
import type { WalFence } from '../log/wal-fence.ts'
import { type WalCut, recoverCut } from '../log/wal-cut.ts'
import type { WalRecovered } from '../log/wal-scan.ts'
import type { Wal } from '../log/wal.ts'
import { probeDisk } from '../storage/probe-disk.ts'
import type { Closers } from './closers.ts'
import type { RecoveredWal } from './directory-recovery.ts'
import type { LogRegistry } from './log-registry.ts'
import type { OpenedDirectory } from './open-directory.ts'
import type { EnginePorts } from './ports.ts'
import type { StoragePorts } from './storage-ports.ts'

export interface WalOpening {
  readonly directory: OpenedDirectory
  readonly writer: Writer
  readonly registry: LogRegistry
  readonly scanned: RecoveredWal
  readonly acks: AckQueue<Partition>
  readonly disk: DiskHealth
  readonly ports: EnginePorts
  readonly storage: StoragePorts
  readonly closers: Closers
}

/** Starts the WAL's writer behind what was scanned; its acknowledgements settle through `acks`. */
export async function openWal(opening: WalOpening): Promise<ResumableWal> {
  const { directory, registry, scanned, acks, disk, ports, closers } = opening
  const { dataDir, fileSystem } = directory
  const first = await startWal(opening, scanned)
  // The new file holds once more what was not proven durable.
  acks.settle(scanned.endLsn)
  const wal = new ResumableWal(first, {
    clock: ports.clock,
    disk,
    acks,
    logs: () => registry.all(),
    metrics: measures(ports) ? ports.metrics : null,
    probe: () => probeDisk(fileSystem, `${dataDir}/${TEMPORARY_DIRECTORY}`, DISK_PROBE_BYTES),
    reopen: (cut) => reopenWal(opening, cut),
  })
  closers.push(async () => {
    const wasSound = wal.failure === null
    await wal.close()
    // All of it, the seal too: else the close failed, and recovery sees to what is there.
    if (wasSound && wal.durableLsn === wal.appendedLsn)
      await noteReached(directory.manifest, wal.durableLsn)
  })
  // From here on a directory without a WAL has lost it.
  if (directory.manifest.state.walReached === null)
    await directory.manifest.commit([{ kind: 'wal-reached', walLsn: scanned.endLsn }])
  return wal
}

/** Continues the WAL where what is durable ends. */
async function reopenWal(opening: WalOpening, cut: WalCut): Promise<Wal> {
  const { directory, writer, scanned, ports, storage } = opening
  const { manifest } = directory
  if (cut.isNewEpoch) {
    await manifest.claim(writer, manifest.state.engineId)
    await manifest.rebase()
  }
  const { engineId, walLsn } = manifest.state
  const recovered = await recoverCut({
    fileSystem: storage.syncFileSystem,
    directory: walDirectoryOf(directory),
    engineId,
    checkpointLsn: walLsn,
    cut,
    damagedLsns: scanned.damagedLsns,
    pause: () => ports.clock.yield(),
  })
  return startWal(opening, recovered)
}

function startWal(
  { directory, ports, storage }: WalOpening,
  { fromLsn, durableLsn, endLsn, isCut = false }: WalRecovered,
): Promise<Wal> {
  const { engineId, epoch } = directory.manifest.state
  return storage.startWal({
    directory: walDirectoryOf(directory),
    engineId,
    epoch,
    recovered: { fromLsn, durableLsn, endLsn, isCut },
    fence: fenceOf(directory),
    measuresSyncs: measures(ports),
  })
}

function measures({ metrics }: EnginePorts): boolean {
  return metrics !== noMetrics
}

function fenceOf({ lock }: OpenedDirectory): WalFence | null {
  return lock === null
    ? null
    : { path: lock.path, text: lock.text, isStrict: lock.kind === 'lease' }
}

function walDirectoryOf({ dataDir }: OpenedDirectory): string {
  return `${dataDir}/${WAL_DIRECTORY}`
}

/**
 * The manifest learns where the WAL ends: the seal alone would go with the end of a file that is cut short. A writer
 * that was fenced meanwhile has nothing to say.
 */
async function noteReached(manifest: ManifestStore, durableLsn: number): Promise<void> {
  try {
    await manifest.commit(({ walReached }) =>
      durableLsn > (walReached ?? -1) ? [{ kind: 'wal-reached', walLsn: durableLsn }] : [],
    )
  } catch (error) {
    if (!isStratalogError(error) || error.code !== 'writer_fenced') throw error
  }
}
