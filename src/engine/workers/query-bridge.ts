/**
 * The bridge's entry: starts the query process, and ends with it. The process ends with this thread, as its pipes do.
 *
 * What DuckDB allocates by itself, such as the text of `repeat`, its own limit does not see. So the system bounds the
 * memory of the process, where there is a shell that can say so: an allocation beyond fails, and with it the query.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Duplex } from 'node:stream'
import { parentPort, workerData } from 'node:worker_threads'
import { present } from '../../base/assert.ts'
import { systemClock } from '../../base/clock.ts'
import type { FromBridge, FromChild, ToBridge } from '../../query/child/child-protocol.ts'
import { RequestReader } from '../../query/child/column-frames.ts'
import { QueryBridge } from '../../query/child/query-bridge.ts'
import { onProcessEnd } from './process-end.ts'
import { MEMORY_VARIABLE } from './process-memory.ts'
import type { BridgeData } from './spawn-query-process.ts'

const SHELL = '/bin/sh'
const HAS_SHELL = process.platform !== 'win32'
/** In KiB. A shell that cannot set it runs the program all the same. */
const LIMITED = 'ulimit -d "$0" 2>/dev/null; exec "$@"'
/** Where the process finds its pipe for columns; 3 is for messages. */
const COLUMN_PIPE = 4

const port = present(parentPort, 'the port to the thread that started this worker')
const { entry, environment, memory } = workerData as BridgeData

function start(): ChildProcess {
  const program = [process.execPath, entry]
  const [command = '', ...args] = HAS_SHELL
    ? [SHELL, '-c', LIMITED, String(Math.floor(memory.dataBytesMax / 1024)), ...program]
    : program
  return spawn(command, args, {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc', 'pipe'],
    serialization: 'advanced',
    env: { ...environment, [MEMORY_VARIABLE]: JSON.stringify(memory) },
  })
}

const child = start()
const columns = child.stdio[COLUMN_PIPE] as Duplex
const post = (message: FromBridge, transfer: readonly ArrayBuffer[] = []): void =>
  port.postMessage(message, transfer)
const bridge = new QueryBridge({
  toMain: post,
  // A process that is gone says so by its exit.
  toChild: (message) => void child.send(message, () => {}),
  answer: (pieces) => {
    columns.cork()
    for (const piece of pieces) if (piece.byteLength > 0) columns.write(piece)
    columns.uncork()
  },
  kill: () => void child.kill('SIGKILL'),
})

const requests = new RequestReader()
columns.on('data', (bytes: Uint8Array) => {
  for (const request of requests.push(bytes)) bridge.answer(request)
})
columns.on('error', () => {})
child.on('message', (message) => bridge.receiveFromChild(message as FromChild))
port.on('message', (message: ToBridge) => bridge.receive(message))
onProcessEnd(child, systemClock, (status, signal) => {
  post({ kind: 'exited', status, signal })
  port.close()
})
