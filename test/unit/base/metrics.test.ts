import { expect, test } from 'vitest'
import { MemoryMetrics, noMetrics } from '../../../src/base/metrics.ts'

test('MemoryMetrics sums counters and keeps the last of a gauge, apart by labels in any order', () => {
  const metrics = new MemoryMetrics()
  metrics.count('appends_total', 2, { log: 'a', tier: 'disk' })
  metrics.count('appends_total', 3, { tier: 'disk', log: 'a' })
  metrics.count('appends_total', 5, { log: 'b', tier: 'disk' })
  metrics.count('appends_total_errors', 100)
  metrics.gauge('bytes', 7)
  metrics.gauge('bytes', 4)
  expect(metrics.value('appends_total', { log: 'a', tier: 'disk' })).toBe(5)
  expect(metrics.total('appends_total')).toBe(10)
  expect(metrics.value('bytes')).toBe(4)
  expect(metrics.value('unknown')).toBe(0)
})

test('MemoryMetrics keeps how many observations there were and their sum', () => {
  const metrics = new MemoryMetrics()
  metrics.observe('seconds', 0.5, { op: 'put' })
  metrics.observe('seconds', 1.5, { op: 'put' })
  expect(metrics.value('seconds_count', { op: 'put' })).toBe(2)
  expect(metrics.value('seconds_sum', { op: 'put' })).toBe(2)
})

test('noMetrics takes everything', () => {
  noMetrics.count('a', 1)
  noMetrics.gauge('b', 1)
  noMetrics.observe('c', 1)
})
