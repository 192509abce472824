import { Worker } from 'node:worker_threads'
import type { FromWorker, ToWorker, WorkerChannel } from '../../query/protocol.ts'

/**
 * Node waits for a worker inside a call into DuckDB before it ends, for as long as that takes. So a process that exits
 * in the middle of a query first has the query interrupted, and gives that this long.
 */
const EXIT_ATTEMPTS = 4
const EXIT_ATTEMPT_MS = 50

/** Starts a query worker. It does not keep the process alive until `setActive` says so. */
export function spawnQueryWorker(): WorkerChannel {
  // From source the entry is TypeScript, from dist JavaScript, like this file.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const isClosed = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(new URL(`query-worker.${extension}`, import.meta.url), {
    name: 'query',
    workerData: { isClosed },
    // Some flags of the process, such as --input-type, keep a worker from starting.
    execArgv: [],
  })
  let error: Error | null = null
  worker.on('error', (cause: unknown) => {
    error = cause instanceof Error ? cause : new Error(String(cause))
  })
  const onProcessExit = (): void => closeAndWait(worker, isClosed)
  process.on('exit', onProcessExit)
  worker.on('exit', () => process.off('exit', onProcessExit))
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

/** Blocks this thread, which has nothing left to do. Repeats, as an interrupt between two calls into DuckDB is lost. */
function closeAndWait(worker: Worker, isClosed: Int32Array): void {
  const close: ToWorker = { kind: 'close' }
  for (let attempt = 0; attempt < EXIT_ATTEMPTS && Atomics.load(isClosed, 0) === 0; attempt++) {
    worker.postMessage(close)
    Atomics.wait(isClosed, 0, 0, EXIT_ATTEMPT_MS)
  }
}
