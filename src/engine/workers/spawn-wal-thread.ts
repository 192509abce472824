/** Starts the WAL thread as a worker of this process. */
import { Worker } from 'node:worker_threads'
import type { SpawnWalThread } from '../../log/wal-thread.ts'

/** Named as this file is: `.ts` when run from source, `.js` when built. */
const ENTRY = new URL(
  import.meta.url.endsWith('.ts') ? './wal-worker.ts' : './wal-worker.js',
  import.meta.url,
)

export const spawnWalThread: SpawnWalThread = (start, listener) =>
  new WaitingWalThread().spawn(start, listener)

/**
 * A thread that loads what a WAL's writer runs on, and waits to be told of its WAL: loading takes longer than reading a
 * WAL of some megabytes. It does not keep the process alive before it is told.
 */
export class WaitingWalThread {
  readonly #worker = new Worker(ENTRY, { name: 'stratalog-wal', execArgv: [] })
  #uncaught: Error | null = null
  #hasEnded = false
  #isTaken = false

  constructor() {
    this.#worker.unref()
    this.#worker.on('error', (error: unknown) => {
      this.#uncaught = error instanceof Error ? error : new Error(String(error))
    })
    this.#worker.on('exit', () => {
      this.#hasEnded = true
    })
  }

  /** Once. */
  readonly spawn: SpawnWalThread = (start, listener) => {
    const worker = this.#worker
    this.#isTaken = true
    worker.on('message', listener.onMessage)
    const end = (): void => listener.onEnd(this.#uncaught)
    if (this.#hasEnded) queueMicrotask(end)
    else worker.on('exit', end)
    worker.ref()
    worker.postMessage(start)
    return {
      setHoldsProcess: (holds) => {
        if (holds) worker.ref()
        else worker.unref()
      },
    }
  }

  /** Ends it, unless it was told of a WAL: then it ends with that. */
  async end(): Promise<void> {
    if (!this.#isTaken) await this.#worker.terminate()
  }
}
