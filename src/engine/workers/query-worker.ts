/** The query worker's entry: builds its own ports and runs DuckDB until it is told to close. */
import { parentPort, workerData } from 'node:worker_threads'
import { present } from '../../base/assert.ts'
import { systemClock } from '../../base/clock.ts'
import { ColumnCache } from '../../query/column-cache.ts'
import type { ToWorker } from '../../query/protocol.ts'
import { QueryHost } from '../../query/query-host.ts'
import { NodeSyncFileSystem } from '../../storage/node-sync-file-system.ts'
import { KEPT_BYTES_MAX } from './process-memory.ts'
import { QUERY_WORKER_CLOSED, QUERY_WORKER_RUNNING } from './query-worker-state.ts'

const port = present(parentPort, 'the port to the thread that started this worker')
const { state } = workerData as { readonly state: Int32Array }

/** Tells the thread that started this worker, even while that one is blocked. */
function setState(value: number): void {
  Atomics.store(state, 0, value)
  Atomics.notify(state, 0)
}

const host = new QueryHost(
  {
    post: (message, transfer) => {
      port.postMessage(message, transfer)
      if (message.kind !== 'closed') return
      setState(QUERY_WORKER_CLOSED)
      // Nothing else keeps this thread, so it ends now.
      port.close()
    },
    onMessage: (receive) => port.on('message', (message: ToWorker) => receive(message)),
  },
  { files: new NodeSyncFileSystem(), remote: null, kept: new ColumnCache(KEPT_BYTES_MAX) },
)

setState(QUERY_WORKER_RUNNING)

const INTERRUPT_INTERVAL_MS = 50

/** DuckDB's threads call into this one: were it to end under them, the process would abort. So queries end first. */
async function endWith(error: Error): Promise<never> {
  const interrupt = (): void => {
    void host.fail()
    systemClock.setTimer(INTERRUPT_INTERVAL_MS, interrupt)
  }
  interrupt()
  await host.fail()
  throw error
}

// The rejection is caught by nobody, so then the thread ends with the error.
process.once('uncaughtException', (error) => void endWith(error))
