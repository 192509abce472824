import { Worker } from 'node:worker_threads'
import type { FromWorker, WorkerChannel } from '../../query/protocol.ts'

/** Starts a query worker. It does not keep the process alive until `setActive` says so. */
export function spawnQueryWorker(): WorkerChannel {
  // From source the entry is TypeScript, from dist JavaScript, like this file.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const worker = new Worker(new URL(`query-worker.${extension}`, import.meta.url), {
    name: 'query',
  })
  let error: Error | null = null
  worker.on('error', (cause: unknown) => {
    error = cause instanceof Error ? cause : new Error(String(cause))
  })
  return {
    post: (message, transfer) => worker.postMessage(message, transfer),
    onMessage: (receive) => worker.on('message', (message: FromWorker) => receive(message)),
    onExit: (exited) => worker.on('exit', () => exited(error)),
    setActive: (isActive) => (isActive ? worker.ref() : worker.unref()),
    terminate: async () => {
      await worker.terminate()
    },
  }
}
