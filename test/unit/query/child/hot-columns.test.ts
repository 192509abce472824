import { expect, test } from 'vitest'
import { present } from '../../../../src/base/assert.ts'
import { columnReader } from '../../../../src/format/column-values.ts'
import { columnBytes } from '../../../../src/format/column.ts'
import type { FromBridge } from '../../../../src/query/child/child-protocol.ts'
import { RequestReader } from '../../../../src/query/child/column-frames.ts'
import { ColumnCache } from '../../../../src/query/column-cache.ts'
import { HotColumns } from '../../../../src/query/child/hot-columns.ts'
import { QueryBridge } from '../../../../src/query/child/query-bridge.ts'
import type { RemoteBatchSource, ScanSource, ToWorker } from '../../../../src/query/protocol.ts'
import { expectError } from '../../../support/expect-error.ts'
import { sampleBatch, sampleSchema } from '../../../support/sample-batches.ts'

const SCHEMA = sampleSchema({ id: 'int32', name: 'utf8' })
const ROWS = Array.from({ length: 100 }, (_, id) => ({ id, name: `name ${id}` }))

/** The two ends of a bridge without the processes between them. */
function bridged(bytesMax: number): {
  readonly columns: HotColumns
  readonly kept: ColumnCache
  readonly bridge: QueryBridge
  /** What was asked for, by query. */
  readonly asked: string[]
  /** Runs a query over batches; returns its sources as the process sees them. */
  readonly run: (query: number, keys: readonly (number | undefined)[]) => RemoteBatchSource[]
  readonly toMain: FromBridge[]
} {
  const asked: string[] = []
  const toMain: FromBridge[] = []
  let answers = Buffer.alloc(0)
  let sources: readonly ScanSource[] = []
  const bridge = new QueryBridge({
    toMain: (message) => void toMain.push(message),
    toChild: (message) => {
      if (message.kind === 'run') sources = message.sources.flat()
    },
    answer: (pieces) => void (answers = Buffer.concat([answers, ...pieces])),
    kill: () => {},
  })
  const requests = new RequestReader()
  const kept = new ColumnCache(bytesMax)
  const columns = new HotColumns(
    {
      write: (bytes) => {
        for (const request of requests.push(bytes)) {
          asked.push(`${request.query}: ${request.reference}/${request.positions.join()}`)
          bridge.answer(request)
        }
      },
      read: (bytes) => {
        answers.copy(bytes, 0, 0, bytes.length)
        answers = answers.subarray(bytes.length)
      },
    },
    kept,
  )
  return {
    columns,
    kept,
    bridge,
    asked,
    toMain,
    run: (query, keys) => {
      const table = keys.map((key) => ({
        kind: 'batch' as const,
        id: 'x',
        partition: 0,
        batch: sampleBatch(SCHEMA, ROWS, { shared: true }),
        ...(key === undefined ? {} : { key }),
      }))
      const message: ToWorker = {
        kind: 'run',
        query,
        sources: [table],
        rowsMax: Infinity,
        bytesMax: Infinity,
        windowBytes: 1,
      }
      bridge.receive(message)
      return sources as RemoteBatchSource[]
    },
  }
}

test('a sealed batch comes once, column by column, and an open one each time', () => {
  const { columns, asked, run } = bridged(1e6)
  for (const query of [1, 2]) {
    for (const source of run(query, [7, undefined])) {
      const [names] = columns.columns(source, [1])
      if (names === undefined) throw new Error('a column')
      expect(names.length).toBe(100)
      expect(columnReader(names)(99)).toBe('name 99')
      const [ids, again] = columns.columns(source, [0, 1])
      expect([ids?.type, again?.type]).toEqual(['int32', 'utf8'])
    }
  }
  expect(asked).toEqual(['1: 0/1', '1: 0/0', '1: 1/1', '1: 1/0,1', '2: 1/1', '2: 1/0,1'])
})

test('what is kept has a budget, and the least recently used goes first', () => {
  const batch = sampleBatch(SCHEMA, ROWS)
  const bytes = columnBytes(present(batch.columns[0], 'a column'))
  const { columns, kept, asked, run } = bridged(bytes * 2)
  let query = 0
  const read = (...keys: readonly number[]): void => {
    for (const source of run(++query, keys)) columns.columns(source, [0])
  }
  read(1, 2)
  read(1)
  read(3)
  read(1)
  read(2)
  expect(asked).toEqual(['1: 0/0', '1: 1/0', '3: 0/0', '5: 0/0'])
  // More than there is room for: the first of them are there the next time.
  asked.length = 0
  read(4, 5, 6)
  read(4, 5, 6)
  expect(asked).toEqual(['6: 0/0', '6: 1/0', '6: 2/0', '7: 2/0'])
  expect(kept.bytes).toBe(bytes * 2)
  // A column that has no room alone is read and not kept.
  for (const source of run(++query, [7])) columns.columns(source, [1])
  expect(kept.bytes).toBe(bytes * 2)
})

test('what is kept of an answer holds no more memory than it counts', () => {
  const { columns, run } = bridged(1e6)
  const [source] = run(1, [7])
  const answer = columns.columns(present(source, 'a source'), [0, 1])
  const held = new Set(
    answer.flatMap(({ values, offsets, validity }) =>
      [values, offsets, validity].flatMap((view) => (view === null ? [] : [view.buffer])),
    ),
  )
  expect(held.size).toBe(2)
  for (const column of answer) {
    // Buffers begin at multiples of 8.
    expect(column.values.buffer.byteLength - columnBytes(column)).toBeLessThan(24)
  }
})

test('a query that has ended gets nothing more', async () => {
  const { columns, bridge, run, toMain } = bridged(1e6)
  const [source] = run(1, [undefined])
  if (source === undefined) throw new Error('a source')
  const done = { records: 0, bytes: 0 }
  bridge.receiveFromChild({
    kind: 'done',
    query: 1,
    reads: { memory: done, disk: done, object: done },
  })
  expect(toMain.map(({ kind }) => kind)).toEqual(['done'])
  await expectError((async () => columns.columns(source, [0]))(), 'aborted')
})
