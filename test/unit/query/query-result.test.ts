import { expect, test } from 'vitest'
import type { ResultChunk } from '../../../src/query/protocol.ts'
import { QueryResult, type ResultSource } from '../../../src/query/query-result.ts'
import { expectError } from '../../support/expect-error.ts'

const MIB = 1024 ** 2

/** Chunks of so many bytes each, which are the same memory. */
function result(bytes: number, count: number, collectedBytesMax?: number): QueryResult {
  const values = new Uint8Array(bytes)
  const column = { type: 'int8', length: 1, nullCount: 0, validity: null, offsets: null } as const
  const chunk: ResultChunk = { length: 1, columns: [{ ...column, values, dictionary: null }] }
  let given = 0
  const source: ResultSource = {
    next: async () => (given++ < count ? chunk : null),
    cancel: async () => {},
    stats: Promise.reject(new Error('nobody asks')),
    ...(collectedBytesMax === undefined ? {} : { collectedBytesMax }),
  }
  source.stats.catch(() => {})
  return new QueryResult([{ name: 'v', type: 'TINYINT' }], ['int8'], source)
}

test('what is collected has at most 1 GiB, unless the query was given a limit of its own', async () => {
  for (const collect of ['toArray', 'toArrow', 'toJson'] as const) {
    const error = await expectError(result(256 * MIB, 5)[collect](), 'query_limit')
    expect(error.details).toEqual({ maxBytes: 1024 * MIB })
    expect(error.message).toMatch(/maxBytes/)
  }
  expect(await result(256 * MIB, 4).toArray()).toHaveLength(4)
  expect(await result(256 * MIB, 5, Infinity).toArray()).toHaveLength(5)
})

test('what is read as it comes has no limit of that kind', async () => {
  let rows = 0
  for await (const { length } of result(256 * MIB, 9).batches()) rows += length
  expect(rows).toBe(9)
})
