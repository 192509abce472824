import { expect, test } from 'vitest'
import { estimateCost } from '../../../src/storage/request-cost.ts'

const NONE = { put: 0, get: 0, head: 0, list: 0, delete: 0, bytesIn: 0, bytesOut: 0 }
const DAY = 86_400_000

test('a month costs its bytes, and thirty days of such requests as came in one', () => {
  const counts = { ...NONE, put: 900, list: 100, get: 9_000, head: 1_000, delete: 1e6 }
  const { storage, requests, total } = estimateCost(counts, DAY, 100 * 2 ** 30)
  expect(storage).toBeCloseTo(2.3, 9)
  expect(requests).toBeCloseTo(30 * (0.005 + 0.004), 9)
  expect(total).toBeCloseTo(storage + requests, 9)
})

test('the first requests of an engine are no month of requests', () => {
  expect(estimateCost({ ...NONE, put: 50 }, 1_000, 0)).toEqual({
    storage: 0,
    requests: 0,
    total: 0,
  })
})
