import { expect, test } from 'vitest'
import { Queries, type QueryService } from '../../../src/engine/queries.ts'
import type { QueryResult } from '../../../src/query/query-result.ts'
import { expectError } from '../../support/expect-error.ts'

function service(calls: string[]): QueryService {
  return {
    query: async (sql) => {
      calls.push(sql)
      return {} as QueryResult
    },
    check: async (sql) => {
      calls.push(`check ${sql}`)
      return { parameters: [], columns: null }
    },
    close: async () => {
      calls.push('closed')
    },
  }
}

test('what runs queries is opened by the first of them, once', async () => {
  const calls: string[] = []
  const queries = new Queries(async () => {
    calls.push('opened')
    return service(calls)
  })
  expect(calls).toEqual([])
  await Promise.all([queries.query('one', [], {}), queries.query('two', [], {})])
  await queries.close()
  expect(calls).toEqual(['opened', 'one', 'two', 'closed'])
})

test('closing opens nothing, and ends what was still being opened', async () => {
  const calls: string[] = []
  const unused = new Queries(() => Promise.reject(new Error('opened')))
  await unused.close()
  await expectError(unused.query('late', [], {}), 'engine_closed')
  const opening = Promise.withResolvers<QueryService>()
  const queries = new Queries(() => opening.promise)
  const first = queries.query('early', [], {})
  const closing = queries.close()
  opening.resolve(service(calls))
  await Promise.all([first, closing])
  expect(calls).toEqual(['early', 'closed'])
})

test('what cannot be opened fails the query, and closes all the same', async () => {
  const queries = new Queries(() => Promise.reject(new Error('no worker')))
  await expect(queries.query('one', [], {})).rejects.toThrow('no worker')
  await queries.close()
})
