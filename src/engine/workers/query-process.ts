/**
 * The query process's entry: runs DuckDB for one query at a time, until it is killed. It ends with the process that
 * started it, however that ends, and looks after its own memory.
 */
import process from 'node:process'
import { systemClock } from '../../base/clock.ts'
import type { FromChild } from '../../query/child/child-protocol.ts'
import { ColumnCache } from '../../query/column-cache.ts'
import { HotColumns } from '../../query/child/hot-columns.ts'
import { joinPieces, packColumns } from '../../query/child/packed-columns.ts'
import type { FromWorker, ToWorker, WorkerError } from '../../query/protocol.ts'
import { QueryHost } from '../../query/query-host.ts'
import { NodeSyncFileSystem } from '../../storage/node-sync-file-system.ts'
import { NodeSyncPipe } from '../../storage/node-sync-pipe.ts'
import { environmentVariables } from '../environment.ts'
import { MEMORY_VARIABLE, type ProcessMemory } from './process-memory.ts'

const WATCH_INTERVAL_MS = 20
/** Beside the pipe for messages, which is 3. */
const COLUMN_PIPE = 4

const memory = JSON.parse(environmentVariables()[MEMORY_VARIABLE] ?? '') as ProcessMemory
const columns = new NodeSyncPipe(COLUMN_PIPE)
const kept = new ColumnCache(memory.keptBytesMax)

/** DuckDB's threads may be at work, so nothing is tidied up. */
function die(): void {
  process.kill(process.pid, 'SIGKILL')
}

function send(message: FromChild, sent: () => void = () => {}): void {
  process.send?.(message, undefined, undefined, sent)
}

/** Rows go as one run of bytes. */
function packed(message: FromWorker): FromChild {
  if (message.kind !== 'chunk') return message
  const { query, chunk, bytes } = message
  const columns = packColumns(chunk.columns)
  const { plans } = columns
  return { kind: 'packed', query, length: chunk.length, plans, packed: joinPieces(columns), bytes }
}

function watchMemory(): void {
  const { usedBytesMax } = memory
  if (process.memoryUsage.rss() <= usedBytesMax) {
    systemClock.setTimer(WATCH_INTERVAL_MS, watchMemory)
    return
  }
  const message = `The query took more than the ${usedBytesMax} bytes of memory that its process may have.`
  const error: WorkerError = { code: 'query_limit', message, details: { maxBytes: usedBytesMax } }
  send({ kind: 'ending', error }, die)
}

function dieOf({ message }: Error): void {
  send({ kind: 'ending', error: { code: 'query_failed', message, details: {} } }, die)
}

// Signals of a terminal or a supervisor reach every process of a group; the one that started this ends it in its time.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {})
process.on('disconnect', die)
process.on('uncaughtException', dieOf)
watchMemory()

new QueryHost(
  {
    post: (message) => send(packed(message)),
    onMessage: (receive) => process.on('message', (message) => receive(message as ToWorker)),
  },
  { files: new NodeSyncFileSystem(), remote: new HotColumns(columns, kept), kept },
)
