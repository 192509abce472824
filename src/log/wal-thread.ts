/**
 * What the WAL thread runs, and what it and the main thread say to each other. This file knows no
 * threads: `engine/workers` starts one and hands it over, so that `log` stays free of them.
 *
 * Data goes through the ring (`wal-ring.ts`); messages only wake: each says "look at the ring's control words again".
 */
import { type ClonedError, toClonedError } from '../base/cloned-error.ts'
import { systemClock } from '../base/clock.ts'
import { isStratalogError } from '../base/errors.ts'
import type { SyncFileSystem } from '../storage/file-system.ts'
import type { WalFence } from './wal-fence.ts'
import type { WalFileSizes } from './wal-files.ts'
import { RingConsumer } from './wal-ring.ts'
import type { WalRecovered } from './wal-scan.ts'
import { WalWriter } from './wal-writer.ts'

/** All that the thread is told; can be cloned. */
export interface WalThreadStart {
  readonly ring: SharedArrayBuffer
  readonly directory: string
  readonly engineId: string
  readonly epoch: number
  readonly recovered: WalRecovered
  readonly fence: WalFence | null
  readonly sizes: WalFileSizes
  readonly measuresSyncs: boolean
}

/** `opened` comes once and first; `progress` as often as the control words moved; `failed` once and last. */
export type WalThreadMessage =
  | { readonly kind: 'opened' }
  | { readonly kind: 'progress' }
  | { readonly kind: 'failed'; readonly failure: ClonedError }

export interface WalThreadListener {
  readonly onMessage: (message: WalThreadMessage) => void
  /** The thread has ended; with the error that nobody caught, if there was one. */
  readonly onEnd: (error: Error | null) => void
}

/**
 * A running WAL thread, seen from the main thread. It ends by itself after the ring was stopped, or after it failed.
 */
export interface WalThread {
  /** Lets the thread keep the process alive, or not: while something waits for it, it must. */
  setHoldsProcess(holds: boolean): void
}

export type SpawnWalThread = (start: WalThreadStart, listener: WalThreadListener) => WalThread

/** Runs the writer until the ring is stopped or something fails. Blocks the thread that calls it. */
export function runWalThread(
  start: WalThreadStart,
  fileSystem: SyncFileSystem,
  post: (message: WalThreadMessage) => void,
): void {
  const ring = new RingConsumer(start.ring)
  try {
    const writer = new WalWriter({
      ...start,
      ring,
      fileSystem,
      monotonic: start.measuresSyncs ? () => systemClock.monotonic() : null,
      onProgress: () => post({ kind: 'progress' }),
    })
    post({ kind: 'opened' })
    for (;;) {
      // Counted before looking for work: a signal that comes in between ends the sleep at once.
      const signals = ring.signals()
      if (writer.turn()) continue
      if (ring.isStopped()) break
      ring.sleep(signals)
    }
    writer.close()
  } catch (error) {
    if (!isStratalogError(error)) throw error
    post({ kind: 'failed', failure: toClonedError(error) })
  }
}
