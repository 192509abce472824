import { expect, test } from 'vitest'
import { MemoryMetrics } from '../../../src/base/metrics.ts'
import { MemoryObjectStore } from '../../../src/storage/memory-object-store.ts'
import { MeteredObjectStore } from '../../../src/storage/metered-object-store.ts'
import { keysOf } from '../../contract/object-store.ts'
import { expectError } from '../../support/expect-error.ts'

test('requests, bytes and errors are counted by operation', async () => {
  const metrics = new MemoryMetrics()
  const store = new MeteredObjectStore(new MemoryObjectStore(), metrics)
  await store.put('a', new Uint8Array(10))
  await store.get('a')
  await store.get('a', { range: { start: 0, end: 3 } })
  await store.head('a')
  await store.remove('a')
  await expectError(store.get('a'), 'object_not_found')
  expect(store.requests()).toEqual({
    put: 1,
    get: 3,
    head: 1,
    list: 0,
    delete: 1,
    bytesIn: 13,
    bytesOut: 10,
  })
  expect(metrics.value('stratalog_object_store_requests_total', { operation: 'get' })).toBe(3)
  expect(
    metrics.value('stratalog_object_store_errors_total', {
      operation: 'get',
      code: 'object_not_found',
    }),
  ).toBe(1)
  expect(metrics.total('stratalog_object_store_received_bytes_total')).toBe(13)
  expect(metrics.total('stratalog_object_store_sent_bytes_total')).toBe(10)
})

test.each([
  [0, 1],
  [1_000, 1],
  [1_001, 2],
])('a listing of %i keys is %i requests', async (keys, requests) => {
  const inner = new MemoryObjectStore()
  for (let i = 0; i < keys; i++) await inner.put(`k${i}`, new Uint8Array(0))
  const store = new MeteredObjectStore(inner, new MemoryMetrics())
  expect(await keysOf(store, '')).toHaveLength(keys)
  expect(store.requests().list).toBe(requests)
})

test('a snapshot of the counts does not change afterwards', async () => {
  const store = new MeteredObjectStore(new MemoryObjectStore(), new MemoryMetrics())
  const before = store.requests()
  await store.put('a', new Uint8Array(1))
  expect(before.put).toBe(0)
})
