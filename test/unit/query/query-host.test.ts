import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import type { FromWorker, ToWorker } from '../../../src/query/protocol.ts'
import { ColumnCache } from '../../../src/query/column-cache.ts'
import { QueryHost } from '../../../src/query/query-host.ts'
import { NodeSyncFileSystem } from '../../../src/storage/node-sync-file-system.ts'

interface Worker {
  readonly send: (message: ToWorker) => void
  /** Resolves with the kinds of all messages so far, once one of this kind was posted. */
  readonly posted: (kind: FromWorker['kind']) => Promise<readonly FromWorker['kind'][]>
}

/** A host in this thread, with DuckDB open or about to be. */
function worker(): Worker {
  const kinds: FromWorker['kind'][] = []
  const waiters: (() => void)[] = []
  let receive: (message: ToWorker) => void = () => {}
  const post = (message: FromWorker): void => {
    kinds.push(message.kind)
    for (const wake of waiters.splice(0)) wake()
  }
  new QueryHost(
    { post, onMessage: (to) => void (receive = to) },
    {
      files: new NodeSyncFileSystem(),
      remote: null,
      kept: new ColumnCache(1e6),
    },
  )
  const posted: Worker['posted'] = async (kind) => {
    while (!kinds.includes(kind)) await new Promise<void>((resolve) => waiters.push(resolve))
    return kinds
  }
  receive({ kind: 'open', options: { threads: 2, memoryBytesMax: 2 ** 28 } })
  onTestFinished(async () => {
    receive({ kind: 'close' })
    await posted('closed')
  })
  return { send: (message) => receive(message), posted }
}

function bind(query: number): ToWorker {
  return { kind: 'bind', query, sql: 'SELECT 1', parameters: [], tables: [] }
}

test('a query that came before DuckDB was open ends before the worker says that it is closed', async () => {
  const { send, posted } = worker()
  send(bind(1))
  send({ kind: 'close' })
  expect(await posted('closed')).toEqual(['failed', 'closed'])
})

test('a query whose last rows are read ends before the worker says that it is closed', async () => {
  // The close comes this many turns of the event loop after the rows: before, during and after the query's own end.
  for (let turns = 0; turns < 12; turns++) {
    const { send, posted } = worker()
    send(bind(1))
    await posted('planned')
    send({ kind: 'run', query: 1, sources: [], rowsMax: 10, windowBytes: 1000 })
    await posted('chunk')
    for (let turn = 0; turn < turns; turn++) await nextTurn()
    send({ kind: 'close' })
    const kinds = await posted('closed')
    expect(kinds.slice(0, 3)).toEqual(['planned', 'header', 'chunk'])
    expect(kinds.at(-1)).toBe('closed')
    expect(kinds.at(-2)).toMatch(/^(?:done|failed)$/)
  }
})

test('a worker that closes takes no more queries', async () => {
  const { send, posted } = worker()
  send({ kind: 'close' })
  send(bind(1))
  expect(await posted('failed')).toEqual(['failed'])
  expect(await posted('closed')).toEqual(['failed', 'closed'])
})
