/** The query worker's entry: builds its own ports and runs DuckDB until it is told to close. */
import { parentPort } from 'node:worker_threads'
import { present } from '../../base/assert.ts'
import type { ToWorker } from '../../query/protocol.ts'
import { QueryHost } from '../../query/query-host.ts'
import { NodeSyncFileSystem } from '../../storage/node-sync-file-system.ts'

const port = present(parentPort, 'the port to the thread that started this worker')

new QueryHost(
  {
    post: (message, transfer) => port.postMessage(message, transfer),
    onMessage: (receive) => port.on('message', (message: ToWorker) => receive(message)),
  },
  new NodeSyncFileSystem(),
)
