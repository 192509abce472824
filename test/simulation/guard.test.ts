import { expect, test } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { systemRandom } from '../../src/base/random.ts'
import { watchAmbientUse } from './guard.ts'

test('an engine that asks for real time or chance is caught, and nobody else is', () => {
  const used: string[] = []
  const stop = watchAmbientUse((name) => used.push(name))
  try {
    expect(systemClock.now()).toBeGreaterThan(0)
    expect(systemClock.monotonic()).toBeGreaterThan(0)
    expect(systemRandom.uint32()).toBeGreaterThanOrEqual(0)
    systemClock.setTimer(1_000, () => {}).cancel()
    // A test may.
    expect(Date.now()).toBeGreaterThan(0)
  } finally {
    stop()
  }
  expect(used).toEqual(['now', 'now', 'getRandomValues', 'setTimeout'])
  expect(systemClock.now()).toBeGreaterThan(0)
  expect(used).toHaveLength(4)
})
