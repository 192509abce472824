/** The WAL thread's composition root: real files under the state machine of `log/wal-thread.ts`. */
import { parentPort } from 'node:worker_threads'
import { present } from '../../base/assert.ts'
import { type WalThreadStart, runWalThread } from '../../log/wal-thread.ts'
import { NodeSyncFileSystem } from '../../storage/node-sync-file-system.ts'

const port = present(parentPort, 'the port of a worker')
port.once('message', (start: WalThreadStart) =>
  runWalThread(start, new NodeSyncFileSystem(), (message) => port.postMessage(message)),
)
