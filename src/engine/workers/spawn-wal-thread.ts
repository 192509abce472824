/** Starts the WAL thread as a worker of this process. */
import { Worker } from 'node:worker_threads'
import type { SpawnWalThread } from '../../log/wal-thread.ts'

/** Named as this file is: `.ts` when run from source, `.js` when built. */
const ENTRY = new URL(
  import.meta.url.endsWith('.ts') ? './wal-worker.ts' : './wal-worker.js',
  import.meta.url,
)

export const spawnWalThread: SpawnWalThread = (start, listener) => {
  const worker = new Worker(ENTRY, { workerData: start, name: 'stratalog-wal', execArgv: [] })
  let uncaught: Error | null = null
  worker.on('message', listener.onMessage)
  worker.on('error', (error) => {
    uncaught = error
  })
  worker.on('exit', () => listener.onEnd(uncaught))
  return {
    setHoldsProcess: (holds) => {
      if (holds) worker.ref()
      else worker.unref()
    },
  }
}
