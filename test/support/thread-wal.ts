/** A WAL on a real thread over small real files. */
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { SpawnWalThread } from '../../src/log/wal-thread.ts'
import { type WalScanResult, scanWal } from '../../src/log/wal-scan.ts'
import type { ThreadWalOptions } from '../../src/log/wal.ts'
import { NodeSyncFileSystem } from '../../src/storage/node-sync-file-system.ts'
import type { Trouble } from './troubled-wal-worker.ts'
import { ENGINE_ID, type ReadFrame } from './wal.ts'

const SIZES = { fileBytesMin: 64 * 1024, fileBytesMax: 1024 * 1024, zeroAheadBytes: 16 * 1024 }
/** As small as a ring can be: it is full and wraps all the time. */
const RING_BYTES = 4096

/** A thread whose files are slow or fail; it is put into `workers`, for whoever has to end it. */
export function troubledThread(trouble: Trouble, workers: Worker[]): SpawnWalThread {
  return (start, listener) => {
    const entry = new URL('troubled-wal-worker.ts', import.meta.url)
    const worker = new Worker(entry, { workerData: { start, trouble }, execArgv: [] })
    workers.push(worker)
    worker.on('message', listener.onMessage)
    worker.on('exit', () => listener.onEnd(null))
    return { setHoldsProcess: (holds) => (holds ? worker.ref() : worker.unref()) }
  }
}

export function threadWalOptions(root: string): Omit<ThreadWalOptions, 'spawn'> {
  return {
    directory: join(root, 'wal'),
    engineId: ENGINE_ID,
    epoch: 1,
    recovered: readThreadWal(root).result,
    ringBytes: RING_BYTES,
    sizes: SIZES,
  }
}

export function readThreadWal(
  root: string,
  fromLsn = 0,
): { result: WalScanResult; frames: ReadFrame[] } {
  const frames: ReadFrame[] = []
  const result = scanWal(new NodeSyncFileSystem(), join(root, 'wal'), {
    engineId: ENGINE_ID,
    fromLsn,
    onFrame: (frame, payload) => frames.push({ frame, payload: payload.slice() }),
  })
  return { result, frames }
}
