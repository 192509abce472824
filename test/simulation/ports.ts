/** The ports that an engine in a simulated process gets: all that it has of the world. */
import { silentLogger } from '../../src/base/logger.ts'
import { noMetrics } from '../../src/base/metrics.ts'
import { StratalogError } from '../../src/base/errors.ts'
import type { EnginePorts } from '../../src/engine/ports.ts'
import type { StoragePorts } from '../../src/engine/storage-ports.ts'
import type { WalFileSizes } from '../../src/log/wal-files.ts'
import { createInlineWal } from '../../src/log/wal.ts'
import { inlineEncoder } from '../../src/tiering/segment-encoder.ts'
import { openObjectStore, overNetwork } from '../../src/storage/open-object-store.ts'
import { SimulatedClock } from './clock.ts'
import { SimulatedFileSystem } from './file-system.ts'
import { SimulatedObjectStore } from './object-store.ts'
import type { SimulatedProcess } from './process.ts'
import { SimulatedSyncFileSystem } from './sync-file-system.ts'
import type { World } from './world.ts'

export const DATA_DIR = '/data'

/** What the harness watches of an engine's WALs. */
export interface WalWatch {
  /** A WAL of a new epoch takes appends. */
  readonly started: () => void
  readonly syncFailed: () => void
}

export const NOT_WATCHED: WalWatch = { started: () => {}, syncFailed: () => {} }

export interface WalShape {
  readonly ringBytes: number
  readonly sizes: WalFileSizes
}

export function simulatedPorts(
  world: World,
  process: SimulatedProcess,
  shape: WalShape,
  watch: WalWatch,
): EnginePorts {
  const clock = new SimulatedClock(process, world)
  const random = world.engineRandom()
  const fileSystem = new SimulatedFileSystem(world, process, DATA_DIR)
  const syncFileSystem = new SimulatedSyncFileSystem(world, process, DATA_DIR, watch.syncFailed)
  const ports = { clock, random, logger: silentLogger, metrics: noMetrics }
  // The thread wakes after a while, and a turn of it takes a while; both are one delay here.
  const schedule = (turn: () => void): void => {
    process.after(world.faults.latencyMs('wal'), turn)
  }
  const storage: StoragePorts = {
    processName: { pid: process.number, host: 'simulated' },
    fileSystem,
    temporaryDirectory: () => Promise.reject(new StratalogError('internal', 'there is none')),
    syncFileSystem,
    startWal: async (options) => {
      const wal = createInlineWal({ ...options, ...shape, fileSystem: syncFileSystem, schedule })
      watch.started()
      return wal
    },
    prepareWal: () => ({ end: async () => {} }),
    encoder: inlineEncoder,
    lockDirectory: async (path, _holder, writerId) => {
      if (!world.tryLock(path, process)) {
        throw new StratalogError('directory_in_use', `${path} is held by another process.`)
      }
      // Before the WAL is read: who looks at the file later than a successor finds the successor.
      const { disk } = process
      const file = disk.find(path) === null ? disk.create(path) : disk.file(path)
      file.write(Buffer.from(writerId), 0)
      file.sync()
      return {
        path,
        text: writerId,
        kind: 'kernel' as const,
        isHeld: () => world.lockHolder(path, process.disk) === process,
        release: async () => world.unlock(path, process),
      }
    },
    currentLockHolder: (path) => {
      const holder = world.lockHolder(path, process.disk)
      return holder === null ? null : { pid: holder.number, host: 'simulated', since: '' }
    },
    openObjectStore: async (url, options) =>
      url.startsWith('s3:')
        ? overNetwork(new SimulatedObjectStore(url, world, process), options)
        : openObjectStore(url, { ...options, fileSystem }),
  }
  return { ...ports, storage, onRecovery: () => {} }
}
