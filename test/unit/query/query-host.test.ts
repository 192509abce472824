import { existsSync, readdirSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { FromWorker, ToWorker } from '../../../src/query/protocol.ts'
import { ColumnCache } from '../../../src/query/column-cache.ts'
import { QueryHost } from '../../../src/query/query-host.ts'
import { NodeSyncFileSystem } from '../../../src/storage/node-sync-file-system.ts'
import { eventually } from '../../support/eventually.ts'

interface Worker {
  readonly send: (message: ToWorker) => void
  /** Resolves with the kinds of all messages so far, once one of this kind was posted. */
  readonly posted: (kind: FromWorker['kind']) => Promise<readonly FromWorker['kind'][]>
}

/** A host in this thread, with DuckDB open or about to be. */
function worker(threads = 2): Worker {
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
  receive({ kind: 'open', options: { threads, memoryBytesMax: 2 ** 28 } })
  onTestFinished(async () => {
    receive({ kind: 'close' })
    await posted('closed')
  })
  return { send: (message) => receive(message), posted }
}

function bind(query: number, sql = 'SELECT 1'): ToWorker {
  return { kind: 'bind', query, sql, parameters: [], tables: [] }
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
    send({ kind: 'run', query: 1, sources: [], rowsMax: 10, bytesMax: Infinity, windowBytes: 1000 })
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

const TASKS = '/proc/self/task'

// What outlives a closed database is torn down with its thread: in no order, and while others may call into it.
describe.runIf(existsSync(TASKS))('a worker that says that it is closed', () => {
  const threads = (): number => readdirSync(TASKS).length
  const FAILS_LATE = "SELECT CASE WHEN range > 50000 THEN error('no') END FROM range(1000000)"

  test.each([
    ['was read to its end', 'SELECT * FROM range(10000)', 1e9, 'done'],
    ['failed', "SELECT error('no')", 1e9, 'failed'],
    ['failed after its first rows', FAILS_LATE, 1e9, 'failed'],
    ['was read half way', 'SELECT * FROM range(10000000)', 5000, 'failed'],
  ] as const)('has no thread of DuckDB left of a query that %s', async (_, sql, rowsMax, last) => {
    const { send, posted } = worker(16)
    send(bind(1, sql))
    send({ kind: 'run', query: 1, sources: [], rowsMax, bytesMax: Infinity, windowBytes: 1e9 })
    await posted(last)
    const open = threads()
    send({ kind: 'close' })
    await posted('closed')
    await eventually(() => expect(threads()).toBeLessThanOrEqual(open - 10))
  })
})

/** Those that other threads use to call into this one. */
function asyncHandles(): number {
  const { libuv } = process.report.getReport() as { libuv: readonly { readonly type: string }[] }
  return libuv.filter(({ type }) => type === 'async').length
}

test('a closed database keeps no way to call into the thread', async () => {
  const { send, posted } = worker()
  send(bind(1))
  await posted('planned')
  const open = asyncHandles()
  send({ kind: 'close' })
  await posted('closed')
  // One for each callback of the function that reads tables.
  await eventually(() => expect(asyncHandles()).toBeLessThanOrEqual(open - 4))
})
