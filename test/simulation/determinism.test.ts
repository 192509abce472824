/** One seed is one run: whatever a violation shows can be seen again. */
import { expect, test } from 'vitest'
import { simulate } from './simulate.ts'

const SEEDS = [3, 16, 20, 47, 77, 1_234, 99_999, 4_000_000_000] as const

test.each(SEEDS)('seed %i gives the same trace twice', async (seed) => {
  const first = await simulate(seed)
  const second = await simulate(seed)
  expect(second.traceHash).toBe(first.traceHash)
  expect(second.events).toBe(first.events)
  expect(first.events).toBeGreaterThan(50)
})

test('other seeds give other traces', async () => {
  const hashes = new Set<string>()
  for (const seed of SEEDS) hashes.add((await simulate(seed)).traceHash)
  expect(hashes.size).toBe(SEEDS.length)
})
