/** How the thread of queries ends: DuckDB first, with all that queries left of it, and then the thread by itself. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { QUERY_WORKER_CLOSED } from '../../src/engine/workers/query-worker-state.ts'
import type { FromWorker, ToWorker } from '../../src/query/protocol.ts'

const ENTRY = new URL('../../src/engine/workers/query-worker.ts', import.meta.url)

test.each(['read to its end', 'read half way', 'failed', 'none'])(
  'a query worker that is told to close ends by itself, after a query that was: %s',
  async (how) => {
    const state = new Int32Array(new SharedArrayBuffer(4))
    const worker = new Worker(ENTRY, { workerData: { state }, execArgv: [] })
    const exit = once(worker, 'exit')
    const kinds: FromWorker['kind'][] = []
    const send = (message: ToWorker): void => worker.postMessage(message)
    const told = (kind: FromWorker['kind']): Promise<void> =>
      new Promise((resolve) => {
        worker.on('message', (message: FromWorker) => {
          if (message.kind === kind) resolve()
        })
      })
    worker.on('message', ({ kind }: FromWorker) => kinds.push(kind))
    send({ kind: 'open', options: { threads: 2, memoryBytesMax: 2 ** 28 } })
    if (how !== 'none') {
      const sql = how === 'failed' ? "SELECT error('no')" : 'SELECT * FROM range(100000)'
      const windowBytes = how === 'read half way' ? 1 : 1e9
      const last = told(how === 'failed' ? 'failed' : how === 'read half way' ? 'chunk' : 'done')
      send({ kind: 'bind', query: 1, sql, parameters: [], tables: [] })
      send({ kind: 'run', query: 1, sources: [], rowsMax: 1e9, bytesMax: Infinity, windowBytes })
      await last
    }
    send({ kind: 'close' })
    // 1 is what a thread that is terminated ends with.
    expect(await exit).toEqual([0])
    expect(kinds.at(-1)).toBe('closed')
    expect(Atomics.load(state, 0)).toBe(QUERY_WORKER_CLOSED)
  },
)
