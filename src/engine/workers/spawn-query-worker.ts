import { Worker } from 'node:worker_threads'
import { systemClock } from '../../base/clock.ts'
import type { FromWorker, ToWorker, WorkerChannel } from '../../query/protocol.ts'
import { QUERY_WORKER_LOADING, QUERY_WORKER_RUNNING } from './query-worker-state.ts'
import { endOfWorker } from './worker-end.ts'

/**
 * Node waits for a worker inside a call into DuckDB before it ends, for as long as that takes, and one that it ends
 * between two calls takes the process with it (SIGABRT). So a process that exits in the middle of a query first has the
 * query interrupted, and gives that this long: some ms, and seconds on a machine that does much else.
 */
const EXIT_ATTEMPTS = 100
const EXIT_ATTEMPT_MS = 50

/** One that is still loading DuckDB hears nothing, and would take the process with it: that ends soon. */
const LOADING_MS_MAX = 5_000

/** The workers of this process, each with its state. */
const running = new Map<Worker, Int32Array>()

/** Starts a query worker. It does not keep the process alive until `setActive` says so. */
export function spawnQueryWorker(): WorkerChannel {
  // From source the entry is TypeScript, from dist JavaScript, like this file.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const state = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(new URL(`query-worker.${extension}`, import.meta.url), {
    name: 'query',
    workerData: { state },
    // Some flags of the process, such as --input-type, keep a worker from starting.
    execArgv: [],
  })
  let error: Error | null = null
  worker.on('error', (cause: unknown) => {
    error = cause instanceof Error ? cause : new Error(String(cause))
  })
  if (running.size === 0) process.on('exit', closeAllAndWait)
  running.set(worker, state)
  const exited = new Promise<void>((resolve) => {
    worker.on('exit', () => {
      running.delete(worker)
      if (running.size === 0) process.off('exit', closeAllAndWait)
      resolve()
    })
  })
  worker.unref()
  return {
    post: (message, transfer) => worker.postMessage(message, transfer),
    onMessage: (receive) => worker.on('message', (message: FromWorker) => receive(message)),
    // It may have ended before anybody listened.
    onExit: (listener) => void exited.then(() => listener(error)),
    setActive: (isActive) => (isActive ? worker.ref() : worker.unref()),
    terminate: () => endOfWorker(worker, exited, systemClock),
    kill: null,
  }
}

/** Blocks this thread, which has nothing left to do. Repeats, as an interrupt between two calls into DuckDB is lost. */
function closeAllAndWait(): void {
  const close: ToWorker = { kind: 'close' }
  for (const state of running.values()) Atomics.wait(state, 0, QUERY_WORKER_LOADING, LOADING_MS_MAX)
  for (let attempt = 0; attempt < EXIT_ATTEMPTS; attempt++) {
    const open = [...running].filter(([, state]) => Atomics.load(state, 0) === QUERY_WORKER_RUNNING)
    for (const [worker] of open) worker.postMessage(close)
    for (const [, state] of open) Atomics.wait(state, 0, QUERY_WORKER_RUNNING, EXIT_ATTEMPT_MS)
  }
}
