/** From what lies in the WAL directory to a WAL that takes appends, and goes on by itself when the disk does. */
import { DISK_PROBE_BYTES } from '../format/limits.ts'
import type { Writer } from '../format/manifest.ts'
import { TEMPORARY_DIRECTORY, WAL_DIRECTORY } from '../format/paths.ts'
import type { AckQueue } from '../log/ack-queue.ts'
import type { DiskHealth } from '../log/disk-health.ts'
import type { Partition } from '../log/partition.ts'
import { ResumableWal } from '../log/resumable-wal.ts'
import type { WalFence } from '../log/wal-fence.ts'
import { type WalCut, recoverCut } from '../log/wal-cut.ts'
import type { WalRecovered, WalScanResult } from '../log/wal-scan.ts'
import { type Wal, createThreadWal } from '../log/wal.ts'
import { NodeSyncFileSystem } from '../storage/node-sync-file-system.ts'
import { probeDisk } from '../storage/probe-disk.ts'
import type { Closers } from './closers.ts'
import type { LogRegistry } from './log-registry.ts'
import type { OpenedDirectory } from './open-directory.ts'
import type { EnginePorts } from './ports.ts'
import { spawnWalThread } from './workers/spawn-wal-thread.ts'

export interface WalOpening {
  readonly directory: OpenedDirectory
  readonly writer: Writer
  readonly registry: LogRegistry
  readonly scanned: WalScanResult
  readonly acks: AckQueue<Partition>
  readonly disk: DiskHealth
  readonly ports: EnginePorts
  readonly closers: Closers
}

/** Starts the WAL thread behind what was scanned; its acknowledgements settle through `acks`. */
export async function openWal(opening: WalOpening): Promise<ResumableWal> {
  const { directory, registry, scanned, acks, disk, ports, closers } = opening
  const { dataDir, fileSystem } = directory
  const first = await startWal(directory, scanned)
  // The new file holds once more what was not proven durable.
  acks.settle(scanned.endLsn)
  const wal = new ResumableWal(first, {
    clock: ports.clock,
    disk,
    acks,
    logs: () => registry.all(),
    probe: () => probeDisk(fileSystem, `${dataDir}/${TEMPORARY_DIRECTORY}`, DISK_PROBE_BYTES),
    reopen: (cut) => reopenWal(opening, cut),
  })
  closers.push(() => wal.close())
  return wal
}

/** Continues the WAL where what is durable ends. */
async function reopenWal({ directory, writer, ports }: WalOpening, cut: WalCut): Promise<Wal> {
  const { manifest } = directory
  if (cut.isNewEpoch) {
    await manifest.claim(writer, manifest.state.engineId)
    await manifest.rebase()
  }
  const { engineId, walLsn } = manifest.state
  const recovered = await recoverCut({
    fileSystem: new NodeSyncFileSystem(),
    directory: walDirectoryOf(directory),
    engineId,
    checkpointLsn: walLsn,
    cut,
    pause: () => ports.clock.yield(),
  })
  return startWal(directory, recovered)
}

function startWal(
  directory: OpenedDirectory,
  { fromLsn, durableLsn, endLsn, isCut = false }: WalRecovered,
): Promise<Wal> {
  const { engineId, epoch } = directory.manifest.state
  return createThreadWal({
    directory: walDirectoryOf(directory),
    engineId,
    epoch,
    recovered: { fromLsn, durableLsn, endLsn, isCut },
    fence: fenceOf(directory),
    spawn: spawnWalThread,
  })
}

function fenceOf({ lock }: OpenedDirectory): WalFence | null {
  return lock === null
    ? null
    : { path: lock.path, text: lock.text, isStrict: lock.kind === 'lease' }
}

function walDirectoryOf({ dataDir }: OpenedDirectory): string {
  return `${dataDir}/${WAL_DIRECTORY}`
}
