/**
 * The WAL thread over real files that are slow at random, or whose sync fails when told to. For tests of the threads.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { present } from '../../src/base/assert.ts'
import { StratalogError } from '../../src/base/errors.ts'
import { type Random, seededRandom } from '../../src/base/random.ts'
import { type WalThreadStart, runWalThread } from '../../src/log/wal-thread.ts'
import type { SyncFile, SyncFileSystem } from '../../src/storage/file-system.ts'
import { NodeSyncFileSystem } from '../../src/storage/node-sync-file-system.ts'

export interface Trouble {
  readonly seed: number
  /** Syncs that succeed before one fails; null when none does. */
  readonly goodSyncs: number | null
}

const { start, trouble } = workerData as { start: WalThreadStart; trouble: Trouble }
const random = seededRandom(trouble.seed)
let syncs = 0

/** Nothing, a little, or long enough for the other thread to fall asleep. */
function pause(source: Random): void {
  const choice = source.uint32() % 8
  if (choice === 0)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, source.uint32() % 3)
  else if (choice < 4) for (let spin = source.uint32() % 20_000; spin > 0; spin--);
}

class TroubledFile implements SyncFile {
  readonly #file: SyncFile

  constructor(file: SyncFile) {
    this.#file = file
  }
  length(): number {
    return this.#file.length()
  }
  write(bytes: Uint8Array, position: number): void {
    pause(random)
    this.#file.write(bytes, position)
    pause(random)
  }
  read(into: Uint8Array, position: number): number {
    return this.#file.read(into, position)
  }
  dataSync(): void {
    pause(random)
    if (trouble.goodSyncs !== null && syncs++ >= trouble.goodSyncs) {
      throw new StratalogError('file_system_failed', 'EIO: i/o error, fdatasync', {
        details: { errno: 'EIO' },
      })
    }
  }
  sync(): void {
    this.#file.sync()
  }
  close(): void {
    this.#file.close()
  }
}

const files: SyncFileSystem = new NodeSyncFileSystem()
const troubled: SyncFileSystem = {
  open: (path, how) => new TroubledFile(files.open(path, how)),
  rename: (from, to) => files.rename(from, to),
  remove: (path) => files.remove(path),
  list: (path) => files.list(path),
  makeDirectory: (path) => files.makeDirectory(path),
  syncDirectory: (path) => files.syncDirectory(path),
}

const port = present(parentPort, 'the port of a worker')
runWalThread(start, troubled, (message) => port.postMessage(message))
