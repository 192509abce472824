/** The storage ports of this machine: its files, a thread for each WAL and one for segments, kernel locks, S3. */
import { createThreadWal } from '../log/wal.ts'
import { currentLockHolder, lockDirectory } from '../storage/directory-lock.ts'
import { NodeFileSystem } from '../storage/node-file-system.ts'
import { NodeSyncFileSystem } from '../storage/node-sync-file-system.ts'
import { openObjectStore } from '../storage/open-object-store.ts'
import { ThreadedEncoder } from '../tiering/threaded-encoder.ts'
import { environmentVariables, processId } from './environment.ts'
import { hostName, temporaryDirectory } from './host.ts'
import type { EnginePorts } from './ports.ts'
import type { StoragePorts } from './storage-ports.ts'
import { spawnEncoder } from './workers/spawn-encoder.ts'
import { WaitingWalThread, spawnWalThread } from './workers/spawn-wal-thread.ts'

/** What the engine was given, else the machine's own. */
export function storageOf({ storage }: Pick<EnginePorts, 'storage'>): StoragePorts {
  return storage ?? systemStorage()
}

function systemStorage(): StoragePorts {
  const fileSystem = new NodeFileSystem()
  let waiting: WaitingWalThread | null = null
  return {
    processName: { pid: processId(), host: hostName() },
    fileSystem,
    temporaryDirectory,
    syncFileSystem: new NodeSyncFileSystem(),
    startWal: (options) => {
      const spawn = waiting?.spawn ?? spawnWalThread
      waiting = null
      return createThreadWal({ ...options, spawn })
    },
    prepareWal: () => (waiting = new WaitingWalThread()),
    encoder: (clock) => new ThreadedEncoder(spawnEncoder, clock),
    lockDirectory,
    currentLockHolder,
    openObjectStore: (url, options) =>
      openObjectStore(url, { ...options, fileSystem, environment: environmentVariables() }),
  }
}
