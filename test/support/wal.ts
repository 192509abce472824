/** A WAL in memory that moves only when told to, and frames to put into it. */
import type { WalFrame, WalFrameFields } from '../../src/format/wal-frame.ts'
import type { WalFence } from '../../src/log/wal-fence.ts'
import type { WalFileSizes } from '../../src/log/wal-files.ts'
import { type WalScanResult, scanWal } from '../../src/log/wal-scan.ts'
import { type Wal, createInlineWal } from '../../src/log/wal.ts'
import type { SyncFileSystem } from '../../src/storage/file-system.ts'

export const ENGINE_ID = 'engine-under-test'
export const WAL_DIRECTORY = 'wal'

/** Small enough that a few frames fill a file. */
export const SMALL_SIZES: WalFileSizes = {
  fileBytesMin: 1024,
  fileBytesMax: 8192,
  zeroAheadBytes: 512,
}

export const SMALL_RING_BYTES = 4096

export interface TestWal {
  readonly wal: Wal
  readonly recovered: WalScanResult
  readonly frames: readonly ReadFrame[]
  /** Runs what the WAL has scheduled, and what that schedules. */
  readonly run: () => void
}

export interface ReadFrame {
  readonly frame: WalFrame
  readonly payload: Uint8Array
}

export interface OpenTestWalOptions {
  readonly epoch?: number
  readonly fromLsn?: number
  readonly ringBytes?: number
  readonly sizes?: WalFileSizes
  readonly fence?: WalFence
  readonly measuresSyncs?: boolean
}

/** Scans what is there and continues it. */
export function openTestWal(fileSystem: SyncFileSystem, options: OpenTestWalOptions = {}): TestWal {
  const frames: ReadFrame[] = []
  const recovered = readTestWal(fileSystem, frames, options.fromLsn ?? 0)
  const turns: (() => void)[] = []
  const wal = createInlineWal({
    fileSystem,
    directory: WAL_DIRECTORY,
    engineId: ENGINE_ID,
    epoch: options.epoch ?? 1,
    fence: options.fence ?? null,
    recovered,
    ringBytes: options.ringBytes ?? SMALL_RING_BYTES,
    sizes: options.sizes ?? SMALL_SIZES,
    measuresSyncs: options.measuresSyncs ?? false,
    schedule: (turn) => turns.push(turn),
  })
  const run = (): void => {
    for (let turn = turns.shift(); turn !== undefined; turn = turns.shift()) turn()
  }
  return { wal, recovered, frames, run }
}

/** Reads all frames into `frames`, each with a payload of its own. */
export function readTestWal(
  fileSystem: SyncFileSystem,
  frames: ReadFrame[] = [],
  fromLsn = 0,
): WalScanResult {
  return scanWal(fileSystem, WAL_DIRECTORY, {
    engineId: ENGINE_ID,
    fromLsn,
    onFrame: (frame, payload) => frames.push({ frame, payload: payload.slice() }),
  })
}

export function appendFields(baseOffset: number, recordCount = 1): WalFrameFields {
  return {
    kind: 'append',
    logId: 7,
    partition: 3,
    baseOffset,
    recordCount,
    appendTime: 1_700_000_000_000 + baseOffset,
  }
}

/** `length` bytes that differ from frame to frame. */
export function testPayload(seed: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (seed * 31 + index * 7 + (index >> 8)) & 0xff)
}

export function appendPayload(wal: Wal, baseOffset: number, payload: Uint8Array): number {
  return wal.append(appendFields(baseOffset), payload.length, (into, position) =>
    into.set(payload, position),
  )
}

/** Closes while running the turns that closing needs. */
export async function closeTestWal({ wal, run }: TestWal): Promise<void> {
  let isClosed = false
  const closing = wal.close().then(() => {
    isClosed = true
  })
  while (!isClosed) {
    run()
    await Promise.resolve()
  }
  await closing
}
