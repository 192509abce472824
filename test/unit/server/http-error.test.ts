import { describe, expect, test } from 'vitest'
import { ERROR_KINDS, StratalogError } from '../../../src/base/errors.ts'
import {
  REQUEST_PROBLEMS,
  RequestProblem,
  STATUS_OF_KIND,
  problemOf,
} from '../../../src/server/http-error.ts'
import { ALL_RIGHTS } from '../../../src/server/rights.ts'
import { readText } from '../../support/repository.ts'

describe('errors over HTTP', () => {
  const page = readText('docs/http-api.md')

  test('have a status for every kind, which docs/http-api.md has too', () => {
    const rows = [...page.matchAll(/^\| `(\w+)` \| (\d+) \|$/gm)].map((row) => [
      row[1],
      Number(row[2]),
    ])
    expect(Object.fromEntries(rows)).toEqual(STATUS_OF_KIND)
    expect(Object.keys(STATUS_OF_KIND)).toEqual([...ERROR_KINDS])
  })

  test('of requests are in docs/http-api.md with their statuses', () => {
    const rows = [...page.matchAll(/^\| `(\w+)` \| (\d+) \| .*\|$|^\| `(\w+)` \| (\d+) \| \|$/gm)]
    const found = rows.map((row) => [row[1] ?? row[3], Number(row[2] ?? row[4])])
    expect(Object.fromEntries(found)).toEqual(REQUEST_PROBLEMS)
  })

  test('tell the caller what is wrong, with details, and ask for patience where it helps', () => {
    const error = new StratalogError('memory_full', 'RAM is full.', {
      details: { bytes: 2n ** 60n },
    })
    expect(problemOf(error, 'r1', ALL_RIGHTS)).toEqual({
      status: 429,
      headers: { 'retry-after': '1' },
      body: {
        title: 'memory_full',
        status: 429,
        kind: 'overloaded',
        code: 'memory_full',
        detail: 'RAM is full.',
        details: { bytes: '1152921504606846976' },
        requestId: 'r1',
      },
    })
  })

  test('show nothing of the machine: no path, no stack, no statement', () => {
    const secret = '/var/lib/secret'
    for (const code of ['internal', 'segment_corrupt', 'disk_failed', 'engine_closed'] as const) {
      const error = new StratalogError(code, `In ${secret}.`, { details: { path: secret } })
      expect(JSON.stringify(problemOf(error, 'r', ALL_RIGHTS))).not.toContain(secret)
    }
    expect(JSON.stringify(problemOf(new TypeError(secret), 'r', ALL_RIGHTS))).not.toContain(secret)
    const query = new StratalogError('query_invalid', `No such column.\nLINE 1: SELECT ${secret}`)
    expect(problemOf(query, 'r', ALL_RIGHTS).body['detail']).toBe('No such column.')
  })

  test('of a request keep the headers that belong to them', () => {
    const problem = new RequestProblem('method_not_allowed', 'No.', { allow: 'GET' })
    expect(problemOf(problem, 'r', ALL_RIGHTS)).toMatchObject({
      status: 405,
      headers: { allow: 'GET' },
    })
  })
})
